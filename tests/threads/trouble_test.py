#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is found in services in trouble, through the real agent and the real command, and that healthy ones are not.

Usage: trouble_test.py AGENT SONDE HOST [TEST...]
"""
import json
import os
import signal
import sys
import time
import unittest
import urllib.request

from host_case import HostCase

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "shared"))
from priority import before_others

CLEAN, USAGE, FINDING = 0, 2, 3


class Trouble(HostCase):
    def start(self, *arguments, **settings):
        settings = {"SONDE_HOT_AFTER": "3s", "SONDE_HOT_PERCENT": "10", "SONDE_STUCK_AFTER": "6s",
                    "SONDE_CPU_LIMIT_PERCENT": "10", **settings}
        process, words = self.start_host(arguments, settings, preexec_fn=before_others)
        self.tid = int(words[1])
        return process

    def state(self):
        return f"; findings: {self.findings()}"

    def findings(self, kind=None):
        code, text = self.sonde("findings", f":{self.port}", "--json")
        if code not in (CLEAN, FINDING):
            return []
        found = json.loads(text)["findings"]
        self.assertEqual(code, FINDING if found else CLEAN)
        return [finding for finding in found if kind in (None, finding["kind"])]

    def test_hot_thread_is_named_with_function_and_share_also_when_it_is_over(self):
        process = self.start("hot", "12")
        self.wait_for(lambda: self.findings("hot_thread"), 11)
        code, text = self.sonde("hot", f":{self.port}")
        self.assertEqual(code, FINDING)
        self.assertRegex(text, rf"HOT NOW +pid {process.pid} +thread worker \(tid {self.tid}\) has used \d+ % of a core")
        self.assertRegex(text, r"\n +(9\d|100) %  .*BurnInnerLoop < .*HandleRequest")
        self.assertEqual(len(self.findings("hot_thread")), 1)  # the two others of that name are idle
        first_id = self.findings("hot_thread")[0]["id"]
        self.wait_for(lambda: not self.findings("hot_thread")[0]["active"], 25)
        time.sleep(3)
        code, text = self.sonde("hot", f":{self.port}")
        self.assertEqual(code, FINDING)
        self.assertRegex(text, rf"ENDED +pid {process.pid} +thread worker \(tid {self.tid}\) used .*it has ended")
        self.assertRegex(text, r"\n +(9\d|100) %  .*BurnInnerLoop")
        finding = self.findings("hot_thread")[0]
        self.assertEqual(finding["id"], first_id)
        self.assertAlmostEqual(finding["seconds"], 12, delta=4)
        code, text = self.sonde(f":{self.port}")  # the front door
        self.assertEqual(code, FINDING)
        self.assertIn(f"thread worker (tid {self.tid})", text)
        self.assertEqual(self.sonde("hot", f":{self.port}", "--last", "1s")[0], CLEAN)
        self.assertEqual(self.sonde("hot", f":{self.port}", "--last", "20m")[0], USAGE)

    def test_hot_child_process_is_named(self):
        process = self.start("forked_hot", "15")
        finding = self.wait_for(lambda: self.findings("hot_thread"), 14)[0]
        self.assertNotEqual(finding["pid"], process.pid)
        self.assertEqual(finding["facts"]["tid"], str(self.tid))
        self.assertIn("BurnInnerLoop", finding["stacks"][0]["frames"][0]["function"])

    def test_top_shows_the_busy_thread_first(self):
        self.start("hot", "20")
        self.wait_for(lambda: self.sonde("status", f":{self.port}")[0] == CLEAN, 10)
        time.sleep(1.5)
        code, text = self.sonde("top", f":{self.port}", "--once")
        self.assertEqual(code, CLEAN)
        self.assertRegex(text.splitlines()[2], rf"\d+ % .* {self.tid}  worker +\d+ % in .*BurnInnerLoop")

    def deadlock(self, count, kind, lock):
        self.start("deadlock", str(count), kind)
        started = time.monotonic()
        finding = self.wait_for(lambda: self.findings("deadlock"), 15)[0]
        self.assertLess(time.monotonic() - started, 15)
        self.assertEqual(finding["severity"], "critical")
        self.assertEqual(len(finding["stacks"]), count)
        for stack in finding["stacks"]:
            self.assertRegex(stack["title"], rf"locker \(tid \d+\) waits for {lock} 0x\w+ held by locker \(tid \d+\)")
            self.assertIn("TakeSecondLock", " ".join(frame["function"] for frame in stack["frames"]))
        code, text = self.sonde(f":{self.port}")
        self.assertEqual(code, FINDING)
        self.assertIn("DEADLOCK", text)
        time.sleep(6)
        self.assertEqual(len(self.findings()), 1)  # the same one, and nobody is stuck as well

    def test_deadlock_of_two_pthread_mutexes(self):
        self.deadlock(2, "pthread", "mutex")

    def test_deadlock_of_three_recursive_mutexes(self):
        self.deadlock(3, "recursive", "mutex")

    def test_deadlock_of_five_std_mutexes(self):
        self.deadlock(5, "std", "mutex")

    def test_deadlock_of_two_writers(self):
        self.deadlock(2, "rwlock", "read-write lock")

    def test_deadlock_in_a_child_names_the_process_and_its_dump_shows_it(self):
        process = self.start("forked_deadlock", "2")
        finding = self.wait_for(lambda: self.findings("deadlock"), 30)[0]
        child = finding["pid"]
        self.assertNotEqual(child, process.pid)
        self.assertRegex(finding["sentence"], rf"^2 threads of pid {child} wait for each other's locks for ever: locker")
        self.assertIn("TakeSecondLock", " ".join(frame["function"] for frame in finding["stacks"][0]["frames"]))
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/debug/sonde/threads?pid={child}", timeout=20) as answer:
            dump = json.load(answer)
        self.assertEqual((dump["pid"], dump["agent_pid"], dump["threads"]), (child, process.pid, 3))
        waits = [thread["wait"] for group in dump["groups"] for thread in group["threads"] if thread["name"] == "locker"]
        self.assertEqual(len(waits), 2)
        for wait in waits:
            self.assertRegex(wait, r"^mutex 0x\w+ held by tid \d+ \(locker\)$")
        self.assertFalse([group["problem"] + group["note"] for group in dump["groups"] if group["problem"] or group["note"]])
        os.kill(child, signal.SIGKILL)
        self.wait_for(lambda: not self.findings("deadlock")[0]["active"], 20)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/debug/sonde/threads?pid=1", timeout=20)
        self.assertEqual(refused.exception.code, 404)
        self.assertIn("no process of this agent's tree", refused.exception.read().decode())

    def test_lock_of_a_thread_that_has_ended_is_named_as_that(self):
        self.start("ended_owner")
        finding = self.wait_for(lambda: self.findings("stuck_thread"), 25)[0]
        self.assertRegex(finding["sentence"], r"^thread waiter \(tid \d+\) is waiting for a mutex held by tid \d+, which has "
                         r"ended: nobody will unlock it for \d+")
        self.assertIn("WaitForLockOfTheDead", " ".join(f["function"] for f in finding["stacks"][0]["frames"]))

    def test_writer_behind_readers_says_how_many(self):
        self.start("readers")
        finding = self.wait_for(lambda: self.findings("stuck_thread"), 25)[0]
        self.assertRegex(finding["sentence"], r"^thread writer \(tid \d+\) is waiting for a read-write lock read by 2 threads")

    def test_heavy_correct_locking_gives_no_finding(self):
        self.start("healthy")
        self.wait_for(lambda: self.sonde("status", f":{self.port}")[0] == CLEAN, 10)
        for _ in range(15):
            time.sleep(1)
            self.assertEqual(self.findings(), [])
        self.assertEqual(self.sonde("findings", f":{self.port}")[0], CLEAN)


if __name__ == "__main__":
    signal.alarm(280)
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
