# SPDX-License-Identifier: Apache-2.0
"""Rows, bars and how they are printed: as a table, and as the results part of bench/README.md."""
import dataclasses
import datetime
import os
import platform
import subprocess

BEGIN, END = "<!-- results: written by bench/run --markdown -->", "<!-- end of results -->"
HEAD = ("what", "with", "median", "min", "against bare", "bar", "")


@dataclasses.dataclass
class Bar:
    """At most `limit`, of `measure`: "added", "ratio" or "median". `noise` is what a ratio cannot tell from 1."""
    measure: str
    limit: float
    noise: float = 0.0

    def text(self, unit):
        if self.measure == "ratio":
            return f"{self.limit:.2f}×"
        return f"≤ {'+' if self.measure == 'added' else ''}{number(self.limit)} {unit}"

    def verdict(self, series):
        return "kept" if getattr(series, self.measure) <= self.limit + self.noise else "**MISSED**"


@dataclasses.dataclass
class Row:
    what: str
    variant: str
    unit: str
    series: object
    bar: Bar = None
    compare: str = "added"  # or "ratio", or "" where there is nothing to compare with

    def cells(self):
        series = self.series
        against = ""
        if self.compare == "added" and series.bare is not series.values:
            against = f"{number(series.added, True)} {self.unit}"
        elif self.compare == "ratio" and series.bare is not series.values:
            against = f"{series.ratio:.3f}×"
        return (self.what, self.variant, f"{number(series.median)} {self.unit}", number(series.minimum), against,
                self.bar.text(self.unit) if self.bar else "", self.bar.verdict(series) if self.bar else "")


def number(value, signed=False):
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:{'+' if signed else ''},.{digits}f}"


def markdown_table(rows):
    cells = [HEAD] + [row.cells() for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def section_text(section, rows, head=""):
    """`head` says when, where and of what; it stands under the table."""
    return f"### {section.TITLE}\n{section.NOTE}\n\n{markdown_table(rows)}\n\n{head}"


def machine(root, library):
    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo", encoding="ascii")
                 if line.startswith("model name"))
    cores = sum(line.startswith("processor") for line in open("/proc/cpuinfo", encoding="ascii"))
    commit = git(root, "rev-parse", "--short", "HEAD")
    changed = " and uncommitted changes" if git(root, "status", "--porcelain", "-uno", "agent", "collectors") else ""
    load = open("/proc/loadavg", encoding="ascii").read().split()
    built = datetime.datetime.fromtimestamp(os.path.getmtime(library), datetime.timezone.utc)
    now = datetime.datetime.now(datetime.timezone.utc)
    return (f"Commit {commit}{changed}, {now:%Y-%m-%d %H:%M} UTC, libsonde.so built {built:%Y-%m-%d %H:%M}. "
            f"{cores} processors, {model}, Linux {platform.release()}, {' '.join(platform.libc_ver())}; load average {load[0]}.")


def git(root, *arguments):
    done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() or ("" if done.returncode == 0 else "unknown")


def rewrite(path, texts):
    """Puts each section in the place of its older table, or behind the last; everything else stays."""
    with open(path, encoding="utf-8") as file:
        before, _, rest = file.read().partition(BEGIN)
    body, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{path}: expected the lines '{BEGIN}' and '{END}'")
    known = {text.partition("\n")[0]: text for text in ("### " + part for part in body.split("### ")[1:])}
    known.update({text.partition("\n")[0]: text for text in texts})
    results = "\n\n".join(text.strip() for text in known.values())
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n{results}\n{END}{after}")
