# SPDX-License-Identifier: Apache-2.0
"""Fetches a CPU profile as a user would and measures how many of its samples have whole stacks.

The decoder is Go's own pprof, which shares no code with the agent. A stack is whole when one of its outermost
three frames is where a process or a thread begins; in a stripped program `_start` itself has no name.
"""
import os
import re
import subprocess
from dataclasses import dataclass, field

ROOT = r"^(_start|__libc_start\w*|main|start_thread|thread_start|__?clone3?|clone)\b"
DEMANDED_SHARE = 0.99
FEW_SAMPLES = 20  # below which nothing is shown
NOT_SAMPLED = "[not sampled]"


@dataclass
class ProfileCheck:
    samples: int
    whole: int
    cut: list
    problems: list = field(default_factory=list)
    kind: str = "cpu"

    def share(self):
        return self.whole / self.samples if self.samples else 0.0

    def passes(self):
        return self.share() >= DEMANDED_SHARE and self.samples >= FEW_SAMPLES and not self.problems

    def figure(self):
        return f"{100 * self.share():.1f} % of {self.samples}"

    def __str__(self):
        worst = "; ".join(" < ".join(stack[-3:]) + f" ({count})" for stack, count in self.cut[:4])
        return f"{self.samples} samples, {100 * self.share():.1f} % reach main or the thread start; cut: {worst}" + \
            "; ".join(["", *self.problems])


def fetch(url, path, socket=None):
    through = ["--unix-socket", socket] if socket else []
    done = subprocess.run(["curl", "-sS", "--fail", "--max-time", "60", *through, "-o", path, url], capture_output=True,
                          text=True)
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


def check_profile(url, path, roots=ROOT, functions=None, socket=None, unsampled=0.0):
    fetch(url, path, socket)
    return measure(path, roots, functions or {}, unsampled)


def measure(path, roots=ROOT, functions=None, unsampled=0.0):
    samples = parse(raw_text(path))
    left_out = sum(count for count, stack in samples if stack == [NOT_SAMPLED])
    if unsampled and left_out <= unsampled * sum(count for count, _ in samples):
        samples = [sample for sample in samples if sample[1] != [NOT_SAMPLED]]
    total, whole, cut = 0, 0, {}
    for count, stack in samples:
        total += count
        if any(re.match(roots, name) for name in stack[-3:]):
            whole += count
        else:
            cut[tuple(stack)] = cut.get(tuple(stack), 0) + count
    check = ProfileCheck(total, whole, sorted(cut.items(), key=lambda item: -item[1]))
    for pattern, least in (functions or {}).items():
        below = sum(count for count, stack in samples if any(re.search(pattern, name) for name in stack))
        if below < least * total:
            check.problems.append(f"{pattern} has {below} of {total} samples, not {least:.0%}")
    return check
