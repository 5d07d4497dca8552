# SPDX-License-Identifier: Apache-2.0
"""What the agent adds to starting and joining a thread."""
from measure import BARE, Series, interleave, medians, run_program
from report import Bar, Row

TITLE = "Thread create + join"
NOTE = ("CPU time of the whole process (the agent's thread included) per pair, threads that do nothing, all on "
        "one processor. *First* 0.3 s: the agent has just started. *Steady*: after 4 s of it the agent knows that "
        "these threads are too short-lived to be found by looking, and lets them arm their own timer.")

KEYS = {"first": "early", "steady": "steady"}


def measure(lab):
    variants = {BARE: {}, "libsonde": lab.sonde(), "libsonde, named target": lab.sonde("bench_threads")}
    lab.with_gperftools(variants, **{"gperftools CPUPROFILE": lab.gperftools()})
    results = interleave(list(variants), lab.rounds(15, 2),
                         lambda name: run_program([lab.program("bench_threads")], variants[name]))
    rows = []
    for what, key in KEYS.items():
        us = {name: [ns / 1000 for ns in runs] for name, runs in medians(results, key).items()}
        for name in variants:
            bar = Bar("added", 1.0) if name.startswith("libsonde") else None
            rows.append(Row(what, name, "µs", Series(us[name], us[BARE]), bar))
    return rows
