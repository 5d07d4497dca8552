#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every program of this machine's packages with --version and --help, bare and under the agent.

Output, errors and status must be the same, as a process that merely has the agent loaded and as the named target
that samples all but every allocation. Programs whose bare runs differ among themselves say nothing and are left out.
"""
import argparse
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

from run_host import isolate_network

FOLDERS = ("/usr/bin", "/usr/lib/git-core", "/usr/lib/postgresql/15/bin", "/usr/lib/llvm-14/bin")
ARGUMENTS = (["--version"], ["--help"])
# What ends the machine or somebody's session, whatever it is asked.
LEFT_OUT = {"halt", "init", "poweroff", "reboot", "runlevel", "shutdown", "telinit"}
TIMEOUT_S = 20


def is_dynamic_program(path):
    """Whether the loader would preload into it: ELF, and not with the rights of somebody else."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) or mode & (stat.S_ISUID | stat.S_ISGID) or not os.access(path, os.X_OK):
        return False
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def programs(every):
    """Every n-th real program, each once however many names it has."""
    found = {}
    for folder in filter(os.path.isdir, FOLDERS):
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            real = os.path.realpath(path)
            if name not in LEFT_OUT and os.path.exists(real) and is_dynamic_program(real):
                found.setdefault(real, path)
    return [found[real] for real in sorted(found)][::every]


def without_chance(text, directory):
    """What differs from run to run anyway: its own directory, addresses, pids, times."""
    return re.sub(rb"\d+", b"N", re.sub(rb"0x[0-9a-f]+", b"0xN", text.replace(directory.encode(), b"DIR")))


def answer(path, arguments, settings):
    directory = tempfile.mkdtemp(prefix="every-program-")
    environment = {"PATH": "/usr/bin:/bin", "HOME": directory, "LC_ALL": "C", "TERM": "dumb", **settings}
    try:
        done = subprocess.run([path, *arguments], env=environment, cwd=directory, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=TIMEOUT_S)
        return done.returncode, *(without_chance(text, directory) for text in (done.stdout, done.stderr))
    except subprocess.TimeoutExpired:
        return "still running", b"", b""
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def difference(path, arguments, settings):
    """None, or what was printed bare and under the agent; chance is given a second turn."""
    for _ in range(2):
        bare, under = answer(path, arguments, {}), answer(path, arguments, settings)
        if bare == under or answer(path, arguments, {}) != bare:
            return None
    return bare, under


def modes_of(path, agent):
    run = {"LD_PRELOAD": agent, "SONDE_RUN_DIR": tempfile.gettempdir()}
    name = os.path.basename(os.path.realpath(path))
    return {"loaded": run, "target": {**run, "SONDE_TARGET": name, "SONDE_HEAP_INTERVAL_BYTES": "64"}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", required=True)
    parser.add_argument("--every", type=int, default=1, help="only each n-th program")
    parser.add_argument("--expect-difference", action="store_true", help="succeed only if something differed")
    options = parser.parse_args()
    isolate_network()
    scratch = tempfile.mkdtemp(prefix="sonde-every-")
    tempfile.tempdir = scratch
    chosen, different = programs(options.every), 0
    try:
        for path in chosen:
            for mode, settings in modes_of(path, os.path.abspath(options.agent)).items():
                for arguments in ARGUMENTS:
                    seen = difference(path, arguments, settings)
                    if seen:
                        different += 1
                        print(f"{path} {' '.join(arguments)}, {mode}:\n  bare  {seen[0]}\n  agent {seen[1]}"[:2000])
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{len(chosen)} programs, {different} answers differed")
    if len(chosen) < 20:
        print("too few programs were found to say anything")
        return 1
    return int(bool(different) != options.expect_difference)


if __name__ == "__main__":
    sys.exit(main())
