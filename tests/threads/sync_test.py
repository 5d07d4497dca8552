#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who makes threads, who waits and who holds others up: the real agent over a host that does so in known ways.

Usage: sync_test.py AGENT SONDE HOST [TEST...]
"""
import json
import os
import pathlib
import re
import signal
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request

from host_case import HostCase

FINDING = 3


class Sync(HostCase):
    def start(self, *arguments, **settings):
        process, _ = self.start_host(arguments, {"SONDE_CPU_LIMIT_PERCENT": "20", **settings})
        self.wait_for(lambda: self.get("/healthz"), 10)
        return process

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
                return answer.read().decode("utf-8", "replace")
        except (urllib.error.URLError, ConnectionError):
            return None

    @staticmethod
    def groups(text):
        """Of a debug=1 text: [(count, body)]."""
        return [(int(count), body) for count, body in re.findall(r"(?m)^(-?\d+) @([^\n]*\n(?:#[^\n]*\n)*)", text)]

    def test_threadcreate_names_who_made_the_threads_that_live(self):
        self.start("creators")
        text = self.get("/debug/pprof/threadcreate?debug=1")
        self.assertTrue(text.startswith("threadcreate profile: total 10\n"), text)
        counts = {}
        for count, body in self.groups(text):
            for name in ("MakeWorkers", "MakePthreads", "MakeC11Thread", "MakeRawThread", "MakeShortLived", "MakeEarlyOnes",
                         "unknown creator"):
                if name in body:
                    counts[name] = counts.get(name, 0) + count
        # The first three were mostly there before the agent; the raw one is known to nobody.
        early = counts.pop("MakeEarlyOnes", 0)
        self.assertEqual(counts, {"MakeWorkers": 3, "MakePthreads": 2, "MakeC11Thread": 1, "unknown creator": 4 - early})
        self.assertNotIn("libsonde", text)

    def test_dumps_name_the_stack_that_made_each_thread(self):
        self.start("creators")
        text = self.get("/debug/pprof/threads?debug=2")
        made = [part for part in text.split("\n\n") if "created by\n" in part]
        self.assertIn(len(made), (6, 7, 8, 9), text)
        self.assertEqual(sum("MakeWorkers" in part.split("created by\n")[1] for part in made), 3)
        dump = json.loads(self.get("/debug/sonde/threads"))
        creators = [frame["function"] for group in dump["groups"] for thread in group["threads"]
                    for frame in thread.get("created_by", [])]
        self.assertEqual(sum("MakePthreads" in function for function in creators), 2)

    def leaks(self):
        code, text = self.sonde("findings", f":{self.port}", "--json")
        return [f for f in json.loads(text)["findings"] if f["kind"] == "thread_leak"] if code == FINDING else []

    def test_thread_leak_is_found_by_the_stack_that_makes_them(self):
        self.start("leak", "400", SONDE_THREAD_LEAK_AFTER="5s")
        finding = self.wait_for(self.leaks, 45)[0]
        functions = [frame["function"] for frame in finding["stacks"][0]["frames"]]
        self.assertTrue(any("AcceptAndForget" in function for function in functions), functions)
        waits = [frame["function"] for frame in finding["stacks"][1]["frames"]]
        self.assertTrue(any("WaitForEver" in function for function in waits), waits)
        self.assertGreaterEqual(int(finding["facts"]["idle"]), 8)
        self.assertEqual(len(self.leaks()), 1)  # not the threads that end
        code, text = self.sonde(f":{self.port}")
        self.assertEqual(code, FINDING)
        self.assertIn("threads are made at one place and never end", text)

    def test_thread_leak_of_forked_workers_is_one_finding_that_names_the_process(self):
        process = self.start("forked_leak", "400", SONDE_THREAD_LEAK_AFTER="5s")
        children = sorted(map(int, pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))
        finding = self.wait_for(lambda: [f for f in self.leaks() if f["facts"]["processes"] == "2"], 60)[0]
        self.assertEqual(len(children), 3)
        leaking = [int(pid) for pid in finding["facts"]["pids"].split()]
        self.assertEqual(sorted(leaking), children[:2])  # not the healthy one
        self.assertEqual(finding["pid"], leaking[0])
        self.assertRegex(finding["sentence"], rf"^threads of pid {leaking[0]} are made at one place and never end: \d+ live, "
                         r"\d+ more in the last .*; the same in 1 other process$")
        self.assertAlmostEqual(float(finding["facts"]["per_hour"]), 9000, delta=1500)
        made_since = len(os.listdir(f"/proc/{leaking[0]}/task")) - int(finding["facts"]["live"])
        self.assertTrue(0 <= made_since <= 10, finding)
        for stack, function in zip(finding["stacks"], ("AcceptAndForget", "WaitForEver")):
            functions = [frame["function"] for frame in stack["frames"]]
            self.assertTrue(any(function in name for name in functions), functions)
        self.assertEqual(len(self.leaks()), 1)

        # The process that was named ends: the same finding names the other, which leaks on.
        os.kill(leaking[0], signal.SIGKILL)
        other = self.wait_for(lambda: [f for f in self.leaks() if f["pid"] == leaking[1]], 20)[0]
        self.assertEqual((other["id"], other["since_unix_ms"] // 1000, other["active"]),
                         (finding["id"], finding["since_unix_ms"] // 1000, True))
        self.assertEqual(other["facts"]["processes"], "1")
        os.kill(leaking[1], signal.SIGKILL)
        self.wait_for(lambda: not self.leaks()[0]["active"], 20)


    @staticmethod
    def waited(process):
        """Nanoseconds that the host's threads have waited for the big and for the small lock, as they measured."""
        process.stdin.write("\n")
        process.stdin.flush()
        return [int(word) for word in process.stdout.readline().split()[1:]]

    def delays(self, text, names):
        """Delay by which of the names is in the stack, of a debug=1 text."""
        sums = dict.fromkeys(names, 0)
        for delay, body in self.groups(text):
            for name in names:
                if name in body:
                    sums[name] += delay
        return sums

    def test_contention_is_attributed_as_the_host_measured_it(self):
        process = self.start("contend", SONDE_LOCKS="on")
        self.wait_for(lambda: self.groups(self.get("/debug/pprof/block?debug=1")), 10)
        before = self.waited(process)
        holders = self.get("/debug/pprof/mutex?debug=1&seconds=6")
        truth = [after - then for after, then in zip(self.waited(process), before)]
        held = self.delays(holders, ("HoldBigLock", "HoldSmallLock"))
        share, true_share = held["HoldBigLock"] / sum(held.values()), truth[0] / sum(truth)
        self.assertAlmostEqual(share, true_share, delta=0.05, msg=f"{held} {truth}")
        # What is missing are wake-ups, which are nobody's fault, and what short holders are charged with.
        self.assertAlmostEqual(sum(held.values()) / sum(truth), 1, delta=0.3, msg=f"{held} {truth}")

        before = self.waited(process)
        waiters = self.get("/debug/pprof/block?debug=1&seconds=6")
        truth = [after - then for after, then in zip(self.waited(process), before)]
        waits = self.delays(waiters, ("WaitForBigLock", "WaitForSmallLock", "WaitForCondition", "WaitForSemaphore", "JoinAThread"))
        measured = waits["WaitForBigLock"] + waits["WaitForSmallLock"]
        self.assertAlmostEqual(waits["WaitForBigLock"] / measured, truth[0] / sum(truth), delta=0.05, msg=f"{waits} {truth}")
        self.assertAlmostEqual(measured / sum(truth), 1, delta=0.15, msg=f"{waits} {truth}")
        for name in ("WaitForCondition", "WaitForSemaphore", "JoinAThread"):
            self.assertGreater(waits[name], 2e9, f"{name}: {waits}")
        for kind in ("mutex", "rwlock", "condition", "semaphore", "join"):
            self.assertIn(f"# lock {kind}\n", waiters)

        # The past, in whole steps.
        recorded = self.delays(self.get("/debug/pprof/mutex?debug=1&last=12s"), ("HoldBigLock", "HoldSmallLock"))
        self.assertGreater(sum(recorded.values()), 0.8 * sum(held.values()), f"{recorded} {held}")
        self.assertAlmostEqual(recorded["HoldBigLock"] / sum(recorded.values()), true_share, delta=0.05, msg=str(recorded))
        code, text = self.sonde("block", f":{self.port}", "--last", "1h", "--top", "40")
        self.assertEqual(code, 0)
        self.assertIn("WaitForBigLock", text)
        self.assertRegex(text, "note +window: asked for 1h, have .*: the agent started then")

        code, text = self.sonde("block", f":{self.port}", "--top", "40")
        self.assertEqual(code, 0)
        self.assertIn("WaitForBigLock", text)

    # Of the host's mode "hold": what waits for good, and as what.
    FOR_GOOD = {"WaitHereForEver": "mutex", "WaitForGoodCondition": "condition", "WaitForGoodSemaphore": "semaphore",
                "JoinForGood": "join"}

    def open_waits(self, text):
        """(delay in seconds, contentions, lock) by function, of the waits that go on."""
        found = {}
        for delay, body in self.groups(text):
            if "# state waiting\n" not in body:
                continue
            for name in [*self.FOR_GOOD, "WaitForSmallLock"]:
                if name in body:
                    self.assertNotIn(name, found, text)
                    found[name] = (delay / 1e9, int(re.search(r"# contentions (-?\d+)", body)[1]),
                                   re.search(r"# lock (\w+)", body)[1])
        return found

    def ended_waits(self, text, name):
        return [(delay / 1e9, int(re.search(r"# contentions (-?\d+)", body)[1])) for delay, body in self.groups(text)
                if name in body and "# state" not in body]

    def timed(self, path):
        """An answer, and the times between which it was made."""
        begin = time.monotonic()
        text = self.get(path)
        return text, begin, time.monotonic()

    def test_waits_that_go_on_are_told_and_never_counted_twice(self):
        process = self.start("hold", SONDE_LOCKS="on")
        started = time.monotonic()
        time.sleep(2)
        first_text, _, first_at = self.timed("/debug/pprof/block?debug=1")
        first = self.open_waits(first_text)
        self.assertEqual({name: lock for name, (_, _, lock) in first.items()}, {**self.FOR_GOOD, "WaitForSmallLock": "rwlock"})
        self.assertEqual({contentions for _, contentions, _ in first.values()}, {1})
        self.assertRegex(first_text, r"# lock mutex\n# state waiting\n.*WaitInChild")
        self.assertNotIn("libsonde", first_text)
        self.assertIn("# state=waiting: waits that go on", first_text)

        # A window, in the middle of which one of them ends.
        answers = []
        capture = threading.Thread(target=lambda: answers.append(self.timed("/debug/pprof/block?debug=1&seconds=4")))
        capture.start()
        time.sleep(2)
        waited = self.waited(process)[1] / 1e9
        released = time.monotonic()
        capture.join()
        text, begin, end = answers[0]
        waits = self.open_waits(text)
        self.assertEqual(sorted(waits), sorted(self.FOR_GOOD), text)
        for name, (delay, contentions, _) in waits.items():
            self.assertAlmostEqual(delay, 4, delta=0.3 + end - begin - 4, msg=name)
            self.assertEqual(contentions, 0, name)  # they began before
        [(delay, contentions)] = self.ended_waits(text, "WaitForSmallLock")
        self.assertAlmostEqual(delay, released - begin, delta=0.4, msg=text)
        self.assertEqual(contentions, 0)
        self.assertGreater(waited, delay + 1.5)  # in whole it was longer
        self.assertNotRegex(text, r"(?m)^-")

        # In whole, and in the past, it is there once.
        text, _, now = self.timed("/debug/pprof/block?debug=1")
        [(delay, contentions)] = self.ended_waits(text, "WaitForSmallLock")
        self.assertAlmostEqual(delay, waited, delta=0.1)
        self.assertEqual(contentions, 1)
        for name, (delay, contentions, _) in self.open_waits(text).items():
            self.assertEqual(contentions, 1)
            self.assertAlmostEqual(delay - first[name][0], now - first_at, delta=0.3, msg=name)
            self.assertLess(delay, now - started + 5)
        past = self.get("/debug/pprof/block?debug=1&last=60s")
        have = float(re.search(r"have (\d+)s", past)[1])
        self.assertEqual([round(delay, 1) for delay, _ in self.ended_waits(past, "WaitForSmallLock")], [round(waited, 1)])
        for name, (delay, _, _) in self.open_waits(past).items():
            self.assertTrue(1 < delay < have + 1, f"{name}: {delay} of {have}")
        code, text = self.sonde("block", f":{self.port}", "--top", "40")
        self.assertEqual(code, 0)
        self.assertIn("WaitForGoodSemaphore", text)
        self.assertRegex(text, r"waiting +mutex \d+\.?\d* s so far, most at .*std::mutex::lock < .*Wait(HereForEver|InChild)")
        self.assertNotIn("waiting   rwlock", text)  # it has ended
        told = json.loads(self.sonde("block", f":{self.port}", "--json")[1])["waiting"]
        self.assertEqual([wait["lock"] for wait in told], ["mutex", "join", "semaphore", "condition"])
        self.assertIn("WaitForGoodCondition", " ".join(told[3]["heaviest_stack"]["frames"]))
        dump = self.get("/debug/pprof/threads?debug=2")
        for name in self.FOR_GOOD:
            self.assertIn(name, dump)  # also where only the hook knows the frame pointer

    def test_waits_from_before_locks_were_measured_are_told_while_they_go_on(self):
        process = self.start("hold")
        time.sleep(3)
        code, text = self.sonde("set", str(process.pid), "locks=on")
        self.assertEqual(code, 0, text)
        switched_on = time.monotonic()
        self.wait_for(lambda: self.open_waits(self.get("/debug/pprof/block?debug=1")), 10)
        time.sleep(1)
        text, _, now = self.timed("/debug/pprof/block?debug=1")
        waits = self.open_waits(text)
        self.assertEqual(sorted(waits), sorted([*self.FOR_GOOD, "WaitForSmallLock"]), text)
        self.assertNotIn("libsonde", text)
        for name, (delay, _, lock) in waits.items():
            self.assertEqual(lock, self.FOR_GOOD.get(name, "rwlock"))
            self.assertAlmostEqual(delay, now - switched_on, delta=1.5, msg=name)  # not from before
        self.waited(process)
        text = self.get("/debug/pprof/block?debug=1&seconds=1")
        self.assertEqual(sorted(self.open_waits(text)), sorted(self.FOR_GOOD), text)
        self.assertNotRegex(text, r"(?m)^-")

    def test_locks_are_off_until_they_are_switched_on_and_say_how(self):
        process = self.start("contend")
        text = self.get("/debug/pprof/mutex?debug=1")
        self.assertTrue(text.startswith("mutex profile: total 0\n"), text)
        self.assertIn("locks=on", text)
        code, text = self.sonde("mutex", f":{self.port}")
        self.assertEqual(code, 4)
        self.assertIn("not measured", text)
        code, text = self.sonde("set", str(process.pid), "locks=on")
        self.assertEqual(code, 0, text)
        self.wait_for(lambda: "HoldBigLock" in self.get("/debug/pprof/mutex?debug=1"), 10)
        code, text = self.sonde("set", str(process.pid), "locks=off")
        self.assertEqual(code, 0, text)
        self.wait_for(lambda: "# off: " in self.get("/debug/pprof/mutex?debug=1"), 10)
        past = self.get("/debug/pprof/mutex?debug=1&last=1m")
        self.assertIn("HoldBigLock", past)
        self.assertIn("locks are not measured now", past)

    def test_wall_time_of_the_past_is_in_the_recording(self):
        self.start("wall", SONDE_WALL="on")
        time.sleep(14)
        text = self.get("/debug/pprof/wall?last=60s&debug=1")
        have = float(re.search(r"asked for 1m0?0?s?, have (\d+)s", text)[1])
        waits = self.delays(text, ("WaitHereForEver", "SleepHere", "BurnHere"))
        self.assertAlmostEqual(waits["WaitHereForEver"] / 1e9, have, delta=3, msg=text)
        self.assertGreater(waits["SleepHere"] / 1e9, 0.2 * have, text)
        self.assertGreater(waits["BurnHere"] / 1e9, 0.01 * have, text)
        code, text = self.sonde("wall", f":{self.port}", "--last", "10s", "--by", "thread")
        self.assertEqual(code, 0, text)
        self.assertIn("stuck", text)

    def test_wall_time_is_told_apart_and_adds_up(self):
        self.start("wall")
        time.sleep(1.5)
        text = self.get("/debug/pprof/wall?seconds=5&debug=1")
        sums = {}
        for ns, body in self.groups(text):
            name, state = re.search(r"# thread (\w+)", body)[1], re.search(r"# state (\S+)", body)[1]
            sums[name, state] = sums.get((name, state), 0) + ns / 1e9
        self.assertAlmostEqual(sums["half", "on-cpu"] + sums["half", "off-cpu"], 5, delta=0.6, msg=str(sums))
        self.assertAlmostEqual(sums["stuck", "off-cpu"], 5, delta=0.6, msg=str(sums))
        self.assertLess(sums.get(("stuck", "on-cpu"), 0), 0.01, str(sums))
        waits = self.delays(text, ("WaitHereForEver", "SleepHere", "BurnHere"))
        self.assertAlmostEqual(waits["WaitHereForEver"] / 1e9, 5, delta=0.6, msg=text)
        self.assertGreater(waits["SleepHere"] / 1e9, 1, text)
        self.assertGreater(waits["BurnHere"] / 1e9, 0.05, text)
        code, text = self.sonde("wall", f":{self.port}", "--last", "5s")
        self.assertEqual(code, 4, text)
        self.assertIn("SONDE_WALL=off", text)
        code, text = self.sonde("wall", f":{self.port}", "-s", "2", "--by", "thread")
        self.assertEqual(code, 0)
        self.assertIn("stuck", text)

    def test_wall_time_of_children_is_told_too(self):
        self.start("children", SONDE_WALL="on")
        time.sleep(1.5)
        text = self.get("/debug/pprof/wall?seconds=5&debug=1")
        self.assertRegex(text, r"# looked \d+ times in .* at all threads of 3 processes")
        waits = self.delays(text, ("WaitHereForEver", "SleepHere", "BurnHere"))
        self.assertAlmostEqual(waits["WaitHereForEver"] / 1e9, 5, delta=0.6, msg=text)
        self.assertGreater(waits["SleepHere"] / 1e9, 1, text)
        self.assertGreater(waits["BurnHere"] / 1e9, 0.05, text)
        self.wait_for(lambda: "WaitHereForEver" in self.get("/debug/pprof/wall?last=60s&debug=1"), 15)


if __name__ == "__main__":
    signal.alarm(280)
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
