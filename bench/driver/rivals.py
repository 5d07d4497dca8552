# SPDX-License-Identifier: Apache-2.0
"""The heap profilers that Sonde is measured beside: how a program is run under each."""
from measure import BARE

JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
TCMALLOC = "/usr/lib/x86_64-linux-gnu/libtcmalloc.so.4"
HEAPTRACK = "/usr/lib/heaptrack/libheaptrack_preload.so"
# An allocator's own sampling is compared with that allocator, too.
BASE = {"jemalloc, profiling": "jemalloc", "tcmalloc, sampling": "tcmalloc"}
# The agent's second library, which brings a malloc.
OURS = "libsonde-tcmalloc"
PROFILING = "prof:true,lg_prof_sample:19,prof_prefix:/dev/null"
SAMPLING = {"TCMALLOC_SAMPLE_PARAMETER": "524288"}


def heap_rivals(lab, target, heaptrack=True, **sonde):
    """{name: environment}: bare, both of Sonde's libraries serving `target`, and what of the rivals the machine has."""
    variants = {BARE: {}, "libsonde": lab.sonde(target, **sonde),
                OURS: {**lab.sonde(target, **sonde), "LD_PRELOAD": lab.tcmalloc_agent}}
    if lab.have(JEMALLOC, "jemalloc (package libjemalloc2)"):
        variants["jemalloc"] = {"LD_PRELOAD": JEMALLOC}
        variants["jemalloc, profiling"] = {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": PROFILING}
    if lab.have(TCMALLOC, "tcmalloc (package libgoogle-perftools4)"):
        variants["tcmalloc"] = {"LD_PRELOAD": TCMALLOC}
        variants["tcmalloc, sampling"] = {"LD_PRELOAD": TCMALLOC, **SAMPLING}
    if heaptrack and lab.have(HEAPTRACK, "heaptrack (package heaptrack)"):
        variants["heaptrack"] = {"LD_PRELOAD": HEAPTRACK, "DUMP_HEAPTRACK_OUTPUT": "/dev/null"}
    return variants


def label(name):
    return f"{name} (against {BASE[name]})" if name in BASE else name
