# SPDX-License-Identifier: Apache-2.0
"""A single-threaded host must stay one: libc and libstdc++ are faster there."""
from measure import BARE, Failed, Series, interleave, medians, run_program
from report import Bar, Row

TITLE = "Single-threaded host"
NOTE = ("CPU ns a call. Not the named target: no thread is made, so nothing may change. The named target has the "
        "agent's thread, and pays what any second thread costs (libc and libstdc++ begin to lock). *Forward only* is a "
        "preload whose malloc and free are one jump each: what no other one can go below.")

CALLS = {"getc": "getc", "shared_ptr": "copy of a shared_ptr", "malloc": "malloc + free of 4 KiB"}
THREADS = {BARE: 1, "forward only": 1, "libsonde": 1, "libsonde, named target": 2}


def run(lab, name, settings):
    result = run_program([lab.program("bench_single_thread")], settings)
    if result["threads"] != [THREADS[name]]:
        raise Failed(f"bench_single_thread as '{name}' has {result['threads']} threads, not {THREADS[name]}")
    return result


def measure(lab):
    variants = {BARE: {}, "forward only": {"LD_PRELOAD": lab.program("libheap_filter_6.so")}, "libsonde": lab.sonde(),
                "libsonde, named target": lab.sonde("bench_single_thread")}
    results = interleave(list(variants), lab.rounds(11, 2), lambda name: run(lab, name, variants[name]))
    rows = []
    for key, what in CALLS.items():
        ns = medians(results, key)
        for name in variants:
            bar = Bar("ratio", 1.0, noise=0.03) if name == "libsonde" else None
            rows.append(Row(what, name, "ns", Series(ns[name], ns[BARE]), bar, "ratio"))
    return rows
