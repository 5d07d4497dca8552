# SPDX-License-Identifier: Apache-2.0
"""What the sections measure with: the built programs, the environments of the variants, a scratch directory."""
import os
import shutil

from measure import BARE

PORT = 17663
GPERFTOOLS = "/usr/lib/x86_64-linux-gnu/libprofiler.so.0"


class Lab:
    def __init__(self, build, scratch, quick):
        self.build, self.scratch, self.quick = build, scratch, quick
        # A copy: the build tree may be rebuilt while this runs for minutes.
        self.agent = shutil.copy(os.path.join(build, "agent/libsonde.so"), os.path.join(scratch, "libsonde.so"))
        self.tcmalloc_agent = shutil.copy(os.path.join(build, "agent/libsonde-tcmalloc.so"),
                                          os.path.join(scratch, "libsonde-tcmalloc.so"))
        self.missing = []

    def rounds(self, full, quick):
        return quick if self.quick else full

    def program(self, name):
        return os.path.join(self.build, "bench", name)

    def path(self, name):
        return os.path.join(self.scratch, name)

    def have(self, path, why):
        """False, and remembered for the report, when the machine lacks a rival."""
        found = path if os.path.exists(path) else shutil.which(path)
        if not found and why not in self.missing:
            self.missing.append(why)
        return bool(found)

    def sonde(self, target="", hz=None, **extra):
        settings = {"LD_PRELOAD": self.agent, "SONDE_LISTEN": f"127.0.0.1:{PORT}", "SONDE_RUN_DIR": self.path("run"),
                    **extra}
        if target:
            settings["SONDE_TARGET"] = target
        if hz:
            settings["SONDE_CPU_HZ"] = str(hz)
        return settings

    def gperftools(self, hz=100):
        return {"LD_PRELOAD": GPERFTOOLS, "CPUPROFILE": self.path("gperftools.prof"), "CPUPROFILE_FREQUENCY": str(hz)}

    def with_gperftools(self, variants, **named):
        """Adds gperftools' variants where the machine has it."""
        if self.have(GPERFTOOLS, "gperftools (package libgoogle-perftools4)"):
            variants.update(named)
        return variants

    def bare_and(self, variants):
        return {BARE: {}, **variants}
