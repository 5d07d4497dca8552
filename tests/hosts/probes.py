#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs many short probes beside a service, as `kubectl exec` does, and demands that nothing of the agent stays.

Checked: no file in the run directory, no listening socket, no process, no shared memory, no semaphore, and the
same output and status as without the agent.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

from run_host import LIBC, PR_SET_CHILD_SUBREAPER, files_under, isolate_network, listeners, reap_left_behind

PROBES = (["/bin/true"], ["/bin/false"], ["/bin/sh", "-c", "echo ok"], ["/bin/cat", "/proc/self/comm"],
          ["/bin/sh", "-c", "/bin/ls / >/dev/null; exit 3"], ["/usr/bin/env", "true"])


def environment(directory, agent):
    base = {"PATH": "/usr/bin:/bin", "HOME": directory, "LC_ALL": "C"}
    return {**base, "LD_PRELOAD": agent, "SONDE_RUN_DIR": directory} if agent else base


def run_probes(count, directory, agent):
    answers = []
    for i in range(count):
        done = subprocess.run(PROBES[i % len(PROBES)], env=environment(directory, agent), cwd=directory,
                              capture_output=True, text=True, timeout=30)
        answers.append((done.returncode, done.stdout, done.stderr))
    return answers


def traces(directory):
    shared = "\n".join(sorted(name for name in os.listdir("/dev/shm") if "sonde" in name))
    with open("/proc/net/unix") as table:
        sockets = "\n".join(line.split()[-1] for line in table if "sonde" in line)
    return [("processes", reap_left_behind()), ("files", files_under(directory)), ("listeners", listeners()),
            ("unix sockets", sockets), ("shared memory", shared)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", required=True)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--expect-traces", action="store_true", help="succeed only if something was left or differed")
    arguments = parser.parse_args()
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    isolate_network()
    directory = tempfile.mkdtemp(prefix="sonde-probes-")
    try:
        bare = run_probes(len(PROBES), directory, None)
        answers = run_probes(arguments.count, directory, os.path.abspath(arguments.agent))
        wrong = sum(answer != bare[i % len(PROBES)] for i, answer in enumerate(answers))
        left = [f"{what}: {value}" for what, value in traces(directory) if value]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{arguments.count} probes, {wrong} differed, left behind: {left or 'nothing'}")
    return int(bool(wrong or left) != arguments.expect_traces)


if __name__ == "__main__":
    sys.exit(main())
