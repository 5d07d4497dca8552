#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes assembler and version script of a stand-in for one shared library of glibc.

libsonde.so is linked against the stand-in instead of the build machine's libc, so that it can only refer to
symbols that every glibc since the floor has in the same library. A symbol is offered if its default version in
the build machine's library is at or below the floor. That rule also leaves out what glibc 2.32 to 2.34 moved
into libc.so.6 from libpthread, libdl, librt and libutil: a moved symbol got a new default version.

Usage: make_libc_stub.py LIBRARY FLOOR OUT.s OUT.map     e.g. /lib/x86_64-linux-gnu/libc.so.6 2.17 libc.s libc.map
"""
import re
import subprocess
import sys

FUNCTION_TYPES = ("FUNC", "IFUNC", "NOTYPE")
KNOWN_TYPES = FUNCTION_TYPES + ("OBJECT", "TLS")


def parse_version(text):
    """(2, 3, 4) for GLIBC_2.3.4; None for GLIBC_PRIVATE and foreign names."""
    match = re.fullmatch(r"GLIBC_(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in match.group(1).split(".")) if match else None


def default_symbols(library):
    """Yields (name, version text, type, size) for every symbol with a default version."""
    command = ["readelf", "--dyn-syms", "--wide", library]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        fields = line.split()
        if len(fields) < 8 or fields[6] == "UND" or "@@" not in fields[7] or fields[3] not in KNOWN_TYPES:
            continue
        name, version = fields[7].split("@@")
        yield name, version, fields[3], int(fields[2], 0)


def offered_symbols(library, floor):
    for name, version, kind, size in default_symbols(library):
        number = parse_version(version)
        if number is not None and number <= floor:
            yield name, number, version, kind, size


def assembler(index, name, version, kind, size):
    label = f"stub_{index}"
    if kind in FUNCTION_TYPES:
        body = [".text", f".type {label}, @function", f"{label}: ret"]
    else:
        section = '.section .tbss, "awT", @nobits' if kind == "TLS" else ".bss"
        elf_type = "@tls_object" if kind == "TLS" else "@object"
        body = [section, f".type {label}, {elf_type}", f"{label}: .zero {max(size, 1)}"]
    return body + [f".globl {label}", f".size {label}, {max(size, 1)}", f".symver {label}, {name}@@{version}"]


def main():
    if len(sys.argv) != 5 or not re.fullmatch(r"\d+(\.\d+)+", sys.argv[2]):
        sys.exit(__doc__)
    library, floor_text, source_path, map_path = sys.argv[1:]
    floor = tuple(int(part) for part in floor_text.split("."))
    symbols = sorted(offered_symbols(library, floor))
    if not symbols:
        sys.exit(f"{library}: no symbol with a default version up to GLIBC_{floor_text}; expected a glibc library")
    lines = []
    for index, (name, _, version, kind, size) in enumerate(symbols):
        lines += assembler(index, name, version, kind, size)
    lines.append('.section .note.GNU-stack, "", @progbits')
    with open(source_path, "w", encoding="ascii") as source:
        source.write("\n".join(lines) + "\n")
    with open(map_path, "w", encoding="ascii") as version_map:
        for _, version in sorted({(number, version) for _, number, version, _, _ in symbols}):
            version_map.write(f"{version} {{ }};\n")
        version_map.write("hidden_labels { local: stub_*; };\n")


if __name__ == "__main__":
    main()
