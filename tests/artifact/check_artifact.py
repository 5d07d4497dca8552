#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that a preload library can be loaded into any process since glibc 2.17 and changes nothing by being there.

Prints one line a fault and ends with 1 if there is any.
Usage: check_artifact.py LIBRARY HOOK_LIST.inc... CMAKE_DIR
"""
import re
import subprocess
import sys

ALLOWED_NEEDED = {"libc.so.6", "ld-linux-x86-64.so.2"}
FLOOR = (2, 17)
MAX_TLS_BYTES = 256  # of the loader's small surplus for libraries that are loaded late
MAX_EXIT_FUNCTIONS = 1  # the crash guard's mark, one store: threads of the host still run then
# Functions of libc that allocate from the host's heap or keep state that is the host's.
HOST_STATE = set("""malloc free calloc realloc memalign aligned_alloc posix_memalign valloc strdup strndup asprintf
  vasprintf getline getdelim fopen fopen64 fdopen opendir fdopendir scandir realpath popen tmpfile getaddrinfo
  setlocale setvbuf atexit __cxa_atexit on_exit signal sigaction setenv putenv unsetenv dlopen dlsym
  pthread_create syslog""".split())
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"


def readelf(*arguments):
    return subprocess.run(["readelf", "--wide", *arguments], capture_output=True, text=True, check=True).stdout


class Artifact:
    """What readelf says about a library, parsed once."""

    def __init__(self, path):
        self.dynamic = re.findall(r"^ 0x[0-9a-f]+ \((\w+)\)\s+(.*)$", readelf("--dynamic", path), re.MULTILINE)
        self.segments = {}
        for line in readelf("--program-headers", path).splitlines():
            match = re.match(r"\s+([A-Z_]+)\s+0x\w+ 0x\w+ 0x\w+ 0x\w+ (0x\w+) ([R ][W ][E ])", line)
            if match:
                self.segments.setdefault(match.group(1), []).append((int(match.group(2), 16), match.group(3)))
        self.notes = readelf("--notes", path)
        self.relocations = readelf("--relocs", path)
        self.symbols = []
        for line in readelf("--dyn-syms", path).splitlines():
            fields = line.split()
            if len(fields) >= 8 and fields[0].rstrip(":").isdigit():
                self.symbols.append((fields[7], fields[3], fields[4], fields[6]))

    def values(self, tag):
        return [value for name, value in self.dynamic if name == tag]

    def undefined(self):
        return {name for name, _, _, section in self.symbols if section == "UND"}

    def exported(self):
        """Names, without the versions' own (absolute) ones."""
        return {re.split("@", name)[0] for name, _, _, section in self.symbols if section not in ("UND", "ABS")}


def check_needed(artifact, **_):
    needed = {re.search(r"\[(.*)\]", value).group(1) for value in artifact.values("NEEDED")}
    for name in sorted(needed - ALLOWED_NEEDED):
        yield f"needs {name}; allowed: {', '.join(sorted(ALLOWED_NEEDED))}"
    for tag in ("RPATH", "RUNPATH"):
        if artifact.values(tag):
            yield f"has a {tag}: {artifact.values(tag)}"


def check_undefined(artifact, floor_symbols, parse_version, **_):
    for symbol in sorted(artifact.undefined()):
        name, _, version = symbol.partition("@")
        number = parse_version(version.split(" ")[0]) if version else None
        if number is None:
            yield f"refers to {symbol} without a GLIBC version: it may or may not be there"
        elif number > FLOOR:
            yield f"refers to {symbol}; expected GLIBC_2.17 or older"
        elif name not in floor_symbols:
            yield f"refers to {symbol}, which is outside libc.so.6 in glibc 2.17"
        if name in HOST_STATE:
            yield f"refers to {name}, which uses the host's heap or state"


def check_exports(artifact, hooks, **_):
    for name in sorted(artifact.exported() - hooks):
        yield f"exports {name}, which the hook list does not have"
    for name in sorted(hooks - artifact.exported()):
        yield f"does not export {name} of the hook list"


def check_segments(artifact, **_):
    for _, flags in artifact.segments.get("LOAD", []):
        if "W" in flags and "E" in flags:
            yield "has a segment that is writable and executable"
    stack = artifact.segments.get("GNU_STACK", [])
    if not stack or "E" in stack[0][1]:
        yield "asks for an executable stack"
    if "GNU_RELRO" not in artifact.segments:
        yield "has no RELRO segment"
    for size, _ in artifact.segments.get("TLS", []):
        if size > MAX_TLS_BYTES:
            yield f"has {size} bytes of thread-local storage; expected at most {MAX_TLS_BYTES}"


def check_dynamic(artifact, **_):
    flags = " ".join(artifact.values("FLAGS") + artifact.values("FLAGS_1"))
    if "TEXTREL" in flags or artifact.values("TEXTREL"):
        yield "has text relocations"
    for flag in ("NOW", "NODELETE"):
        if flag not in flags.split():
            yield f"lacks the flag {flag}"
    for tag in ("INIT", "FINI"):
        if artifact.values(tag):
            yield f"has DT_{tag}; constructors go to DT_INIT_ARRAY, and start files are not linked in"
    for size in artifact.values("FINI_ARRAYSZ"):
        if int(size.split()[0]) > MAX_EXIT_FUNCTIONS * 8:
            yield f"runs {int(size.split()[0]) // 8} functions at exit; expected at most {MAX_EXIT_FUNCTIONS}"
    for tag in ("RELR", "HASH"):
        if artifact.values(tag):
            yield f"has DT_{tag}; expected DT_GNU_HASH and plain relocations, for loaders since glibc 2.17"


def check_cet(artifact, **_):
    for mark in ("IBT", "SHSTK"):
        if not re.search(rf"x86 feature:.*\b{mark}\b", artifact.notes):
            yield f"lacks the {mark} property: some object is compiled without -fcf-protection"


def check_ifunc(artifact, **_):
    if any(kind == "IFUNC" for _, kind, _, _ in artifact.symbols) or "R_X86_64_IRELATIV" in artifact.relocations:
        yield "has an IFUNC, whose resolver would run before the library is relocated"


CHECKS = (check_needed, check_undefined, check_exports, check_segments, check_dynamic, check_cet, check_ifunc)


def faults_of(library, hook_lists, cmake_dir):
    sys.path.insert(0, cmake_dir)
    sys.dont_write_bytecode = True
    import make_libc_stub  # pylint: disable=import-outside-toplevel
    import make_version_script  # pylint: disable=import-outside-toplevel
    loader = subprocess.run(["gcc", "-print-file-name=ld-linux-x86-64.so.2"], capture_output=True, text=True,
                            check=True).stdout.strip()
    floor_symbols = {name for path in (LIBC, loader) for name, *_ in make_libc_stub.offered_symbols(path, FLOOR)}
    artifact = Artifact(library)
    hooks = set(make_version_script.hooks_of_all(hook_lists))
    for check in CHECKS:
        yield from check(artifact, hooks=hooks, floor_symbols=floor_symbols, parse_version=make_libc_stub.parse_version)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    faults = list(faults_of(sys.argv[1], sys.argv[2:-1], sys.argv[-1]))
    for fault in faults:
        print(f"{sys.argv[1]} {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
