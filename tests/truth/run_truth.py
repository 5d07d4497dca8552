# SPDX-License-Identifier: Apache-2.0
"""truth_host under the agent: its heap profile, by call site, against its own exact books.

Plans: quick (one run), exact (every block a sample), whole (2 to 64 threads, many runs). Exit 1 and a line for each
sum that is not what it should be.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "accuracy"))

from bounds import Check, SUMS, inexact, misjudged, outside, summary  # noqa: E402
from session import UnixConnection  # noqa: E402

# (threads, interval in bytes, samples a shape, calls at most) of each run.
PLANS = {
    "quick": [(threads, 16384, 1200, 800_000) for threads in (2, 4, 16, 64)],
    "exact": [(threads, 1, 1e9, 160) for threads in (2, 20)],
    "whole": [(threads, 16384, 1200, 800_000) for threads in (2, 3, 8, 24, 64) for _ in range(12)],
}
SITE_LINE = re.compile(r"^site (\d+) (.*?) \|(.*)\|(.*)\|(.*)\|(.*)\|$")
SITE_SYMBOL = re.compile(r"^([0-9a-f]+) ([0-9a-f]+) \w .*\bAt<(\d+)>\(")
SAMPLE = re.compile(r"^(-?\d+): (-?\d+) \[(-?\d+): (-?\d+)\] @(.*)$")


class Failed(Exception):
    """The run did not come to a result."""


def site_ranges(host):
    """[(first address, behind the last, site)], as the file says."""
    text = subprocess.run(["nm", "-SC", host], capture_output=True, text=True, check=True).stdout
    found = [SITE_SYMBOL.match(line) for line in text.splitlines()]
    return [(int(m[1], 16), int(m[1], 16) + int(m[2], 16), int(m[3])) for m in found if m]


def load_address(profile, host):
    """From the list of mappings at the end of the profile."""
    name = os.path.basename(host)
    starts = [int(line.split("-")[0], 16) for line in profile.partition("MAPPED_LIBRARIES")[2].splitlines()
              if line.rstrip().endswith("/" + name)]
    if not starts:
        raise Failed(f"the profile does not list {name} among its mappings")
    return min(starts)


def sums_by_site(profile, host):
    """{site: [live bytes, live objects, bytes, objects]} of a heap profile's text form."""
    base, ranges = load_address(profile, host), site_ranges(host)
    if not ranges:
        raise Failed(f"{host} has no functions At<N>")
    sums = {}
    for line in profile.splitlines():
        if not (match := SAMPLE.match(line)):
            continue
        objects, size, all_objects, all_size = map(int, match.groups()[:4])
        frames = [int(frame, 16) - base - 1 for frame in match[5].split()]
        site = next((site for frame in frames for first, last, site in ranges if first <= frame < last), None)
        if site is not None:
            before = sums.get(site, [0] * 4)
            sums[site] = [a + b for a, b in zip(before, (size, objects, all_size, all_objects))]
    return sums


def checks_of(books, sums, run):
    checks = []
    for line in books:
        match = SITE_LINE.match(line)
        site = int(match[1])
        for i, name in enumerate(SUMS):
            truth, variance, step = map(float, match[3 + i].split())
            checks.append(Check(f"{run}: {match[2]}, site {site % 4}", name, truth, variance, step,
                                sums.get(site, [0] * 4)[i]))
    return checks


class Session:
    """truth_host under the agent; `with` ends it."""

    def __init__(self, agent, host, run, scratch, **settings):
        self.run_dir = os.path.join(scratch, "run")
        shutil.rmtree(self.run_dir, ignore_errors=True)
        environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": os.path.abspath(agent), "SONDE_RUN_DIR": self.run_dir,
                       "SONDE_LISTEN": "", "SONDE_TARGET": os.path.basename(host), "SONDE_CPU_LIMIT_PERCENT": "100",
                       "SONDE_HEAP_INTERVAL_BYTES": str(run[1]), **settings}
        self.process = subprocess.Popen([host, *(f"{word:.0f}" for word in run)], env=environment, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_for_agent(self):
        """Its first answer comes when the sampler is on."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                return self.profile()
            except (OSError, Failed):
                time.sleep(0.05)
        raise Failed("no heap profile within 30 s of the start")

    def profile(self):
        return self.get("/debug/pprof/heap?debug=1")

    def get(self, path):
        names = os.listdir(self.run_dir) if os.path.isdir(self.run_dir) else []
        sockets = [name for name in names if name.endswith(".sock")]
        if not sockets:
            raise Failed("no socket")
        connection = UnixConnection(os.path.join(self.run_dir, sockets[0]), 60)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        if answer.status != 200:
            raise Failed(f"{path}: {answer.status} {body[:300]}")
        return body

    def books(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line == "ready\n":
                return lines
            lines.append(line.rstrip("\n"))
        raise Failed(f"truth_host ended early, with {self.process.wait()}")


def measure(agent, host, run, scratch):
    with Session(agent, host, run, scratch) as session:
        session.wait_for_agent()
        books = session.books()
        profile = session.profile()
    lost = re.findall(r"^# (\[dropped.*)$", profile, re.MULTILINE)
    if lost:
        raise Failed(f"the profile lost samples, so its sums are not to be judged: {', '.join(sorted(set(lost)))}")
    return checks_of(books, sums_by_site(profile, host), f"{run[0]} threads")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("plan", choices=PLANS)
    arguments = parser.parse_args()
    sampled, exact = [], []
    with tempfile.TemporaryDirectory(prefix="sonde-truth-") as scratch:
        for run in PLANS[arguments.plan]:
            (exact if run[1] == 1 else sampled).extend(measure(arguments.agent, arguments.host, run, scratch))
    problems = list(inexact(exact))
    if sampled:
        problems += [*outside(sampled), *misjudged(sampled)]
    print("\n".join([f"{len(exact)} exact sums, {len(sampled)} estimates", *summary(sampled), *problems]))
    return int(bool(problems))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        print(error)
        sys.exit(1)
