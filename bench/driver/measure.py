# SPDX-License-Identifier: Apache-2.0
"""Runs variants in turn and compares them pair by pair, so that a slow minute of the machine hits all of them."""
import collections
import os
import statistics
import subprocess
import time

BARE = "bare"
TIMEOUT_S = 180


class Failed(Exception):
    """A program that is measured did not do what it should; the message says which and how."""


def run_program(command, settings=None):
    """Runs a program to its end; its lines "key value" become {key: [values]}."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "LC_ALL": "C", **(settings or {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)} with {settings} ended with {done.returncode}: {done.stderr.strip()}")
    return parse_lines(done.stdout)


def parse_lines(text):
    values = collections.defaultdict(list)
    for line in text.splitlines():
        key, _, number = line.rpartition(" ")
        values[key].append(float(number))
    return dict(values)


def interleave(variants, rounds, measure):
    """Calls measure(variant) for each variant in every round, each round in another order; {variant: [results]}."""
    results = {variant: [] for variant in variants}
    for turn in range(rounds):
        for i in range(len(variants)):
            variant = variants[(turn + i) % len(variants)]
            results[variant].append(measure(variant))
    return results


def medians(results, key):
    """One number a run: the median of what the run printed under `key`."""
    return {variant: [statistics.median(run[key]) for run in runs] for variant, runs in results.items()}


class Series:
    """The runs of one variant beside those of the bare program in the same rounds."""

    def __init__(self, values, bare):
        self.values, self.bare = values, bare

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def minimum(self):
        return min(self.values)

    @property
    def added(self):
        return statistics.median(value - bare for value, bare in zip(self.values, self.bare))

    @property
    def ratio(self):
        return statistics.median(value / bare for value, bare in zip(self.values, self.bare))


def cpu_seconds_of(pid):
    """CPU time of a whole process, by its own clock."""
    return time.clock_gettime((~pid << 3) | 2)


def threads_of(pid):
    return len(os.listdir(f"/proc/{pid}/task"))
