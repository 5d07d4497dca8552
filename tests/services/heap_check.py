# SPDX-License-Identifier: Apache-2.0
"""Fetches the heap profile as a user would and looks for those who are known to hold the memory.

What is expected of a service: {pattern: (at least, at most)} bytes in use below a function that matches the pattern;
where the allocator cannot be seen, the reason instead ("not covered"). An empty profile without a reason never passes.
"""
import os
import re
import subprocess
from dataclasses import dataclass, field

from profile_check import fetch

LITTLE = 4 << 20  # eight times the mean distance of two samples
UNITS = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
ROW = re.compile(r"^\s*(-?[\d.]+)([kMG]?B)?\s+-?[\d.]+%\s+-?[\d.]+%\s+(-?[\d.]+)([kMG]?B)?\s+-?[\d.]+%\s+(.+)$")


@dataclass
class HeapCheck:
    in_use: int = 0
    problems: list = field(default_factory=list)
    reasons: list = field(default_factory=list)
    holders: list = field(default_factory=list)
    kind: str = "heap"

    def passes(self):
        return not self.problems

    def figure(self):
        return self.reasons[0].split(":")[0] if self.reasons and not self.in_use else f"{self.in_use / (1 << 20):.1f} MiB"

    def __str__(self):
        return f"heap: {self.in_use >> 10} KiB in use; {'; '.join(self.holders + self.reasons + self.problems)}"


def top(path):
    environment = {**os.environ, "HOME": os.path.dirname(path), "PPROF_TMPDIR": os.path.dirname(path)}
    environment.pop("LD_PRELOAD", None)
    done = subprocess.run(["go", "tool", "pprof", "-sample_index=inuse_space", "-top", "-cum", "-nodecount=1000000",
                           "-nodefraction=0", "-symbolize=none", path], capture_output=True, text=True,
                          env=environment)
    return done.returncode, done.stdout + done.stderr


def rows(text):
    """(flat bytes, cumulative bytes, function) of pprof's table."""
    for line in text.splitlines():
        if match := ROW.match(line):
            flat, cumulative = (float(match[i]) * UNITS.get(match[i + 1] or "B") for i in (1, 3))
            yield flat, cumulative, match[5]


def check_heap(base, path, live, holders=None, not_covered=None):
    """live: bytes of heap by the page of memory; so few may lie between two samples, which the profile then says."""
    fetch(f"{base}/debug/pprof/heap", path)
    return judge(*top(path), live, holders or {}, not_covered)


def judge(status, text, live, holders, not_covered):
    check = HeapCheck()
    table = list(rows(text))
    check.in_use = int(sum(flat for flat, _, _ in table))
    check.reasons = [line for line in text.splitlines() if line.startswith("not covered:")]
    if live < LITTLE and "rests on 0 samples" in text:
        check.reasons.append("too little to be sampled")
    if status:
        check.problems.append(f"go tool pprof does not read it: {text[:500]}")
    elif not_covered and not any(re.search(not_covered, line) for line in check.reasons):
        check.problems.append(f"no 'not covered' that says {not_covered}: {text[:500]}")
    elif not check.in_use and not check.reasons:
        check.problems.append(f"empty, and no reason why: {text[:500]}")
    for pattern, bounds in holders.items():
        look_for(pattern, bounds, table, check)
    return check


def look_for(pattern, bounds, table, check):
    held = max((cumulative for _, cumulative, name in table if re.search(pattern, name)), default=0)
    text = f"{pattern} holds {held / (1 << 20):.2f} MiB"
    if bounds[0] <= held <= bounds[1]:
        check.holders.append(text)
    else:
        largest = ", ".join(f"{name} {flat / 1024:.0f} KiB" for flat, _, name in sorted(table, reverse=True)[:6])
        check.problems.append(f"{text}, not {bounds[0] / (1 << 20):.2f}..{bounds[1] / (1 << 20):.2f}; {largest}")
