# SPDX-License-Identifier: Apache-2.0
"""What a hooked call costs more than libc's own."""
from measure import BARE, Series, interleave, medians, run_program
from report import Row

TITLE = "Hooked calls"
NOTE = ("CPU ns a call, in its cheapest form. Off: SONDE_ENABLE=off. Waiting: loaded, but this process made no "
        "thread and so is not served. On: the named target. pthread_create is in the table of threads.")

CALLS = ("poll", "epoll_wait", "sigaction", "syscall(SYS_getpid)")


def measure(lab):
    variants = {BARE: {}, "off": lab.sonde(SONDE_ENABLE="off"), "waiting": lab.sonde(),
                "on": lab.sonde("bench_hooks")}
    results = interleave(list(variants), lab.rounds(11, 2),
                         lambda name: run_program([lab.program("bench_hooks")], variants[name]))
    rows = []
    for call in CALLS:
        ns = medians(results, call)
        rows += [Row(call, name, "ns", Series(ns[name], ns[BARE])) for name in variants]
    return rows
