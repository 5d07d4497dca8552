# SPDX-License-Identifier: Apache-2.0
"""The stack walker beside others, on the same stacks."""
import os
import re
import subprocess

from measure import Failed, Series
from report import Bar, Row

TITLE = "Unwinding, 40 frames"
NOTE = ("ns a frame, code without frame pointers. Hot: back to back. Cold: twice the third-level cache of other "
        "memory, 64 MiB at least, is written before each walk: caches and address translation are empty. Where a "
        "frame pointer chain can be had, the last row is what it costs at best. *sonde* asks the kernel for each two "
        "pages of stack, as all its walks do; *no probes* shows what that costs.")

LINE = re.compile(r"\| (.+?) +\| +40 \| +\d+ \| +([\d.]+) \| +([\d.]+) \|")
BARS = {"hot": 9, "cold": 50}
LIBUNWIND, COLD_RATIO = "libunwind unw_backtrace", 50 / 135


def run(lab):
    done = subprocess.run([lab.program("bench_unwind"), str(lab.rounds(15, 5))], capture_output=True, text=True,
                          timeout=300, check=False)
    walkers = {name: {"hot": float(hot), "cold": float(cold)} for name, hot, cold in LINE.findall(done.stdout)}
    if done.returncode != 0 or "sonde" not in walkers:
        raise Failed(f"bench_unwind ended with {done.returncode}: {done.stderr}{done.stdout}")
    return walkers


def measure(lab):
    if not os.path.exists(lab.program("bench_unwind")):
        lab.missing.append("bench_unwind (package libunwind-dev)")
        return []
    runs = [run(lab) for _ in range(lab.rounds(7, 1))]
    rows = []
    for what, limit in BARS.items():
        for name in runs[0]:
            values = [walkers[name][what] for walkers in runs]
            bar = Bar("median", limit) if name == "sonde" else None
            rows.append(Row(what, name, "ns", Series(values, values), bar, ""))
    # The bar of 50 ns was set where libunwind took 135 at most, with caches that were not empty.
    for name in (name for name in runs[0] if name.startswith("sonde")):
        values, base = ([walkers[one]["cold"] for walkers in runs] for one in (name, LIBUNWIND))
        bar = Bar("ratio", COLD_RATIO) if name == "sonde" else None
        rows.append(Row("cold, against libunwind", name, "ns", Series(values, base), bar, "ratio"))
    return rows
