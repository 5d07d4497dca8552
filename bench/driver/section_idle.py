# SPDX-License-Identifier: Apache-2.0
"""An idle process that the agent serves: memory, and the CPU time of an agent with nothing to do."""
import subprocess
import time

from measure import BARE, Failed, Series, cpu_seconds_of, interleave, threads_of
from report import Bar, Row

TITLE = "Idle service"
NOTE = ("A program that only waits in poll(), 50 times a second, named as target. CPU time of the whole process "
        "over 3 s after the agent has settled.")


def run(lab, settings):
    process = subprocess.Popen([lab.program("bench_idle")], env={"PATH": "/usr/bin:/bin", **settings})
    try:
        time.sleep(2)
        before = cpu_seconds_of(process.pid)
        time.sleep(3)
        used = cpu_seconds_of(process.pid) - before
        with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
            fields = dict(line.split(":", 1) for line in status)
        expected = 2 if settings else 1
        if threads_of(process.pid) != expected:
            raise Failed(f"bench_idle has {threads_of(process.pid)} threads, not {expected}")
        return {"rss": int(fields["VmRSS"].split()[0]) / 1024, "cpu": 100 * used / 3}
    finally:
        process.terminate()
        process.wait(20)


def measure(lab):
    variants = {BARE: {}, "libsonde, named target": lab.sonde("bench_idle")}
    results = interleave(list(variants), lab.rounds(5, 1), lambda name: run(lab, variants[name]))
    rows = []
    for what, key, unit, bar in (("memory (RSS)", "rss", "MiB", Bar("added", 4.0)),
                                 ("CPU", "cpu", "% of a core", None)):
        bare = [run[key] for run in results[BARE]]
        for name in variants:
            values = bare if name == BARE else [run[key] for run in results[name]]
            rows.append(Row(what, name, unit, Series(values, bare), bar if name != BARE else None))
    return rows
