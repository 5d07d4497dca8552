# SPDX-License-Identifier: Apache-2.0
"""Fetches a CPU profile as a user would and measures how many of its samples have whole stacks.

The decoder is Go's own pprof, which shares no code with the agent. A stack is whole when one of its outermost
three frames is where a process or a thread begins; in a stripped program `_start` itself has no name.
"""
import os
import re
import subprocess
from dataclasses import dataclass

ROOT = re.compile(r"^(_start|__libc_start\w*|main|start_thread|thread_start|__?clone3?|clone)\b")
DEMANDED_SHARE = 0.95


@dataclass
class ProfileCheck:
    samples: int
    whole: int
    cut: list

    def share(self):
        return self.whole / self.samples if self.samples else 0.0

    def passes(self):
        return self.share() >= DEMANDED_SHARE

    def __str__(self):
        worst = "; ".join(" < ".join(stack[-3:]) + f" ({count})" for stack, count in self.cut[:4])
        return f"{self.samples} samples, {100 * self.share():.1f} % reach main or the thread start; cut: {worst}"


def fetch(url, path):
    done = subprocess.run(["curl", "-sS", "--fail", "--max-time", "60", "-o", path, url], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{url}: {done.stderr}")


def raw_text(path):
    environment = {**os.environ, "HOME": os.path.dirname(path), "PPROF_TMPDIR": os.path.dirname(path)}
    environment.pop("LD_PRELOAD", None)
    done = subprocess.run(["go", "tool", "pprof", "-raw", "-symbolize=none", path], capture_output=True, text=True,
                          env=environment, check=True)
    return done.stdout


def parse(text):
    """Yields (count, [function names, leaf first]) of pprof's raw listing."""
    samples, names, section, location = [], {}, "", 0
    for line in text.splitlines():
        if line in ("Samples:", "Locations", "Mappings"):
            section = line
        elif section == "Samples:" and (match := re.match(r"\s+(\d+)\s+\d+: ([\d ]+)", line)):
            samples.append((int(match[1]), [int(number) for number in match[2].split()]))
        elif section == "Locations" and (match := re.match(r"\s+(\d+): (0x[0-9a-f]+) (?:M=\d+ ?)?(.*)", line)):
            location = int(match[1])
            names[location] = (re.sub(r" \S*:\d+(:\d+)? s=\d+.*", "", match[3]) or match[2]).strip()
    return [(count, [names.get(number, "?") for number in stack]) for count, stack in samples]


def check_profile(url, path):
    fetch(url, path)
    return measure(path)


def measure(path):
    samples = parse(raw_text(path))
    whole = sum(count for count, stack in samples if any(ROOT.match(name) for name in stack[-3:]))
    cut = {}
    for count, stack in samples:
        if not any(ROOT.match(name) for name in stack[-3:]):
            cut[tuple(stack)] = cut.get(tuple(stack), 0) + count
    return ProfileCheck(sum(count for count, _ in samples), whole, sorted(cut.items(), key=lambda item: -item[1]))
