# SPDX-License-Identifier: Apache-2.0
"""What preloading adds to the start and end of the smallest program."""
import subprocess

from measure import BARE, Failed, Series
from report import Bar, Row

TITLE = "Process start: `/bin/true`"
NOTE = ("posix_spawn to wait4; CPU time is the child's own, user and system. As the named target the agent's "
        "thread starts with the program, which a service does once; every other process is the row above it.")

BARS = {"libsonde": Bar("added", 120)}


def variants_of(lab):
    empty = {"LD_PRELOAD": lab.program("libbench_empty.so")}
    variants = {BARE: {}, "empty library": empty, "libsonde": lab.sonde(),
                "libsonde, another target": lab.sonde("redis-server"), "libsonde, named target": lab.sonde("true")}
    return lab.with_gperftools(variants, **{"gperftools CPUPROFILE": lab.gperftools()})


def measure(lab):
    variants = variants_of(lab)
    texts = [",".join([name.replace(",", ";")] + [f"{key}={value}" for key, value in settings.items()])
             for name, settings in variants.items()]
    done = subprocess.run([lab.program("bench_spawn"), str(lab.rounds(500, 60)), "/bin/true", *texts],
                          capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Failed(done.stderr)
    cpu, wall = {}, {}
    for line in done.stdout.splitlines():
        name, cpu_ns, wall_ns = line.rsplit(" ", 2)
        cpu.setdefault(name.replace(";", ","), []).append(float(cpu_ns) / 1000)
        wall.setdefault(name.replace(";", ","), []).append(float(wall_ns) / 1000)
    rows = [Row("CPU time", name, "µs", Series(cpu[name], cpu[BARE]), BARS.get(name)) for name in variants]
    return rows + [Row("elapsed", name, "µs", Series(wall[name], wall[BARE]), BARS.get(name)) for name in variants]
