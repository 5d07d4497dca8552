#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the bill of materials lists exactly what the linker placed into each shipped file.

Looks at the memory map, that is at what is in the file, where make_sbom.py reads which members were taken; and
names components by the archive alone. Header-only libraries are looked for among the binary's symbols.
Usage: check_sbom.py SBOM FILE=LINK_MAP...
"""
import json
import re
import subprocess
import sys

COMPONENT_OF_ARCHIVE = {"libstdc++.a": "gcc", "libgcc_eh.a": "gcc", "libgcc.a": "gcc", "libz.a": "zlib",
                        "libhttp_parser.a": "http-parser", "libprometheus-cpp-core.a": "prometheus-cpp",
                        "libtcmalloc_parts.a": "google-perftools", "libunwind.a": "libunwind", "libunwind-x86_64.a": "libunwind"}
COMPONENT_OF_NAMESPACE = {"CLI::": "cli11", "nlohmann::": "nlohmann-json3"}


def placed(binary, link_map):
    with open(link_map, encoding="utf-8", errors="replace") as file:
        memory_map = file.read().split("Linker script and memory map", 1)[1]
    # "<section> <address> <size> <archive>(<member>)"; nothing of a size of 0 is in the file
    names = set(re.findall(r"0x[0-9a-f]{16}\s+0x(?!0\s)[0-9a-f]+\s+\S*?/?([^/\s]+\.a)\(", memory_map))
    ours = {name for name in names if name.startswith("libsonde_")}
    components = {COMPONENT_OF_ARCHIVE.get(name, f"unknown archive {name}") for name in names - ours}
    symbols = subprocess.run(["nm", "--demangle", binary], capture_output=True, text=True, check=True).stdout
    return components | {name for prefix, name in COMPONENT_OF_NAMESPACE.items() if f" {prefix}" in symbols}


def listed(sbom, binary):
    names = {package["SPDXID"]: package["name"] for package in sbom["packages"]}
    entry = next(file["SPDXID"] for file in sbom["files"] if file["fileName"] == "./" + binary.rsplit("/", 1)[-1])
    related = {names[link["relatedSpdxElement"]] for link in sbom["relationships"]
               if link["spdxElementId"] == entry and link["relationshipType"] == "STATIC_LINK"}
    return {re.sub(r"^gcc-\d+$", "gcc", name) for name in related}


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        sbom = json.load(file)
    faults = 0
    for binary, link_map in (pair.split("=", 1) for pair in sys.argv[2:]):
        inside, told = placed(binary, link_map), listed(sbom, binary)
        print(f"{binary}: {', '.join(sorted(inside))}")
        for text, names in (("is inside but not listed", inside - told), ("is listed but not inside", told - inside)):
            for name in sorted(names):
                print(f"  {name} {text}")
                faults += 1
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
