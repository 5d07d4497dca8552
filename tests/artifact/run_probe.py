#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Preloads the probe (probe/probe.cc) under a glibc and expects every check in it to pass.

Usage: run_probe.py LIBRARY HOST GLIBC_DIR     GLIBC_DIR has ld-linux-x86-64.so.2 and libc.so.6, of any version
"""
import subprocess
import sys

HOST_EXIT = 77  # of probe/bare_host.c


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    library, host, folder = sys.argv[1:]
    command = [f"{folder}/ld-linux-x86-64.so.2", "--library-path", folder]
    version = subprocess.run(command + [f"{folder}/libc.so.6"], capture_output=True, text=True, check=True)
    print(version.stdout.splitlines()[0])
    for extra, code, output in (({}, HOST_EXIT, ""), ({"SONDE_PROBE": "1"}, 0, "probe 0\n")):
        run = subprocess.run(command + [host], capture_output=True, text=True, timeout=60, check=False,
                             env={"LD_PRELOAD": library, **extra})
        if (run.returncode, run.stdout, run.stderr) != (code, output, ""):
            sys.exit(f"expected exit {code}, output {output!r}; got {run.returncode}, {run.stdout!r}, {run.stderr!r}")


if __name__ == "__main__":
    main()
