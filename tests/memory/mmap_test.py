#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The service's own mappings by call site, in the profile and on the page; and not the allocator's, whichever it is."""
import json
import os
import subprocess
import unittest

from live_page import MIB, SONDE, LivePage

HOST = os.environ["SONDE_MMAP_HOST"]
LIBRARIES = "/usr/lib/x86_64-linux-gnu/"
IN_USE = {"PoolOfTheService": 24, "PoolThatShrinks": 12, "PoolWithAReserve": 6, "PoolThatGrows": 9}


class Mappings(LivePage):
    def run_host(self, preload):
        for library in preload:
            if library != "agent" and not os.path.exists(library):
                self.skipTest(f"{library} is not installed")
        # At this interval a mapping is missed once in e^16.
        self.host = self.start([HOST], os.path.basename(HOST), preload, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, settings={"SONDE_HEAP_INTERVAL_BYTES": "4096"})
        self.addCleanup(self.finish)
        self.assertEqual(self.host.stdout.readline(), "waiting\n")
        self.wait_until(lambda: self.heap_text().startswith("heap profile:"), "heap sampling")
        self.host.stdin.write("go\n")
        self.host.stdin.flush()
        self.assertEqual(self.host.stdout.readline(), "ready\n")

    def finish(self):
        """A host that is killed early is counted by the crash guard of its successors."""
        self.host.stdin.close()
        self.assertEqual(self.host.wait(20), 0)

    def heap_text(self):
        done = subprocess.run(["curl", "-s", f"http://127.0.0.1:{self.port}/debug/pprof/heap?debug=1"],
                              capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def rows(self, kind):
        done = subprocess.run([SONDE, "heap", f"127.0.0.1:{self.port}", "--json", "--top", "1000", "--sort", kind,
                               "--focus", r"^\[mmap\]$"], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        rows = json.loads(done.stdout)["rows"]
        return {row["name"]: row["cumulative"] / MIB for row in rows}

    def check(self):
        in_use, allocated = self.rows("inuse"), self.rows("alloc")
        for name, size in IN_USE.items():
            self.assertAlmostEqual(in_use[name], size, delta=0.01, msg=name)
        self.assertAlmostEqual(in_use["[mmap]"], sum(IN_USE.values()), delta=0.1, msg=str(in_use))
        self.assertNotIn("PoolThatEnds", in_use)
        self.assertNotIn("ChildThatUnmaps", in_use)
        self.assertNotIn("BlocksOfTheAllocator", in_use)
        self.assertAlmostEqual(allocated["PoolThatEnds"], 32, delta=0.01)
        self.assertAlmostEqual(allocated["PoolThatGrows"], 9, delta=0.01)
        self.assertAlmostEqual(allocated["PoolThatShrinks"], 20, delta=0.01)

    def test_each_site_holds_what_it_holds(self):
        self.run_host(["agent"])
        self.check()
        # "Map+0x14 < PoolOfTheService+0x16 < main+0x73 …"
        sites = {site["stack"].split(" < ")[1].split("+")[0]: site for site in self.page()["mmap_sites"]}
        pool = sites["PoolOfTheService"]
        self.assertAlmostEqual(pool["mapped_bytes"] / MIB, 24, delta=0.01)
        self.assertAlmostEqual(pool["resident_bytes"] / MIB, 12, delta=0.1)
        self.assertIn("PoolThatShrinks", sites)
        self.assertIn("PoolThatGrows", sites)

    def test_the_command_names_the_sites(self):
        self.run_host(["agent"])
        done = subprocess.run([SONDE, "memory", f"127.0.0.1:{self.port}"], capture_output=True, text=True, timeout=60)
        self.assertRegex(done.stdout, r"of it +12 +by .*PoolOfTheService")

    def test_what_jemalloc_maps_is_not_counted_twice(self):
        self.run_host(["agent", LIBRARIES + "libjemalloc.so.2"])
        self.check()

    def test_what_tcmalloc_maps_is_not_counted_twice(self):
        self.run_host(["agent", LIBRARIES + "libtcmalloc.so.4"])
        self.check()

    def test_what_mimalloc_maps_is_not_counted_twice(self):
        self.run_host(["agent", LIBRARIES + "libmimalloc.so.2"])
        self.check()


if __name__ == "__main__":
    unittest.main(verbosity=2)
