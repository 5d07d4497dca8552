#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the bill of materials (SPDX 2.3, JSON) of what is linked into the shipped files, and their licences.

Archives come from the linker's map, header-only libraries from the directories that the debug information names.
Versions and licence texts come from scripts/setup's folders and from dpkg.

Usage: make_sbom.py OUT_DIR PROJECT_VERSION THIRD_PARTY_DIR FILE=LINK_MAP...
       writes OUT_DIR/sonde.spdx.json and OUT_DIR/licenses/NAME.txt
"""
import datetime
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

# A component that is not named here fails the build: somebody must look at its licence first.
LICENSES = {
    "cli11": "BSD-3-Clause",
    "gcc-12": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "gcc-13": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "gcc-14": "GPL-3.0-or-later WITH GCC-exception-3.1",
    "google-perftools": "BSD-3-Clause",
    "http-parser": "MIT",
    "libunwind": "MIT",
    "nlohmann-json3": "MIT",
    "prometheus-cpp": "MIT",
    "zlib": "Zlib",
}
# Headers of the system itself: what they inline is the C interface, or belongs to GCC's archives above. Of curl and
# elfutils only declarations are used: their libraries are shared objects, and libdw is loaded if it is there.
SYSTEM_SOURCES = {"glibc", "linux", "curl", "elfutils"} | {name for name in LICENSES if name.startswith("gcc-")}


def archives_in(link_map):
    """Archives of which the linker took a member."""
    with open(link_map, encoding="utf-8", errors="replace") as file:
        head = file.read().split("\n\n", 2)
    return sorted({os.path.realpath(path) for path in re.findall(r"^(\S+\.a)\(", "\n".join(head), re.MULTILINE)})


def header_folders_in(binary):
    lines = subprocess.run(["readelf", "--debug-dump=rawline", binary], capture_output=True, text=True,
                           check=True).stdout
    return sorted(set(re.findall(r"/usr/include/[\w+.-]+", lines)))


def dpkg(*arguments):
    return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=False).stdout


def debian_component(path):
    """(source name, version, copyright file) of the package that has this file or folder."""
    owner = dpkg("--search", path).split(": ")[0].split(",")[0]
    if not owner:
        return None
    source, version = dpkg("--show", "-f", "${source:Package} ${source:Version}", owner).split()
    return source, version, pathlib.Path("/usr/share/doc", owner.split(":")[0], "copyright")


def third_party_component(path, third_party):
    folder = pathlib.Path(third_party, pathlib.Path(path).relative_to(third_party).parts[0])
    name = next(link.name for link in pathlib.Path(third_party).iterdir()
                if link.is_symlink() and link.resolve() == folder)
    return name, (folder / "VERSION").read_text(encoding="ascii").strip(), folder / "COPYRIGHT"


def components_of(binary, link_map, third_party, build_dir):
    """{name: (version, copyright file)}; our own archives are the package itself."""
    found = {}
    for path in archives_in(link_map):
        if path.startswith(build_dir + "/"):
            continue
        inside = path.startswith(third_party + "/")
        name, *rest = third_party_component(path, third_party) if inside else debian_component(path)
        found[name] = tuple(rest)
    for folder in header_folders_in(binary):
        component = debian_component(folder)
        if component and component[0] not in SYSTEM_SOURCES:
            found[component[0]] = component[1:]
    return found


def package(name, version, license_id, **more):
    return {"SPDXID": f"SPDXRef-{re.sub(r'[^A-Za-z0-9.-]', '-', name)}", "name": name, "versionInfo": version,
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": license_id,
            "licenseDeclared": license_id, "copyrightText": "NOASSERTION", **more}


def file_entry(binary):
    data = pathlib.Path(binary).read_bytes()
    name = os.path.basename(binary)
    return {"SPDXID": f"SPDXRef-File-{name}", "fileName": f"./{name}", "copyrightText": "NOASSERTION",
            "licenseConcluded": "Apache-2.0", "licenseInfoInFiles": ["NOASSERTION"],
            "checksums": [{"algorithm": kind.upper(), "checksumValue": hashlib.new(kind, data).hexdigest()}
                          for kind in ("sha1", "sha256")]}


def relation(element, kind, related):
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}


def document(version, files):
    packages = {"sonde": package("sonde", version, "Apache-2.0")}
    entries, relations = [], [relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-sonde")]
    for binary, components in files.items():
        entries.append(file_entry(binary))
        relations.append(relation("SPDXRef-sonde", "CONTAINS", entries[-1]["SPDXID"]))
        for name, (component_version, _) in sorted(components.items()):
            packages[name] = package(name, component_version, LICENSES[name],
                                     supplier="Organization: Debian",
                                     externalRefs=[{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                                                    "referenceLocator": f"pkg:deb/debian/{name}@{component_version}"
                                                                        "?arch=source"}])
            relations.append(relation(entries[-1]["SPDXID"], "STATIC_LINK", packages[name]["SPDXID"]))
    digest = entries[0]["checksums"][1]["checksumValue"]
    created = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH") or
                                                  os.path.getmtime(next(iter(files)))), datetime.timezone.utc)
    return {"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"sonde-{version}",
            "documentNamespace": f"https://spdx.org/spdxdocs/sonde-{version}-{digest}",
            "creationInfo": {"created": created.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: make_sbom.py"]},
            "packages": list(packages.values()), "files": entries, "relationships": relations}


def copy_licenses(files, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for components in files.values():
        for name, (_, text) in components.items():
            shutil.copyfile(text, folder / f"{name}.txt")


def main():
    if len(sys.argv) < 5 or not all("=" in pair for pair in sys.argv[4:]):
        sys.exit(__doc__)
    out, version, third_party = pathlib.Path(sys.argv[1]), sys.argv[2], os.path.realpath(sys.argv[3])
    build_dir = os.path.realpath(os.getcwd())
    files = {}
    for pair in sys.argv[4:]:
        binary, link_map = pair.split("=", 1)
        files[binary] = components_of(binary, link_map, third_party, build_dir)
    unknown = {name for components in files.values() for name in components} - LICENSES.keys()
    if unknown:
        sys.exit(f"no licence known for {', '.join(sorted(unknown))}: check it and add it to {__file__}")
    copy_licenses(files, out / "licenses")
    text = json.dumps(document(version, files), indent=2)
    (out / "sonde.spdx.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
