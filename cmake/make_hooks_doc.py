#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/hooks.md from the two lists of hooks. Usage: make_hooks_doc.py LIST TCMALLOC_LIST OUT [--check]"""
import re
import sys

HEAD = """# Hooks: what libsonde.so puts itself in front of

Generated from [`agent/hooks/hook_list.inc`](../agent/hooks/hook_list.inc); a test keeps it true, and another that the
library exports exactly these symbols. Every hook calls the next definition (libc's, or that of another preloaded
library) with the same arguments and keeps errno. "Off" is any process that is not sampled: not the target, not yet
active, switched off, or dormant. What is *not* hooked: `dlopen dlmopen dlsym vfork fork execve operator new`.

| symbol | why | cost of a call when off |
|---|---|---|
"""

TCMALLOC_HEAD = """
## Only in libsonde-tcmalloc.so

Generated from [`agent/tcmalloc/hook_list.inc`](../agent/tcmalloc/hook_list.inc). Where it does not serve malloc, these go on to
the next definition, too.

| symbol | why | cost of a call when off |
|---|---|---|
"""


def rows(text):
    pattern = r'SONDE_HOOK\(\s*(\w+),\s*"([^"]*)",\s*"([^"]*)"\s*\)'
    return re.findall(pattern, text)


def render(path, head):
    with open(path, encoding="utf-8") as file:
        return head + "".join(f"| `{name}` | {why} | {cost} |\n" for name, why, cost in rows(file.read()))


def main(arguments):
    source, tcmalloc_source, target = arguments[:3]
    page = render(source, HEAD) + render(tcmalloc_source, TCMALLOC_HEAD)
    if "--check" in arguments:
        if open(target, encoding="utf-8").read() != page:
            sys.exit(f"{target} is not what {source} says: run cmake/make_hooks_doc.py {source} {tcmalloc_source} {target}")
        return
    with open(target, "w", encoding="utf-8") as out:
        out.write(page)


if __name__ == "__main__":
    main(sys.argv[1:])
