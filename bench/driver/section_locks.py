# SPDX-License-Identifier: Apache-2.0
"""What the lock hooks add: while they are off, as by default, and while they measure."""
import statistics

from measure import BARE, Series, interleave, medians, run_program
from report import Bar, Row

TITLE = "Locks"
NOTE = ("CPU ns of a lock and its unlock. *mutex*, *rdlock*, *semaphore*: nobody else wants it. *By turns*: one mutex in one "
        "process, through the preload and past it, a few microseconds each; its bare row is what such a comparison finds between "
        "two equal things. *contended*: two threads fight for one mutex; CPU time of the process a pair. Off is the default; "
        "measuring is `SONDE_LOCKS=on`.")

KEYS = ("mutex", "rdlock", "semaphore", "contended")


def measure(lab):
    variants = {BARE: {}, "off": lab.sonde("bench_locks"), "measuring": lab.sonde("bench_locks", SONDE_LOCKS="on")}
    results = interleave(list(variants), lab.rounds(11, 2),
                         lambda name: run_program([lab.program("bench_locks")], variants[name]))
    rows = []
    for key in KEYS:
        ns = medians(results, key)
        for name in variants:
            bar = Bar("added", 2.0) if key == "mutex" and name != BARE else None
            rows.append(Row(key, name, "ns", Series(ns[name], ns[BARE]), bar))
    return rows + turn_rows(results)


def turn_rows(results):
    """The mutex by turns, each run compared with itself."""
    rows = []
    for name, runs in results.items():
        direct, hooked = ([statistics.median(run[key]) for run in runs] for key in ("direct", "hooked"))
        bar = Bar("added", 2.0) if name != BARE else None
        rows.append(Row("mutex, by turns", name, "ns", Series(hooked, direct), bar))
    return rows
