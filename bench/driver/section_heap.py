# SPDX-License-Identifier: Apache-2.0
"""What a malloc + free pair costs, beside bare glibc, the allocators that sample by themselves, and the filters tried."""
from measure import BARE, Failed, Series, interleave, medians, run_program
from report import Bar, Row
from rivals import BASE, OURS, heap_rivals, label

TITLE = "Heap: malloc + free"
NOTE = ("CPU ns a pair of the measuring thread. *Hot*: the block that was just freed; *working set*: a random one of "
        "100,000 live blocks. *filter …* are the preloads of `programs/heap_filter.c`, which count down and look at the "
        "filter but never sample: what the agent's choice was made from; *branches taken*: now and then, as if they "
        "sampled. The working set swings by several ns from run to run with where the blocks lie. *Same blocks* does "
        "not: it changes one working set through the preload and past it in turn, a few milliseconds each.")

FILTERS = {0: "countdown only", 1: "filter 64 KiB, plain bits", 2: "filter 64 KiB, hashed", 3: "filter by page",
           4: "filter 4 KiB, plain bits", 5: "filter 16 KiB, plain bits", 6: "forward only",
           7: "filter 64 KiB, branches taken"}


def variants_of(lab):
    program = "bench_heap"
    variants = heap_rivals(lab, program)
    variants |= {"libsonde, heap off": lab.sonde(program, SONDE_HEAP="off"),
                 "libsonde, 64 KiB": lab.sonde(program, SONDE_HEAP_INTERVAL_BYTES="64KiB")}
    for number, name in FILTERS.items():
        variants[name] = {"LD_PRELOAD": lab.program(f"libheap_filter_{number}.so")}
    return variants


def run(lab, settings, threads):
    result = run_program([lab.program("bench_heap"), str(threads)], settings)
    if not result.get("hot"):
        raise Failed(f"bench_heap {threads} with {settings} printed no pair")
    return result


def rows_of(what, key, results, limit):
    ns = medians(results, key)
    rows = []
    for name in results:
        bar = Bar("added", limit) if name == "libsonde" else None
        rows.append(Row(what, label(name), "ns", Series(ns[name], ns[BASE.get(name, BARE)]), bar))
        if "malloc" in name:
            bar = Bar("ratio", 0.65) if (name, key) == (OURS, "hot") else None
            rows.append(Row(f"{what}, against bare", name, "ns", Series(ns[name], ns[BARE]), bar, compare="ratio"))
    return rows


def paired_rows(lab, variants, threads, suffix):
    """The working set by both ways in one process: allocators of their own cannot be had like that."""
    names = [name for name in variants if "malloc" not in name and name != "heaptrack"]
    results = interleave(names, lab.rounds(7, 2),
                         lambda name: run_program([lab.program("bench_heap"), str(threads), "paired"], variants[name]))
    direct, hooked = medians(results, "direct"), medians(results, "hooked")
    return [Row(f"same blocks{suffix}", name, "ns", Series(hooked[name], direct[name]),
                Bar("added", 6.0) if name == "libsonde" else None) for name in names]


def measure(lab):
    variants = variants_of(lab)
    rows = []
    for threads in (1, 2):
        results = interleave(list(variants), lab.rounds(11, 2), lambda name, n=threads: run(lab, variants[name], n))
        suffix = "" if threads == 1 else ", 2 threads"
        rows += rows_of(f"hot{suffix}", "hot", results, 1.0)
        rows += rows_of(f"working set{suffix}", "set", results, 6.0)
        rows += paired_rows(lab, variants, threads, suffix)
        if threads == 1:
            p999 = medians({name: results[name] for name in results if not name.startswith("filter")}, "single_p999")
            rows += [Row("p99.9 of a single malloc, elapsed", name, "ns", Series(p999[name], p999[BARE]))
                     for name in p999]
    return rows
