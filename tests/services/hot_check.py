# SPDX-License-Identifier: Apache-2.0
"""Asks `sonde cpu --last` and `sonde hot` who burnt the core: the process, the thread, the function, and their shares."""
import json
import os
import re
import subprocess
import time
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


# For a machine that runs other tests: much less of a core, and sooner, than by default.
SENSITIVE = {"SONDE_HOT_AFTER": "3s", "SONDE_HOT_PERCENT": "10"}
# How long after the end it is asked again.
PAUSE_S = float(os.environ.get("SONDE_HOT_PAUSE", "0"))


def favour(process):
    """Before what else the machine runs, where we may: its threads and children inherit that."""
    try:
        os.setpriority(os.PRIO_PROCESS, process.pid, -15)
    except PermissionError:
        pass


def check_finding(lab, label, pid, tid, function, active, least=0.5, said=""):
    """`sonde hot` names the thread of the process, whether it goes on, and the function with its share, in its sentence
    one that matches `said`."""
    if not lab.agent:
        return
    check = HotCheck(label, kind="sonde hot")
    lab.profiles.append(check)
    done, found = None, []

    def asked():
        nonlocal done, found
        done = subprocess.run([SONDE, "hot", f":{AGENT_PORT}", "--json"], capture_output=True, text=True, timeout=60,
                              check=False)
        found = [finding for finding in json.loads(done.stdout or '{"findings": []}')["findings"]
                 if finding["kind"] == "hot_thread" and finding["pid"] == pid and finding["facts"]["tid"] == str(tid)]
        return found

    lab.wait_for(asked, 8 if active else 1)  # a machine that others use gives it a core late
    if done.returncode != 3 or not found:
        check.problems.append(f"exit {done.returncode}, no finding for pid {pid} tid {tid}: {done.stdout[:1500]}")
        return
    finding = found[0]
    share = max((row["share"] for row in finding["functions"] if re.search(function, row["function"])), default=0)
    text = f"{finding['sentence']}; {function} {share:.0%}"
    right = share >= least and finding["active"] == active and re.search(said, finding["sentence"])
    (check.found if right else check.problems).append(text)


def check_later(lab, label, pid, tid, function, least=0.5, said=""):
    """The same after it has ended, and after the pause."""
    if lab.agent:
        lab.wait_for(lambda: not any(f["active"] for f in findings() if f["facts"].get("tid") == str(tid)), 20)
        time.sleep(PAUSE_S)
    check_finding(lab, f"{label}, {PAUSE_S:.0f} s later" if PAUSE_S else label, pid, tid, function, False, least, said)


def findings():
    done = subprocess.run([SONDE, "findings", f":{AGENT_PORT}", "--json"], capture_output=True, text=True, timeout=60,
                          check=False)
    return json.loads(done.stdout or '{"findings": []}')["findings"]


def judge(check, what, held, least, answer):
    total, rows = answer["total"], answer["rows"]
    text = f"{what} {100 * held / max(total, 1):.0f} %"
    if total > 0 and held >= least * total:
        check.found.append(text)
    else:
        listed = ", ".join(f"{row['name']} {row['flat'] / 1e9:.2f}" for row in rows[:8])
        check.problems.append(f"{text} of {total / 1e9:.2f} s, not {least:.0%}; {listed}")
