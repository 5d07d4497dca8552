#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One program, with each allocator that it may have: which is found, and whether its numbers are right."""
import os
import re
import subprocess
import unittest
import urllib.error

from live_page import MIB, SONDE, LivePage

HOST = os.environ["SONDE_ALLOC_HOST"]
STATIC = os.environ.get("SONDE_STATIC_HOSTS", "").split(",")
LIBRARIES = "/usr/lib/x86_64-linux-gnu/"
JEMALLOC = LIBRARIES + "libjemalloc.so.2"
TCMALLOC = LIBRARIES + "libtcmalloc.so.4"
MIMALLOC = LIBRARIES + "libmimalloc.so.2"


class Allocators(LivePage):
    def run_host(self, preload, host=HOST, settings=None):
        for library in preload:
            if library != "agent" and not os.path.exists(library):
                self.skipTest(f"{library} is not installed")
        # What the crash guard remembers of the hosts before, which all end early, is in System V memory.
        command = ["unshare", "--ipc", host] if os.geteuid() == 0 else [host]
        process = self.start(command, os.path.basename(host), preload, settings=settings, stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "ready\n")
        page = self.page()
        self.tell(self.id().rsplit(".", 1)[1], page)
        return page, self.get("/debug/sonde/status")

    def check(self, page, name, free=True):
        parts = page["parts"]
        self.assertTrue(page["allocators"][0]["name"].startswith(name), page["allocators"])
        self.assertTrue(page["allocators"][0]["counted"], page["allocators"])
        self.assertAlmostEqual(parts["live_heap"] + parts["allocator_extra"], 65 * MIB, delta=6 * MIB)
        if free:
            self.assertAlmostEqual(parts["allocator_free"], 65 * MIB, delta=6 * MIB)
        self.assertAlmostEqual(parts["service_mmap"], 32 * MIB, delta=4 * MIB)
        self.assertLess(page["unexplained_share"], 0.05)

    def test_glibc(self):
        page, status = self.run_host(["agent"])
        self.check(page, "glibc")
        self.assertTrue(status["allocators"][0].startswith("glibc in "), status["allocators"])
        self.assertIn("serves malloc", status["allocators"][0])
        self.assertEqual(page["verdict"], "allocator_keeps")

    def test_the_agent_with_a_malloc_of_its_own(self):
        page, status = self.run_host([os.environ["SONDE_TCMALLOC"]])
        self.check(page, "sonde-tcmalloc")
        self.assertIn("sonde-tcmalloc in ", status["allocators"][0])
        self.assertIn("libsonde-tcmalloc.so, serves malloc", status["allocators"][0])
        self.assertEqual(sum("serves malloc" in line for line in status["allocators"]), 1, status["allocators"])
        self.assertEqual(status["not_covered"], [])
        self.assertAlmostEqual(page["allocators"][0]["in_use_bytes"], 65 * MIB, delta=3 * MIB)

    def test_jemalloc_behind_the_agent(self):
        page, status = self.run_host(["agent", JEMALLOC])
        self.assertIn("jemalloc in", status["allocators"][0])
        self.assertTrue(page["allocators"][0]["name"].startswith("jemalloc 5."), page["allocators"])
        self.assertEqual(status["not_covered"], [s for s in status["not_covered"] if "LD_PRELOAD" not in s])
        self.assertAlmostEqual(page["allocators"][0]["in_use_bytes"], 65 * MIB, delta=6 * MIB)
        self.assertLess(page["unexplained_share"], 0.05)

    def test_tcmalloc_behind_the_agent(self):
        page, status = self.run_host(["agent", TCMALLOC])
        self.assertIn("tcmalloc (gperftools) in", status["allocators"][0])
        self.assertAlmostEqual(page["allocators"][0]["in_use_bytes"], 65 * MIB, delta=6 * MIB)
        self.assertAlmostEqual(page["allocators"][0]["free_bytes"], 65 * MIB, delta=6 * MIB)
        self.assertLess(page["unexplained_share"], 0.05)

    def test_mimalloc_behind_the_agent(self):
        page, status = self.run_host(["agent", MIMALLOC])
        self.assertIn("mimalloc in", status["allocators"][0])
        self.assertLess(page["unexplained_share"], 0.05)
        self.assertIn("committed", page["allocators"][0]["problem"])

    def test_an_allocator_ahead_of_the_agent_is_reported(self):
        for library, name in ((JEMALLOC, "jemalloc"), (TCMALLOC, "tcmalloc (gperftools)")):
            with self.subTest(name):
                page, status = self.run_host([library, "agent"])
                ahead = [line for line in status["not_covered"] if "name libsonde.so first in LD_PRELOAD" in line]
                self.assertEqual(len(ahead), 1, status["not_covered"])
                self.assertIn(name, ahead[0])
                self.assertFalse(page["live_heap"]["sampled"])
                self.assertAlmostEqual(page["allocators"][0]["in_use_bytes"], 65 * MIB, delta=6 * MIB)

    @unittest.skipUnless(STATIC[0], "libjemalloc-dev is not installed")
    def test_linked_in_and_hidden_is_not_covered_and_says_so(self):
        page, status = self.run_host(["agent"], STATIC[0])
        self.assertEqual(page["verdict"], "not_covered")
        self.assertIn("jemalloc", page["verdict_text"])
        hidden = [line for line in status["not_covered"] if "exports none of its functions" in line]
        self.assertEqual(len(hidden), 1, status["not_covered"])
        done = subprocess.run([SONDE, "memory", f"127.0.0.1:{self.port}"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 4, done.stdout + done.stderr)
        self.assertIn("not covered: jemalloc", done.stdout)

    @unittest.skipUnless(STATIC[-1], "libjemalloc-dev is not installed")
    def stacks_of_blocks(self):
        """[(objects, bytes)] in use, without mappings; once sampling is on."""
        def is_on():
            try:
                self.text = self.get_text("/debug/pprof/heap?debug=1")
                return True
            except urllib.error.HTTPError:
                return False
        self.wait_until(is_on, "a heap profile")
        lines = self.text.split("\n")
        return [match.groups() for match, mark in
                zip((re.match(r"(\d+): (\d+) \[\d+: \d+\] @", line) for line in lines), lines[1:])
                if match and mark != "# [mmap]"]

    def sampled_by_jemalloc(self, preload, host):
        """jemalloc's own samples are the heap profile where the hooks do not see its calls."""
        page, status = self.run_host(preload, host, {"MALLOC_CONF": "prof:true,lg_prof_sample:16,prof_prefix:/dev/null"})
        stacks = self.stacks_of_blocks()
        self.assertAlmostEqual(sum(int(size) for _, size in stacks), 65 * MIB, delta=12 * MIB)
        self.assertAlmostEqual(sum(int(objects) for objects, _ in stacks), 64 << 10, delta=12 << 10)
        whose = [line for line in status["not_covered"] if "the heap profile has its own samples" in line]
        self.assertEqual(len(whose), 1, status["not_covered"])
        self.assertIn("jemalloc in", whose[0])
        left = [name for name in os.listdir(self.dir) if name.endswith(".heap")]
        self.assertEqual(left, [])
        return page

    @unittest.skipUnless(STATIC[0], "libjemalloc-dev is not installed")
    def test_linked_in_and_exported_gives_its_own_samples(self):
        self.sampled_by_jemalloc(["agent"], STATIC[1])

    def test_ahead_of_the_agent_gives_its_own_samples(self):
        self.sampled_by_jemalloc([JEMALLOC, "agent"], HOST)

    def test_seen_by_the_hooks_and_sampling_is_not_counted_twice(self):
        self.run_host(["agent", JEMALLOC], HOST, {"MALLOC_CONF": "prof:true,lg_prof_sample:16,prof_prefix:/dev/null"})
        self.assertLess(sum(int(size) for _, size in self.stacks_of_blocks()), 90 * MIB)
        self.assertNotIn("own samples", " ".join(self.get("/debug/sonde/status")["not_covered"]))

    @unittest.skipUnless(STATIC[0], "libjemalloc-dev is not installed")
    def test_linked_in_and_exported_is_asked(self):
        page, status = self.run_host(["agent"], STATIC[-1])
        self.assertIn("jemalloc in the program", status["allocators"][0])
        self.assertTrue(page["allocators"][0]["counted"], page["allocators"])
        self.assertAlmostEqual(page["allocators"][0]["in_use_bytes"], 65 * MIB, delta=6 * MIB)


if __name__ == "__main__":
    unittest.main(verbosity=2)
