#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the version script of libsonde.so from the one list of hooks.

The script is anonymous on purpose: under a named version the loader would not let our symbols interpose.

Usage: make_version_script.py HOOK_LIST.inc OUT.map
"""
import re
import sys

ENTRY = re.compile(r'SONDE_HOOK\(\s*([A-Za-z_]\w*)\s*,\s*"[^"]+"\s*,\s*"[^"]+"\s*\)')
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


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    names = sorted(hooks_of(sys.argv[1]))
    with open(sys.argv[2], "w", encoding="ascii") as script:
        script.write("{\n  global:\n")
        script.writelines(f"    {name};\n" for name in names)
        script.write("  local: *;\n};\n")


if __name__ == "__main__":
    main()
