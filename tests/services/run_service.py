#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a scenario with a real service bare and under the agent; what it notes must be equal.

With --profile what the agent tells is checked too: CPU (99 % of the samples have whole stacks), heap, threads, memory.
Several scenarios may be given; a table is printed at the end. Exit 0: the same; 1: different; 77: the machine lacks the
service, which is said.
"""
import argparse
import difflib
import importlib
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, "..", "hosts"), HERE]

from lab import PATH, Lab  # noqa: E402
from run_host import (LIBC, PR_SET_CHILD_SUBREAPER, SKIPPED, isolate_network, listeners,  # noqa: E402
                      reap_left_behind)


def run(scenario, agent):
    # Short, because unix sockets of services live below it.
    directory = tempfile.mkdtemp(prefix="sonde-s-", dir="/tmp")
    os.chmod(directory, 0o777)
    os.makedirs(os.path.join(directory, "run"), mode=0o777)
    os.chmod(os.path.join(directory, "run"), 0o777)
    if agent:  # users without access to the build tree must be able to load it
        agent = shutil.copy(agent, os.path.join(directory, "libsonde.so"))
        os.chmod(agent, 0o755)
    lab = Lab(directory, agent, scenario.TARGET)
    started = time.monotonic()
    try:
        scenario.run(lab)
    except Exception as error:  # a broken run is a result to compare, too
        lab.note(f"BROKEN: {type(error).__name__}: {str(error)[:2000]}")
    lab.close()
    left = reap_left_behind() if not scenario.__dict__.get("LEAVES_PROCESSES") else ""
    lab.note(f"left behind: {left or 'nothing'}; listening: {listeners() or 'nothing'}")
    print(f"{'agent' if agent else 'bare'}: {time.monotonic() - started:.1f} s, {len(lab.notes)} notes")
    shutil.rmtree(directory, ignore_errors=True)
    return lab


def judge(bare, under, profile_wanted):
    problems = list(difflib.unified_diff(bare.notes, under.notes, "bare", "under the agent", lineterm="", n=2))
    if any(note.startswith("BROKEN") for note in bare.notes):
        problems.append("the bare run itself is broken: " + "\n".join(bare.notes))
    for check in under.profiles if profile_wanted else []:
        print(check)
        if isinstance(check, str) or not check.passes():
            problems.append(f"profile: {check}")
    return problems


def run_one(name, agent, profile_wanted):
    """(status, row of the table) of a scenario."""
    scenario = importlib.import_module(f"scenarios.{name}")
    missing = [program for program in scenario.NEEDS if not shutil.which(program, path=PATH)]
    if missing:
        print(f"skipped: {', '.join(missing)} not installed")
        return SKIPPED, [name, "skipped"]
    bare = run(scenario, None)
    under = run(scenario, agent)
    problems = judge(bare, under, profile_wanted)
    print("\n".join(problems) or "the same", flush=True)
    figures = [check if isinstance(check, str) else f"{check.kind} {check.figure()}" for check in under.profiles]
    return int(bool(problems)), [name, "FAILED" if problems else "the same", *figures]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", required=True)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("scenario", nargs="+")
    arguments = parser.parse_args()
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    isolate_network()
    results = [run_one(name, os.path.abspath(arguments.agent), arguments.profile) for name in arguments.scenario]
    print("\n" + "\n".join(" | ".join(row) for _, row in results))
    worst = {status for status, _ in results} - {SKIPPED}
    return max(worst) if worst else SKIPPED


if __name__ == "__main__":
    sys.exit(main())
