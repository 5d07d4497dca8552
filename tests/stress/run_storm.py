# SPDX-License-Identifier: Apache-2.0
"""storm_host under the agent, while profiles are asked for and the sampler is switched off, on and to other intervals.

Required: no block damaged, no child lost, every question answered with a profile or the reason why not, an agent that
comes back when it had to end for want of address space, no negative sum; and, when all is freed, no sample of the storm is live, and the agent's memory has not grown since the middle.
"""
import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "accuracy"))

from session import UnixConnection  # noqa: E402

SAMPLE = re.compile(r"^(-?\d+): (-?\d+) \[(-?\d+): (-?\d+)\] @(.*)$", re.MULTILINE)
QUESTIONS = ("heap?debug=1", "heap", "allocs", "heap?seconds=1", "heap?debug=1", "heap?age=1s", "profile?seconds=1")
INTERVALS = ("512KiB", "64KiB", "4KiB", "512", "1MiB")
LONGEST_OUTAGE_S = 100
GROWTH = 512 << 10  # bytes that the agent's memory may grow by in the second half


class Storm:
    def __init__(self, arguments, scratch):
        self.run_dir = os.path.join(scratch, "run")
        self.seconds, self.problems, self.answers, self.refusals = arguments.seconds, [], 0, set()
        self.outages = 0
        self.functions = self.storm_functions(arguments.host)
        self.host_name = os.path.basename(arguments.host)
        environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": os.path.abspath(arguments.agent),
                       "SONDE_RUN_DIR": self.run_dir, "SONDE_LISTEN": "", "SONDE_TARGET": self.host_name,
                       "SONDE_HEAP_INTERVAL_BYTES": "4KiB"}
        self.process = subprocess.Popen([arguments.host, str(arguments.seconds), str(arguments.threads),
                                         *arguments.plugins], env=environment, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.over = threading.Event()

    @staticmethod
    def storm_functions(host):
        text = subprocess.run(["nm", "-SC", host], capture_output=True, text=True, check=True).stdout
        found = re.findall(r"^([0-9a-f]+) ([0-9a-f]+) \w .*\bStorm(?:Allocate|Reallocate)\(", text, re.MULTILINE)
        assert len(found) == 2, f"expected StormAllocate and StormReallocate among the symbols of {host}"
        return [(int(at, 16), int(at, 16) + int(size, 16)) for at, size in found]

    def ask(self, method, path):
        sockets = [name for name in os.listdir(self.run_dir) if name.endswith(f"{self.process.pid}.sock")
                   or name.endswith(".sock")] if os.path.isdir(self.run_dir) else []
        if not sockets:
            raise OSError("no socket")
        connection = UnixConnection(os.path.join(self.run_dir, min(sockets)), 90)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def wait_for_agent(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if self.ask("GET", "/debug/pprof/heap?debug=1")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("no heap profile within 60 s of the start")

    def check_answer(self, path, status, body):
        if status == 200:
            self.answers += 1
            if "debug=1" in path:
                for row in SAMPLE.finditer(body.decode()):
                    if min(map(int, row.groups()[:4])) < 0:
                        self.problems.append(f"{path}: negative sums: {row[0][:200]}")
        elif status in (429, 500, 503) and body.strip():  # off, too many at once, or out of memory, and it says so
            self.refusals.add(f"{status} {body.decode().strip()[:150]}")
        else:
            self.problems.append(f"{path}: {status} {body[:200]!r}")

    def wait_out(self):
        """Without address space the agent may end; it has to be back when there is some."""
        self.outages += 1
        end = time.monotonic() + LONGEST_OUTAGE_S
        while not self.over.wait(0.2):
            try:
                self.ask("GET", "/healthz")
                return
            except OSError:
                if time.monotonic() > end:
                    self.problems.append(f"the agent has been gone for {LONGEST_OUTAGE_S} s")
                    self.over.set()

    def keep_asking(self, seed):
        dice = random.Random(seed)
        while not self.over.is_set():
            path = f"/debug/pprof/{dice.choice(QUESTIONS)}"
            try:
                self.check_answer(path, *self.ask("GET", path))
            except OSError:
                self.wait_out()
            time.sleep(dice.random() * 0.2)

    def keep_switching(self):
        dice = random.Random(5)
        while not self.over.wait(0.3 + dice.random()):
            words = ["heap=off", "heap=on"] if dice.random() < 0.4 else [
                f"heap_interval_bytes={dice.choice(INTERVALS)}"]
            for word in words:
                try:
                    status, body = self.ask("POST", f"/debug/sonde/config?{word}")
                except OSError:
                    self.wait_out()
                    continue
                if status != 200:
                    self.problems.append(f"POST {word}: {status} {body[:200]!r}")
                time.sleep(0.2)

    def agent_memory(self):
        text = self.ask("GET", "/metrics")[1].decode()
        return int(float(re.search(r"^sonde_agent_memory_bytes (\S+)$", text, re.MULTILINE)[1]))

    def live_of_storm(self):
        """Rows in use whose stack has a function of the storm."""
        profile = self.ask("GET", "/debug/pprof/heap?debug=1")[1].decode()
        base = min(int(line.split("-")[0], 16) for line in profile.partition("MAPPED_LIBRARIES")[2].splitlines()
                   if line.rstrip().endswith("/" + self.host_name))
        rows = []
        for row in SAMPLE.finditer(profile):
            frames = [int(frame, 16) - base - 1 for frame in row[5].split()]
            if int(row[1]) and any(first <= frame < last for frame in frames for first, last in self.functions):
                rows.append(row[0][:100])
        return rows

    def wait_for_end_of_outage(self):
        end = time.monotonic() + LONGEST_OUTAGE_S
        while time.monotonic() < end:
            try:
                return self.ask("GET", "/healthz")
            except OSError:
                time.sleep(0.5)
        return self.ask("GET", "/healthz")

    def check_end(self, memory_before):
        self.wait_for_end_of_outage()
        end = time.monotonic() + 30  # children that ended are noticed within seconds
        while rows := self.live_of_storm():
            if time.monotonic() > end:
                self.problems.append(f"{len(rows)} stacks hold blocks that were freed, one: {rows[0]}")
                break
            time.sleep(0.5)
        memory = self.agent_memory()
        if memory_before is not None and memory > memory_before + GROWTH:
            self.problems.append(f"the agent's memory grew from {memory_before} to {memory} bytes in the second half")
        return memory

    def memory_in_the_middle(self):
        """None for a short run: it is still filling its tables then."""
        if self.seconds < 60:
            return None
        time.sleep(self.seconds / 2)
        while not self.over.is_set():
            try:
                return self.agent_memory()
            except OSError:
                self.wait_out()
        return None

    def run(self):
        self.wait_for_agent()
        others = [threading.Thread(target=self.keep_asking, args=(seed,)) for seed in range(3)]
        others.append(threading.Thread(target=self.keep_switching))
        for other in others:
            other.start()
        memory_before = self.memory_in_the_middle()
        line = self.process.stdout.readline()
        self.over.set()
        for other in others:
            other.join()
        memory = self.check_end(memory_before) if line and not self.problems else 0
        errors = self.process.communicate(timeout=60)[1]
        if errors:
            self.problems.append(f"stderr of storm_host: {errors[-2000:]}")
        if not line.startswith("done") or self.process.returncode != 0:
            self.problems.append(f"storm_host ended with {self.process.returncode}: {line} {errors[-2000:]}")
        print(f"{line.strip()}; {self.answers} answers, {self.outages} connections lost, refused for {sorted(self.refusals)}; agent's memory "
              f"{(memory_before or 0) >> 10} KiB, then {memory >> 10} KiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("plugins", nargs=2)
    arguments = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix="sonde-storm-")
    storm = Storm(arguments, scratch)
    try:
        storm.run()
    finally:
        storm.over.set()
        storm.process.kill()
        storm.process.wait()
        shutil.rmtree(scratch, ignore_errors=True)
    print("\n".join(sorted(set(storm.problems))[:20]))
    return int(bool(storm.problems))


if __name__ == "__main__":
    sys.exit(main())
