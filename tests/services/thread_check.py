# SPDX-License-Identifier: Apache-2.0
"""Fetches the dump of all threads as a user would and compares it with what the kernel lists.

Every thread that lived before and after the dump must be in it, and the stack of every one must reach its start.
"""
import os
import re
from dataclasses import dataclass, field

from profile_check import ROOT, fetch

HEADING = re.compile(r'^thread (\d+) "(.*)" \[(\w+)')
FRAME = re.compile(r"^#\d+\t0x[0-9a-f]+\t(.*?)(\t.*)?$")


@dataclass
class ThreadCheck:
    listed: int = 0
    whole: int = 0
    problems: list = field(default_factory=list)
    excused: list = field(default_factory=list)
    kind: str = "threads"

    def passes(self):
        return not self.problems

    def figure(self):
        return f"{self.whole}/{self.listed}"

    def __str__(self):
        return f"threads: {self.listed} listed, {self.whole} whole; {'; '.join(self.problems + self.excused)}"


@dataclass
class Thread:
    tid: int
    name: str
    state: str
    frames: list = field(default_factory=list)
    notes: list = field(default_factory=list)


def parse(text):
    threads = []
    for line in text.splitlines():
        if match := HEADING.match(line):
            threads.append(Thread(int(match[1]), match[2], match[3]))
        elif match := FRAME.match(line):
            threads[-1].frames.append(match[1])
        elif line.startswith("\t("):
            threads[-1].notes.append(line.strip())
    return threads


def tasks(pid):
    """tid -> name of the host's threads; those of the agent are not listed by a dump."""
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{tid}/comm", encoding="utf-8", errors="replace") as comm:
                found[int(tid)] = comm.read().strip()
        except FileNotFoundError:
            pass
    return {tid: name for tid, name in found.items() if not name.startswith("sonde")}


def is_undumpable(pid):
    """A process that changed its user: its files in /proc are root's, and the agent in it may not read them all."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        user = next(int(line.split()[1]) for line in status if line.startswith("Uid:"))
    return user != 0 and os.stat(f"/proc/{pid}/mem").st_uid == 0


def check_threads(base, path, pid, roots=ROOT):
    before = tasks(pid)
    fetch(f"{base}/debug/pprof/goroutine?debug=2", path)
    stable = before.keys() & tasks(pid).keys()
    with open(path, encoding="utf-8", errors="replace") as file:
        return judge(parse(file.read()), stable, roots, is_undumpable(pid))


def judge(threads, stable, roots, undumpable):
    check = ThreadCheck(listed=len(threads))
    missing = stable - {thread.tid for thread in threads}
    if missing:
        check.problems.append(f"not listed: {sorted(missing)}")
    for thread in threads:
        if any(re.match(roots, frame) for frame in thread.frames[-3:]):
            check.whole += 1
        else:
            text = f"{thread.tid} {thread.name} [{thread.state}] {' < '.join(thread.frames[-3:])} {thread.notes}"
            # A thread that runs is asked by its own CPU clock; when it does not get the CPU in time, it is said.
            told = thread.state == "running" and thread.notes
            denied = any("the kernel denies" in note for note in thread.notes) and undumpable
            (check.excused if told or denied or thread.tid not in stable else check.problems).append(text)
    if not threads:
        check.problems.append("the dump is empty")
    return check
