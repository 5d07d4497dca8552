#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stacks of a process without an agent (sonde threads --pid) and of a core file (--core), compared with gdb's, and
what is said when there is nothing to be had.

Usage: agentless_test.py SONDE HOST [TEST...]   HOST: one of the waits hosts
"""
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import waits_test

SONDE, HOST = (os.path.realpath(path) for path in sys.argv[1:3])
CLEAN, ERROR, USAGE = 0, 1, 2
NOBODY = 65534


def run(*arguments, **options):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False, **options)
    return done.returncode, done.stdout, done.stderr


def state_of(pid, tid=None):
    with open(f"/proc/{pid}/task/{tid or pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


def tracer_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return int(re.search(r"TracerPid:\s*(\d+)", file.read()).group(1))


def wait_until(condition, what, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true within {seconds} s")


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def without_memory(core):
    """The core as a full disk leaves it when the registers come first: no segment is there."""
    core = bytearray(core)
    start, count = struct.unpack_from("<Q", core, 32)[0], struct.unpack_from("<H", core, 56)[0]
    for i in range(count):
        kind = struct.unpack_from("<I", core, start + 56 * i)[0]
        if kind == 1:  # PT_LOAD
            struct.pack_into("<Q", core, start + 56 * i + 8, 1 << 40)
    return core


class Agentless(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="sonde-agentless-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def start(self, *command):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()

    def start_host(self, threads, *more):
        process = self.start(HOST, str(threads), *more)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def dump(self, *arguments):
        code, out, err = run(SONDE, "threads", *arguments, "--json")
        self.assertEqual(code, CLEAN, err)
        return json.loads(out)

    def assert_untouched(self, process):
        self.assertEqual(tracer_of(process.pid), 0)
        wait_until(lambda: not [tid for tid in os.listdir(f"/proc/{process.pid}/task")
                                if state_of(process.pid, tid) in "Tt"], "every thread runs on", 5)

    def assert_same_as_gdb(self, dump, process):
        ours, told = waits_test.stacks_of_sonde(dump)
        faults = waits_test.compare(ours, told, waits_test.stacks_of_gdb(process.pid, self.dir))
        self.assertEqual(faults, [], "\n".join(faults[:10]))
        return told

    def test_every_stack_of_a_live_process_is_gdbs(self):
        process = self.start_host(200, "stoppable")
        dump = self.dump("--pid", str(process.pid))
        self.assertEqual(dump["threads"], 201)
        self.assertLess(dump["stopped_ms"], 500)
        self.assert_untouched(process)
        told = self.assert_same_as_gdb(dump, process)
        seen = set()
        for thread, group in told.values():
            expected = waits_test.EXPECTED.get(thread["name"])
            if expected is None:
                continue
            seen.add(thread["name"])
            state, place, wait = expected
            self.assertEqual((group["state"], group["place"]), (state, place), thread)
            self.assertRegex(thread["wait"], wait.replace("MAIN", str(process.pid)))
        self.assertEqual(set(waits_test.EXPECTED) - seen, {"Vfork"})

    def test_waits_that_end_with_eintr_are_counted_and_only_those(self):
        process = self.start_host(210, "stoppable")
        dumps = [self.dump("--pid", str(process.pid)) for _ in range(5)]
        told = sum(dump["interrupted_waits"] for dump in dumps)
        time.sleep(0.5)
        rest = process.communicate("\n", timeout=20)[0]
        self.assertEqual(rest.strip(), f"eintr {told}")
        epolls = sum(group["count"] for group in dumps[0]["groups"] if group["place"] == "epoll_wait")
        self.assertGreater(epolls, 5)  # without a time limit: made again, so none of theirs is in that number

    def test_three_thousand_threads(self):
        process = self.start_host(3000, "stoppable")
        start = time.monotonic()
        dump = self.dump("--pid", str(process.pid))
        took = time.monotonic() - start
        print(f"3,001 threads: stopped for {dump['stopped_ms']:.0f} ms, answer after {took:.1f} s")
        self.assertEqual(dump["threads"], 3001)
        self.assertFalse([group for group in dump["groups"] if group["problem"] or group["note"]])
        self.assertLess(dump["stopped_ms"], 5000)
        self.assert_untouched(process)

    def test_threads_that_sleep_uninterruptibly_are_told_from_what_proc_says(self):
        process = self.start_host(40)  # one is the parent of a vfork
        dump = self.dump("--pid", str(process.pid))
        vfork = [group for group in dump["groups"] if group["state"] == "uninterruptible"]
        self.assertEqual(len(vfork), 1)
        self.assertEqual(vfork[0]["place"], "vfork")
        self.assertIn("did not stop", vfork[0]["problem"])
        self.assert_untouched(process)

    def test_interrupt_or_kill_of_sonde_lets_go(self):
        process = self.start_host(1500, "stoppable")
        for number in (signal.SIGINT, signal.SIGKILL):
            for delay in (0.01, 0.05, 0.15, 0.4):
                sonde = subprocess.Popen([SONDE, "threads", "--pid", str(process.pid)], stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
                time.sleep(delay)
                sonde.send_signal(number)
                self.assertIn(sonde.wait(20), (-number, 0))
                self.assert_untouched(process)

    def test_running_and_stopped_threads(self):
        burner = self.start("/usr/bin/python3", "-c", "print('x', flush=True)\nwhile True: pass")
        burner.stdout.readline()
        dump = self.dump("--pid", str(burner.pid))
        self.assertEqual(dump["groups"][0]["state"], "running")
        self.assertGreater(len(dump["groups"][0]["frames"]), 3)
        os.kill(burner.pid, signal.SIGSTOP)
        wait_until(lambda: state_of(burner.pid) == "T", "stopped")
        self.assertEqual(self.dump("--pid", str(burner.pid))["groups"][0]["state"], "stopped")
        wait_until(lambda: state_of(burner.pid) == "T", "stopped as it was")
        time.sleep(0.2)
        self.assertEqual(state_of(burner.pid), "T")
        os.kill(burner.pid, signal.SIGCONT)
        wait_until(lambda: state_of(burner.pid) in "RS", "running again")

    def test_text_says_what_it_did(self):
        process = self.start_host(50, "stoppable")
        code, out, _ = run(SONDE, "threads", "--pid", str(process.pid))
        self.assertEqual(code, CLEAN)
        self.assertRegex(out, rf"^pid {process.pid} waits_\w+  no agent  51 threads in \d+ places")
        self.assertRegex(out, r"\ncost +every thread was stopped once, for [\d.]+ ms in all; ")

    def assert_refused(self, code, pattern, *arguments, **options):
        got, out, err = run(SONDE, "threads", *arguments, **options)
        self.assertEqual((got, out), (code, ""), err)
        self.assertRegex(err, pattern)

    def test_processes_that_cannot_be_looked_at_are_refused_with_the_reason(self):
        self.assert_refused(ERROR, "there is no process 2147483000", "--pid", "2147483000")
        self.assert_refused(USAGE, "--pid", "--pid", "0")
        self.assert_refused(USAGE, "expected one of TARGET, --pid PID and --core FILE, got 0")
        self.assert_refused(USAGE, "got 2", "--pid", "1", "--core", "x")
        zombie = self.start("/bin/true")
        wait_until(lambda: state_of(zombie.pid) == "Z", "a zombie")
        self.assert_refused(ERROR, "is a zombie", "--pid", str(zombie.pid))
        host = self.start_host(5, "stoppable")
        tid = max(int(tid) for tid in os.listdir(f"/proc/{host.pid}/task"))
        self.assert_refused(USAGE, f"{tid} is a thread of pid {host.pid}", "--pid", str(tid))

    def test_traced_processes_name_their_tracer(self):
        host = self.start_host(5, "stoppable")
        tracer = self.start("strace", "-f", "-o", "/dev/null", "-p", str(host.pid))
        wait_until(lambda: tracer_of(host.pid) == tracer.pid, "strace traces it")
        self.assert_refused(ERROR, rf"pid {host.pid} is traced by pid {tracer.pid} \(strace", "--pid", str(host.pid))

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_other_users_are_refused_with_both_names(self):
        host = self.start_host(5, "stoppable")
        self.assert_refused(ERROR, rf"belongs to user 0, we are user {NOBODY}\n +run sonde as that user, or as root",
                            "--pid", str(host.pid), preexec_fn=lambda: os.setuid(NOBODY))
        self.assert_untouched(host)

    def core_of(self, process):
        done = subprocess.run(["gcore", "-o", f"{self.dir}/core", str(process.pid)], capture_output=True, text=True,
                              timeout=200, check=False)
        path = f"{self.dir}/core.{process.pid}"
        self.assertTrue(os.path.exists(path), done.stderr)
        return path

    def test_every_stack_of_a_core_is_gdbs(self):
        process = self.start_host(60, "stoppable")
        core = self.core_of(process)
        dump = self.dump("--core", core)
        self.assertEqual((dump["threads"], dump["problems"]), (61, []))
        self.assert_same_as_gdb(dump, process)
        held = [thread["wait"] for group in dump["groups"] for thread in group["threads"]
                if thread["wait"].startswith("mutex")]
        self.assertRegex(held[0], rf"held by tid {process.pid}")

    def test_a_core_of_the_kernels_names_the_signal_and_its_thread(self):
        if bytes_of("/proc/sys/kernel/core_pattern").strip() != b"core":
            self.skipTest("cores go elsewhere on this machine")
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        process = subprocess.Popen([HOST, "40", "stoppable"], cwd=self.dir, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True,
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, unlimited))
        self.addCleanup(self.end, process)
        process.stdout.readline()
        before, _ = waits_test.stacks_of_sonde(self.dump("--pid", str(process.pid)))
        process.send_signal(signal.SIGBUS)
        process.wait(60)
        core = [name for name in os.listdir(self.dir) if name.startswith("core")]
        code, out, _ = run(SONDE, "threads", "--core", f"{self.dir}/{core[0]}")
        self.assertEqual(code, CLEAN)
        self.assertRegex(out, rf"^pid {process.pid} waits_\w+  core file, SIGBUS in tid \d+  41 threads")
        after, _ = waits_test.stacks_of_sonde(self.dump("--core", f"{self.dir}/{core[0]}"))
        self.assertEqual(before, after)

    def test_truncated_and_damaged_cores_say_so(self):
        core = self.core_of(self.start_host(40, "stoppable"))
        whole = bytes_of(core)
        cut = f"{self.dir}/cut"
        for share in (0.0001, 0.01, 0.5, 0.9):  # gcore writes the registers last
            write(cut, whole[:int(len(whole) * share)])
            self.assert_refused(ERROR, "ends within its program headers|holds no thread; it is truncated", "--core", cut)
        write(cut, without_memory(whole))
        code, out, _ = run(SONDE, "threads", "--core", cut)
        self.assertEqual(code, CLEAN)
        self.assertRegex(out, r"41 threads in")
        self.assertRegex(out, r"\(the stack is cut: it cannot be followed\)")
        self.assertRegex(out, r"missing +the core is truncated: [\d.]+ MiB are missing; stacks in there are cut")

    def test_cores_with_any_byte_changed_never_break_sonde(self):
        core = self.core_of(self.start_host(10, "stoppable"))
        whole = bytearray(bytes_of(core))
        damaged = f"{self.dir}/damaged"
        for seed in range(40):
            bytes_now = bytearray(whole)
            state = seed * 2654435761 + 1
            for _ in range(200):
                state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
                bytes_now[(state >> 33) % min(len(whole), 1 << (13 + seed % 8))] = state >> 25 & 255
            write(damaged, bytes_now)
            code, _, err = run(SONDE, "threads", "--core", damaged, "--json")
            self.assertIn(code, (CLEAN, ERROR, 4), f"seed {seed}: {err}")

    def test_what_is_no_core_is_refused(self):
        for path, pattern in ((HOST, "it is a program or a library"), ("/etc/passwd", "does not begin as ELF"),
                              ("/dev/null", "/dev/null"), (self.dir, self.dir), ("/nowhere", "/nowhere")):
            self.assert_refused(ERROR, pattern, "--core", path)
        empty = f"{self.dir}/empty"
        write(empty, b"")
        self.assert_refused(ERROR, "it is empty", "--core", empty)

    def test_missing_and_rebuilt_programs_of_a_core_are_named(self):
        program = f"{self.dir}/program"
        shutil.copy(HOST, program)
        process = self.start(program, "10", "stoppable")
        process.stdout.readline()
        core = self.core_of(process)
        os.unlink(program)
        _, out, _ = run(SONDE, "threads", "--core", core)
        self.assertRegex(out, rf"missing +{program} is not here; stacks through it may be cut")
        shutil.copy("/bin/sleep", program)
        _, out, _ = run(SONDE, "threads", "--core", core)
        self.assertRegex(out, rf"missing +{program} is another build \(\w+\) than the core's \(\w+\)")

    def test_a_process_that_ends_meanwhile_is_an_error_or_an_answer(self):
        for _ in range(10):
            process = self.start_host(300, "stoppable")
            killer = threading.Timer(0.03, process.kill)
            killer.start()
            code, _, err = run(SONDE, "threads", "--pid", str(process.pid))
            killer.join()
            self.assertIn(code, (CLEAN, ERROR, 4), err)


if __name__ == "__main__":
    signal.alarm(280)
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
