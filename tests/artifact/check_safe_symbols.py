#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that what runs in signal handlers refers to nothing but what the allow-list names.

Compares the undefined symbols of a static archive, less those that another member defines, with the list: one
symbol a line, # starts a comment. Both directions count: a line that nothing needs is a fault too.
Usage: check_safe_symbols.py ARCHIVE ALLOW_LIST
"""
import subprocess
import sys


# No functions; whether code refers to them is the compiler's choice.
LINKERS = {"_GLOBAL_OFFSET_TABLE_"}


def symbols_of(archive):
    """(defined, undefined) over all members."""
    defined, undefined = set(), set()
    listing = subprocess.run(["nm", archive], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) == 2 and fields[0] in "Uwv":
            undefined.add(fields[1])
        elif len(fields) == 3:
            defined.add(fields[2])
    return defined, undefined


def allowed_in(path):
    with open(path, encoding="ascii") as file:
        return {line.split("#")[0].strip() for line in file} - {""}


def faults_of(archive, allow_list):
    defined, undefined = symbols_of(archive)
    if not defined:
        yield f"{archive} defines no symbol; expected the signal-safe part"
    outside, allowed = undefined - defined - LINKERS, allowed_in(allow_list)
    for name in sorted(outside - allowed):
        yield f"{archive} refers to {name}, which {allow_list} does not allow in a signal handler"
    for name in sorted(allowed - outside):
        yield f"{allow_list} allows {name}, to which {archive} does not refer"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    faults = list(faults_of(*sys.argv[1:]))
    print("\n".join(faults))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
