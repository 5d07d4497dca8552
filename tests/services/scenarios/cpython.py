# SPDX-License-Identifier: Apache-2.0
"""CPython's own tests of signals, fork, subprocesses, threads and POSIX calls: the same outcome, test by test."""
import re

TARGET, NEEDS = "python3.11", ["python3"]
SUITES = ["test_signal", "test_fork1", "test_subprocess", "test_threading", "test_posix"]


def run(lab):
    for suite in SUITES:
        done = lab.run(["python3", "-m", "test", "-v", suite], preload=True, timeout=600)
        outcomes = re.findall(r"^(test_\w+) \(([\w.]+)\).*? \.\.\. (ok|FAIL|ERROR|skipped|expected failure)", done.stdout,
                              re.M | re.S)
        lab.note(f"{suite}: {done.returncode}, {len(outcomes) > 0}")
        lab.notes += sorted(f"{name} {where} {outcome}" for name, where, outcome in outcomes)
