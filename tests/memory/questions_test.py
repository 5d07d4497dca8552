#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Other questions about the heap: its highest point, the last seconds; and giving memory back, with each allocator."""
import json
import os
import re
import subprocess
import time
import unittest

from live_page import MIB, SONDE, LivePage

HOST = os.environ["SONDE_PEAK_HOST"]
LIBRARIES = "/usr/lib/x86_64-linux-gnu/"


class Questions(LivePage):
    def run_host(self, preload=("agent",)):
        for library in preload:
            if library != "agent" and not os.path.exists(library):
                self.skipTest(f"{library} is not installed")
        self.host = self.start([HOST], os.path.basename(HOST), preload, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, settings={"SONDE_HEAP_INTERVAL_BYTES": "4096"})
        self.addCleanup(self.finish)
        self.assertEqual(self.host.stdout.readline(), "waiting\n")
        self.wait_until(lambda: self.sonde("heap", "--json").returncode == 0, "heap sampling")

    def finish(self):
        """A host that is killed early is counted by the crash guard of its successors."""
        self.host.stdin.close()
        self.assertEqual(self.host.wait(20), 0)

    def tell_host(self, what):
        self.host.stdin.write(what + "\n")
        self.host.stdin.flush()
        self.assertEqual(self.host.stdout.readline(), "done\n")

    def sonde(self, verb, *options):
        return subprocess.run([SONDE, verb, str(self.host.pid), *options], capture_output=True, text=True, timeout=60,
                              check=False, env={**os.environ, "SONDE_RUN_DIR": self.run_directory()})

    def run_directory(self):
        return os.path.join(self.dir, f"run{self.port}")

    def heap(self, *options):
        done = self.sonde("heap", "--json", "--top", "1000", *options)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        answer = json.loads(done.stdout)
        return {row["name"]: row["cumulative"] / MIB for row in answer["rows"]}, answer["sampled"]

    def test_the_highest_point_is_remembered(self):
        self.run_host()
        self.tell_host("peak")
        time.sleep(2.5)  # a fold looks about once a second
        self.tell_host("drop")
        self.tell_host("late")
        self.assertNotIn("PeakOfTheService", self.heap()[0])
        rows, told = self.heap("--peak")
        self.assertAlmostEqual(rows["PeakOfTheService"], 48, delta=0.5)
        self.assertNotIn("LateInTheService", rows)
        self.assertTrue(any("when that was most" in line for line in told), told)

    def test_the_last_seconds_leave_out_what_was_before(self):
        self.run_host()
        self.tell_host("peak")
        time.sleep(4)
        self.tell_host("late")
        rows, told = self.heap("--last", "2s")
        self.assertAlmostEqual(rows["LateInTheService"], 6, delta=0.1)
        self.assertNotIn("PeakOfTheService", rows)
        self.assertTrue(any("allocated in the last" in line for line in told), told)
        allocated = self.heap("--last", "1m", "--sort", "alloc")[0]
        self.assertAlmostEqual(allocated["LateInTheService"], 6, delta=0.1)
        self.assertAlmostEqual(allocated["PeakOfTheService"], 48, delta=0.5)

    def test_the_interval_rises_before_the_table_is_full(self):
        self.run_host()
        self.tell_host("slow")
        rows, told = self.heap()
        self.assertAlmostEqual(rows["SlowGrowth"], 26000 * 4096 / MIB, delta=4)
        self.assertLess(sum(size for name, size in rows.items() if "dropped" in name), 1, rows)
        self.assertTrue(any("as often as configured" in line for line in told), told)

    def release(self, *options):
        done = self.sonde("memory", "--release", *options)
        found = re.search(r"^released +(.*): RSS ([\d.]+) (\w+) before, ([\d.]+) (\w+) after, in \d+ ms$", done.stdout,
                          re.M)
        self.assertIsNotNone(found, done.stdout + done.stderr)
        self.assertEqual((found[3], found[5]), ("MiB", "MiB"))
        return found[1], float(found[2]), float(found[4])

    def test_glibc_refuses_where_the_service_would_wait_unless_forced(self):
        self.run_host()
        self.tell_host("holes")
        page = self.page()
        self.assertEqual(page["verdict"], "allocator_keeps", page)
        self.assertIn("--release", self.sonde("memory").stdout)
        refused = self.sonde("memory", "--release")
        self.assertEqual(refused.returncode, 1)
        self.assertRegex(refused.stderr, r"would wait for up to \d+ ms: expected force=1")
        how, before, after = self.release("--force")
        self.assertIn("malloc_trim", how)
        self.assertLess(after, before - 25)
        time.sleep(1.1)
        self.assertLess(self.page()["rss_bytes"] / MIB, before - 25)

    def test_a_small_heap_of_glibc_needs_no_force(self):
        self.run_host()
        self.tell_host("late")
        self.assertIn("glibc", self.release()[0])

    def test_jemalloc_purges(self):
        self.run_host(["agent", LIBRARIES + "libjemalloc.so.2"])
        self.tell_host("holes")
        self.assertIn("arena.4096.purge", self.release()[0])

    def test_tcmalloc_gives_back_in_steps(self):
        self.run_host(["agent", LIBRARIES + "libtcmalloc.so.4"])
        self.tell_host("peak")
        self.tell_host("drop")
        how, before, after = self.release()
        self.assertIn("MallocExtension_ReleaseToSystem", how)
        self.assertLess(after, before - 25)

    def test_ours_gives_back_in_steps(self):
        self.run_host([os.environ["SONDE_TCMALLOC"]])
        self.tell_host("peak")
        self.tell_host("drop")
        how, before, after = self.release()
        self.assertIn("sonde-tcmalloc gave back", how)
        self.assertLess(after, before - 25)

    def test_mimalloc_cannot_be_asked_and_says_so(self):
        self.run_host(["agent", LIBRARIES + "libmimalloc.so.2"])
        refused = self.sonde("memory", "--release")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("mi_collect", refused.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
