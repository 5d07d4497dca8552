#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares Sonde's unwind tables with readelf's reading of .eh_frame, row by row.

    compare_rows.py UNWIND_ROWS FILE...

For each row of `readelf --debug-dump=frames-interp` the first and the last pc are looked up in the
packed table. Prints the share of pcs that agree and the kinds of disagreement; fails below 99.9 %,
or when a file gives suspiciously few rows. Files that do not exist are named and skipped; with no
file at all the test is skipped (77).
"""
import collections
import os
import re
import subprocess
import sys

WANTED_SHARE = 0.999
FEWEST_ROWS = 100
FDE = re.compile(r"FDE .*pc=([0-9a-f]+)\.\.([0-9a-f]+)")


def interpreted_rows(path):
    """Yields (first pc, last pc, CFA, rbp, ra) in readelf's words."""
    command = ["readelf", "-W", "--debug-dump=frames-interp", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as readelf:
        end, columns, pending, in_frames = None, None, None, False
        for line in readelf.stdout:
            if line.startswith("Contents of the"):
                in_frames = ".eh_frame " in line
            match = FDE.search(line)
            words = line.split()
            if not words or match or " CIE " in line:
                if pending and end is not None:
                    yield (pending[0], end - 1, *pending[1:])
                pending = None
                if match and in_frames:
                    end = int(match.group(2), 16)
                elif " CIE " in line:
                    end = None
                continue
            if words[0] == "LOC":
                columns = words
                continue
            if end is None or not re.fullmatch(r"[0-9a-f]{16}", words[0]) or len(words) != len(columns):
                continue
            row = dict(zip(columns, words))
            loc = int(words[0], 16)
            if pending and loc > pending[0]:
                yield (pending[0], loc - 1, *pending[1:])
            pending = (loc, row["CFA"], row.get("rbp", "u"), row.get("ra", "u"))


def wanted(cfa, rbp, ra):
    """What the table should say; readelf has one letter, u, for undefined and for not mentioned."""
    if ra == "u":
        return "root", None
    if cfa == "exp":
        return "exp", None if ra != "c-8" else rbp
    return cfa, {"u": "same", "s": "same", "vexp": "undefined"}.get(rbp, rbp)


def agrees(want, got):
    got_cfa, got_rbp = got.split() if " " in got else (got, "")
    cfa, rbp = want
    if got_cfa != cfa:
        return False
    if cfa in ("root", "exp") and (rbp is None or rbp == "u"):
        return True
    return got_rbp == rbp


def compare(tool, path):
    rows = list(interpreted_rows(path))
    pcs = [pc for first, last, *_ in rows for pc in (first, last)]
    wants = [wanted(*row[2:]) for row in rows for _ in range(2)]
    result = subprocess.run([tool, path], input="".join(f"{pc:x}\n" for pc in pcs), text=True,
                            capture_output=True, check=True)
    answers = result.stdout.splitlines()
    assert len(answers) == len(pcs), f"{path}: {len(answers)} answers to {len(pcs)} questions"
    bad = [(pc, want, got) for pc, want, got in zip(pcs, wants, answers) if not agrees(want, got)]
    share = 1 - len(bad) / max(len(pcs), 1)
    expressions = sum(want[0] == "exp" for want in wants)
    print(f"{path}: {len(pcs)} pcs, {share:.5%} agree, {expressions} by expression; {result.stderr.strip()}")
    kinds = collections.Counter((want, got) for _, want, got in bad)
    for (want, got), count in kinds.most_common(8):
        example = next(pc for pc, w, g in bad if (w, g) == (want, got))
        print(f"    {count} x readelf {want}, table {got}, as at {example:x}")
    return len(rows) >= FEWEST_ROWS and share >= WANTED_SHARE


def main():
    tool, *paths = sys.argv[1:]
    present = [path for path in paths if os.path.exists(path)]
    for path in sorted(set(paths) - set(present)):
        print(f"{path}: not on this machine")
    if not present:
        return 77
    return 0 if all([compare(tool, path) for path in present]) else 1


if __name__ == "__main__":
    sys.exit(main())
