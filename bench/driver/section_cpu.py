# SPDX-License-Identifier: Apache-2.0
"""What always-on CPU sampling costs a thread that burns a core."""
from measure import BARE, Series, interleave, medians, run_program
from report import Bar, Row

TITLE = "CPU profile"
NOTE = ("One thread burns a core, 20 frames deep. *Fixed work*: CPU time of the thread for the same work. "
        "*Interrupted*: what the thread finds missing on its own CPU clock, in percent of a core (bare: the "
        "kernel's tick). *A signal*: what one adds to the tick that it comes with: the median of the gaps in which a "
        "signal's frame was written to the stack, less that of the ticks without. *Sampling*: a signal, times "
        "how many came in a second of CPU time, plus the CPU time of the profiler's own thread in the process, settled; "
        "perf, which sends none, and 1000 Hz, where every tick has one, count as interrupted minus bare. perf's own process is not counted.")


def command_of(lab, name):
    command = [lab.program("bench_cpu_cost"), str(lab.rounds(3000, 700))]
    if name.startswith("perf"):
        return ["perf", "record", "-q", "-e", "cpu-clock", "-g", "-F", "100", "-o", lab.path("perf.data"), *command]
    return command


def variants_of(lab):
    variants = {BARE: {}}
    for hz in (100, 1000):
        variants[f"libsonde, {hz} Hz"] = lab.sonde("bench_cpu_cost", hz)
    for hz in (100, 1000):
        lab.with_gperftools(variants, **{f"gperftools, {hz} Hz": lab.gperftools(hz)})
    if lab.have("perf", "perf (package linux-perf)"):
        variants["perf record, 100 Hz"] = {}
    return variants


def shares(results, part):
    return {name: [100 * part(run) for run in runs] for name, runs in results.items()}


def interrupted(run):
    return run["gap_ns"][0] / run["cpu_ns"][0]


def signal_us(run):
    """One signal's cost in µs of CPU time; None without any, and where hardly a tick is left to compare with."""
    count = run["signals"][0]
    return (run["signal_ns"][0] - run["tick_ns"][0]) / 1e3 if 0 < 2 * count <= run["ticks"][0] else None


def signal_share(run):
    return signal_us(run) * 1e3 * run["signals"][0] / run["cpu_ns"][0] if run["signals"][0] else None


def own_thread(run):
    return run["others_ns"][0] / run["wall_ns"][0]


def measure(lab):
    variants = variants_of(lab)
    results = interleave(list(variants), lab.rounds(9, 3),
                         lambda name: run_program(command_of(lab, name), variants[name]))
    work = {name: [ns / 1e6 for ns in runs] for name, runs in medians(results, "cpu_ns").items()}
    seen, own = shares(results, interrupted), shares(results, own_thread)
    rows = [Row("fixed work", name, "ms", Series(work[name], work[BARE]), None, "ratio") for name in variants]
    rows += [Row("interrupted", name, "% of a core", Series(seen[name], seen[BARE])) for name in variants]
    for name in list(variants)[1:]:
        signals = [signal_us(run) for run in results[name]]
        if None in signals:
            cost = [a - b + c for a, b, c in zip(seen[name], seen[BARE], own[name])]
        else:
            rows.append(Row("a signal", name, "µs", Series(signals, None), None, ""))
            cost = [100 * signal_share(run) + c for run, c in zip(results[name], own[name])]
        if name.startswith("libsonde"):
            start = [run["start_others_ns"][0] / 1e6 for run in results[name]]
            rows.append(Row("own thread, first 3 s", name, "ms", Series(start, None), None, ""))
            rows.append(Row("own thread", name, "% of a core", Series(own[name], own[BARE]), None, ""))
        bar = Bar("median", 0.1) if name == "libsonde, 100 Hz" else None
        rows.append(Row("sampling", name, "% of a core", Series(cost, own[BARE]), bar, ""))
    return rows
