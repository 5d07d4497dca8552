# SPDX-License-Identifier: Apache-2.0
"""What the lock hooks add: while they are off, as by default, and while they measure."""
from measure import BARE, Series, interleave, medians, run_program
from report import Bar, Row

TITLE = "Locks"
NOTE = ("CPU ns of a lock and its unlock. *mutex*, *rdlock*, *semaphore*: nobody else wants it. *contended*: two threads "
        "fight for one mutex; CPU time of the process a pair. Off is the default; measuring is `SONDE_LOCKS=on`.")

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
    return rows
