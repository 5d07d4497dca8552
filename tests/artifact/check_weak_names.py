#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A program must find the same names with and without the agent, under every glibc: it takes them for a sign.

Of free_sized and free_aligned_sized the agent's are there in any case: they are the program's own free.

Usage: check_weak_names.py [--expect-difference] LIBRARY PROGRAM GLIBC_DIR     PROGRAM is probe/weak_names.c
"""
import subprocess
import sys

ALWAYS = {"free_sized", "free_aligned_sized"}


def names(program, folder, library):
    # The stack of a program without start files is as the kernel leaves it: the answer is written before anything else.
    done = subprocess.run([f"{folder}/ld-linux-x86-64.so.2", "--library-path", folder, program], capture_output=True,
                          text=True, timeout=60, check=False, env={"LD_PRELOAD": library} if library else {})
    if done.returncode != 0:
        sys.exit(f"{program} ended with {done.returncode}: {done.stderr}")
    return set(done.stdout.split())


def main():
    arguments = sys.argv[1:]
    expect_difference = arguments[:1] == ["--expect-difference"]
    if len(arguments) != 3 + expect_difference:
        sys.exit(__doc__)
    library, program, folder = arguments[expect_difference:]
    bare, under = names(program, folder, None), names(program, folder, library)
    print(f"{len(bare)} names bare, more under the agent: {sorted(under - bare)}, fewer: {sorted(bare - under)}")
    if len(bare) < 40:
        sys.exit("hardly any name was found: this shows nothing")
    return int(bool((under ^ bare) - ALWAYS) != expect_difference)


if __name__ == "__main__":
    sys.exit(main())
