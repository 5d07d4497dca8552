# SPDX-License-Identifier: Apache-2.0
"""Asks `sonde cpu --last` who burnt the core: the process, the thread, the function, and their shares."""
import json
import os
import re
import subprocess
from dataclasses import dataclass, field

from lab import AGENT_PORT

SONDE = os.environ.get("SONDE", "")
INCONCLUSIVE = 4  # a machine short of CPU loses samples, and says so


@dataclass
class HotCheck:
    label: str
    found: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    kind: str = "hot"

    def passes(self):
        return not self.problems

    def figure(self):
        return f"{self.label}: {', '.join(self.found)}" if self.passes() else f"{self.label}: FAILED"

    def __str__(self):
        return f"{self.label}: {'; '.join(self.found + self.problems)}"


def ask(*arguments):
    done = subprocess.run([SONDE, "cpu", f":{AGENT_PORT}", "--json", "--top", "2000", *arguments], capture_output=True,
                          text=True, timeout=60, check=False)
    if done.returncode not in (0, INCONCLUSIVE):
        raise RuntimeError(f"sonde cpu ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def check_hot(lab, label, tid, functions, window="30s", least=0.5, name=""):
    """The thread `tid` has at least that share of the CPU time of all processes, and the functions that of its."""
    if not lab.agent:
        return
    check = HotCheck(label)
    lab.profiles.append(check)
    threads = ask("--last", window, "--by", "thread")
    own = sum(row["flat"] for row in threads["rows"] if f"tid {tid})" in row["name"] and name in row["name"])
    judge(check, f"thread {tid} {name}".strip(), own, least, threads)
    answer = ask("--last", window)
    for pattern in functions:
        held = max((row["cumulative"] for row in answer["rows"] if re.search(pattern, row["name"])), default=0)
        judge(check, pattern, held, least, answer)


def judge(check, what, held, least, answer):
    total, rows = answer["total"], answer["rows"]
    text = f"{what} {100 * held / max(total, 1):.0f} %"
    if total > 0 and held >= least * total:
        check.found.append(text)
    else:
        listed = ", ".join(f"{row['name']} {row['flat'] / 1e9:.2f}" for row in rows[:8])
        check.problems.append(f"{text} of {total / 1e9:.2f} s, not {least:.0%}; {listed}")
