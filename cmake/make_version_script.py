#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the version script of libsonde.so, after a look at the one list of hooks.

Symbols without a version interpose on every reference; these are all that are not put under one by
agent/hooks/versions.h, and what is exported at all is said by visibility (tests/artifact compares it with the list).
The first version is nobody's: the loader lets references without a version have symbols of that one even if they
are hidden.

Usage: make_version_script.py HOOK_LIST.inc... OUT.map
"""
import re
import sys

ENTRY = re.compile(r'SONDE_HOOK\(\s*([A-Za-z_]\w*)\s*,\s*"[^"]+"\s*,\s*"[^"]+"\s*\)')
VERSIONS = ("SONDE_NOBODYS", "GLIBC_2.2.5", "GLIBC_2.3.3", "GLIBC_2.28", "GLIBC_2.30", "GLIBC_2.31", "GLIBC_2.33",
            "GLIBC_2.34", "GLIBC_2.35")
START = re.compile(r"\bSONDE_HOOK\s*\(")


def without_comments(text):
    return re.sub(r"//[^\n]*|/\*.*?\*/|^\s*#[^\n]*", "", text, flags=re.DOTALL | re.MULTILINE)


def hooks_of(path):
    with open(path, encoding="utf-8") as file:
        text = without_comments(file.read())
    # Adjacent string literals are one to the compiler.
    text = re.sub(r'"\s*\n\s*"', "", text)
    names = ENTRY.findall(text)
    if len(names) != len(START.findall(text)):
        sys.exit(f'{path}: every entry must read SONDE_HOOK(symbol, "why", "cost when off"); '
                 f"{len(START.findall(text))} entries, {len(names)} of that form")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not names:
        sys.exit(f"{path}: expected each hook once, at least one; repeated: {repeated}")
    return names


def hooks_of_all(paths):
    names = [name for path in paths for name in hooks_of(path)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        sys.exit(f"expected each hook in one list only: {repeated}")
    return names


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    hooks_of_all(sys.argv[1:-1])
    with open(sys.argv[-1], "w", encoding="ascii") as script:
        # What C++'s own headers make visible; "*" would hide the names without a version, too.
        script.write(f"{VERSIONS[0]} {{ local: _Z*; __start_*; __stop_*; }};\n")
        script.writelines(f"{version} {{ }};\n" for version in VERSIONS[1:])


if __name__ == "__main__":
    main()
