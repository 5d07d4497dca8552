#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Many readers of one real, busy process: each gets its own interval, none disturbs another, memory is bounded.

What is compared is CPU time that the kernel reports for the very same interval, read every 50 ms; no timing is judged.
"""
import argparse
import bisect
import datetime
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from raw_profile import parse_raw
from run_accuracy import tick_ns
from session import Session, UnixConnection

ARGUMENTS = None
TIME = re.compile(r"^Time: (\d+-\d+-\d+ \d+:\d+:\d+)(\.\d+)? \+0000 UTC", re.MULTILINE)
DURATION = re.compile(r"^Duration: ([\d.]+)", re.MULTILINE)  # cut off after four characters: seconds, or 999. ms


class Truth:
    """CPU time of a process without the agent's thread, by the wall clock."""

    def __init__(self, pid):
        self.pid, self.points, self.ended = pid, [], threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def used_ns(self):
        used = 0
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{tid}/comm", encoding="utf-8") as comm:
                if comm.read().strip() == "sonde":
                    continue
            with open(f"/proc/{self.pid}/task/{tid}/schedstat", encoding="ascii") as schedstat:
                used += int(schedstat.read().split()[0])
        return used

    def watch(self):
        while not self.ended.wait(0.05):
            before = time.time()
            used = self.used_ns()
            self.points.append(((before + time.time()) / 2, used))

    def stop(self):
        self.ended.set()
        self.thread.join()

    def at(self, when):
        i = min(max(bisect.bisect(self.points, (when, 0)), 1), len(self.points) - 1)
        (t0, u0), (t1, u1) = self.points[i - 1], self.points[i]
        return u0 + (u1 - u0) * min(max((when - t0) / (t1 - t0), 0), 1)

    def between(self, start, end):
        return self.at(end) - self.at(start)


class Answer:
    """A profile as Go's decoder reads it, with its interval."""

    def __init__(self, body, header, scratch):
        self.header = header
        with tempfile.NamedTemporaryFile(dir=scratch, suffix=".pb.gz") as file:
            file.write(body)
            file.flush()
            environment = {"PATH": "/usr/bin:/bin", "HOME": scratch, "PPROF_TMPDIR": scratch}
            run = ["go", "tool", "pprof", "-symbolize=none"]
            raw = subprocess.run([*run, "-raw", file.name], capture_output=True, text=True, env=environment,
                                 timeout=120, check=True).stdout
            self.comments = subprocess.run([*run, "-comments", file.name], capture_output=True, text=True,
                                           env=environment, timeout=120, check=True).stdout
        self.profile = parse_raw(raw)
        stamp = TIME.search(raw)
        day = datetime.datetime.strptime(stamp.group(1), "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.timezone.utc)
        self.start = day.timestamp() + float(stamp.group(2) or 0)
        self.duration = float(DURATION.search(raw).group(1))
        if self.duration > 900:  # ms
            self.duration /= 1000
        self.ns = sum(sample.ns for sample in self.profile.samples if not any(
            name.startswith("[lost") for name in sample.functions))


def get(session, path):
    connection = UnixConnection(session.sockets[0], 200)
    connection.request("GET", path)
    answer = connection.getresponse()
    body, header = answer.read(), answer.getheader("X-Sonde-Window", "")
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"GET {path}: {answer.status} {body[:300]!r}")
    return body, header


def post(session, path):
    connection = UnixConnection(session.sockets[0], 20)
    connection.request("POST", path, headers={"Content-Length": "0"})
    status = connection.getresponse().status
    connection.close()
    if status != 200:
        raise RuntimeError(f"POST {path}: {status}")


class Readers(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="sonde-readers-")
        self.addCleanup(scratch.cleanup)
        self.scratch = scratch.name

    def busy(self, case, seconds):
        """A host that works for so long; its truth."""
        session = Session(ARGUMENTS.agent, ARGUMENTS.host, case, 100, self.scratch)
        self.addCleanup(session.process.stdout.close)
        self.addCleanup(session.__exit__)
        session.process.stdin.write(f"{seconds * 1000}\n")
        session.process.stdin.flush()
        truth = Truth(session.process.pid)
        self.addCleanup(truth.stop)
        time.sleep(0.5)
        return session, truth

    def test_thirty_overlapping_readers_each_get_their_own_interval(self):
        chance = random.Random(1)
        session, truth = self.busy("split", 22)
        answers, failures = [], []

        def read(delay, seconds, rate):
            time.sleep(delay)
            try:
                answers.append((seconds, rate, *get(session, f"/debug/pprof/profile?seconds={seconds}{rate}")))
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

        threads = [threading.Thread(target=read, args=(chance.uniform(0, 6), 1 + i % 8, chance.choice(
            ["", "&hz=50", "&hz=97", "&hz=199", "&hz=499"]))) for i in range(30)]
        for thread in threads:
            thread.start()
        most_bytes = 0
        while any(thread.is_alive() for thread in threads):
            status = session.status()
            tables = status["tables"]
            self.assertLessEqual(tables["capture_bytes"], tables["capture_bytes_max"])
            most_bytes = max(most_bytes, status["agent"]["memory_bytes"])
            time.sleep(0.2)
        self.assertEqual(failures, [])
        self.assertEqual(len(answers), 30)
        self.assertLessEqual(most_bytes, 16 << 20)
        total, starts, ends = {"spin_60": 0, "spin_30": 0, "spin_10": 0}, [], []
        for seconds, rate, body, header in answers:
            answer = Answer(body, header, self.scratch)
            self.assertGreater(answer.duration, seconds * 0.99, header)
            true_ns = truth.between(answer.start, answer.start + answer.duration)
            starts.append(answer.start)
            ends.append(answer.start + answer.duration)
            # A sample stands for the time since the one before: 20 ms at 50 Hz, at either end; and the truth is read
            # every 50 ms.
            slack_ns = 0.05 * true_ns + 150e6
            print(f"{seconds} s{rate}: {answer.duration:.2f} s, {answer.ns / 1e9:.3f} s of {true_ns / 1e9:.3f} s")
            self.assertLess(abs(answer.ns - true_ns), slack_ns, f"{seconds} s {rate} {header}")
            for name in total:
                total[name] += answer.profile.ns_in(name)
        used = dict(line.rsplit(" ", 1) for line in iter(session.read_line, "done"))
        used = {name: int(used[name]) for name in total}
        # Of one moment all readers have the same sample, and samples lie a tick of CPU time apart; those that many readers
        # have weigh more than others, so fewer of them count. Four standard deviations and 2 points.
        samples = truth.between(min(starts), max(ends)) / tick_ns() / 3
        for name, seen_ns in total.items():
            seen, true = seen_ns / sum(total.values()), used[name] / sum(used.values())
            print(f"{name}: {100 * seen:.1f} % of {100 * true:.1f} %")
            self.assertLess(abs(seen - true), 0.02 + 4 * (true * (1 - true) / samples) ** 0.5)

    def test_a_client_that_goes_ends_its_capture(self):
        session, _ = self.busy("split", 8)
        sockets = []
        for _ in range(10):
            sock = socket.socket(socket.AF_UNIX)
            self.addCleanup(sock.close)
            sock.connect(session.sockets[0])
            sock.sendall(b"GET /debug/pprof/profile?seconds=300&hz=500 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            sockets.append(sock)
        self.wait_for(lambda: session.status()["cpu"]["effective_rate_hz"] == 500)
        with_captures = session.status()["tables"]["capture_bytes"]
        self.assertGreater(with_captures, 0)
        for sock in sockets[:9]:
            sock.close()
        self.wait_for(lambda: session.status()["tables"]["capture_bytes"] < with_captures)
        self.assertEqual(session.status()["cpu"]["effective_rate_hz"], 500)
        sockets[9].close()
        self.wait_for(lambda: session.status()["cpu"]["effective_rate_hz"] == 100)
        self.assertEqual(session.status()["tables"]["capture_bytes"], 0)

    def test_a_capture_across_the_kill_switch_is_one_profile_without_the_gap(self):
        session, truth = self.busy("split", 12)
        result = []
        reader = threading.Thread(target=lambda: result.append(get(session, "/debug/pprof/profile?seconds=8")))
        reader.start()
        time.sleep(2)
        post(session, "/debug/sonde/off")
        off = time.time()
        time.sleep(3)
        post(session, "/debug/sonde/on")
        on = time.time()
        reader.join()
        answer = Answer(*result[0], self.scratch)
        # Within a second, says the kill switch.
        self.assertLess(abs(answer.duration - (8 - (on - off))), 1.1)
        self.assertIn("kill switch", answer.comments)
        self.assertIn("kill switch", answer.header)
        true_ns = truth.between(answer.start, off) + truth.between(on, answer.start + 8)
        print(f"{answer.duration:.2f} s, {answer.ns / 1e9:.3f} s of {true_ns / 1e9:.3f} s")
        self.assertLess(abs(answer.ns - true_ns), 1.2e9)
        self.assertGreater(answer.ns, 0)
        body, header = get(session, "/debug/pprof/profile?last=10s")
        past = Answer(body, header, self.scratch)
        self.assertIn("kill switch", past.comments)

    def wait_for(self, condition):
        deadline = time.monotonic() + 15
        while not condition():
            self.assertLess(time.monotonic(), deadline, "did not come true")
            time.sleep(0.1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True)
    parser.add_argument("--host", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])
