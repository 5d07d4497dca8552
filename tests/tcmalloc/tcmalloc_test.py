#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libsonde-tcmalloc.so as a program's malloc: the same facts as under libc's, dormant and sampling every block.

And that it serves where libc's malloc would, and nowhere else. Environment: SONDE_TCMALLOC, SONDE_HOST, SONDE_PLUGIN,
SONDE_OWN_MALLOC.
"""
import os
import subprocess
import tempfile
import unittest

AGENT, HOST, PLUGIN, OWN_MALLOC = (os.environ[name] for name in
                                   ("SONDE_TCMALLOC", "SONDE_HOST", "SONDE_PLUGIN", "SONDE_OWN_MALLOC"))
LIBRARIES = "/usr/lib/x86_64-linux-gnu/"
OTHERS = ("libjemalloc.so.2", "libtcmalloc.so.4", "libmimalloc.so.2")
SECONDS = 120


def run(command, preload="", **settings):
    with tempfile.TemporaryDirectory(prefix="sonde-t-") as folder:
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "SONDE_RUN_DIR": folder, "SONDE_LISTEN": "off", **settings}
        if preload:
            env["LD_PRELOAD"] = preload
        done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    return done.returncode, done.stdout, done.stderr


class SameAsLibc(unittest.TestCase):
    def compare(self, case, *more):
        """Under libc's malloc, with the agent off, and with every block sampled."""
        command = [HOST, case, *more]
        bare = run(command)
        self.assertEqual((bare[0], bare[2]), (0, ""), bare)
        self.assertTrue(bare[1])
        self.assertEqual(run(command, AGENT), bare)
        self.assertEqual(run(command, AGENT, SONDE_TARGET=os.path.basename(HOST), SONDE_HEAP_INTERVAL_BYTES="64"), bare)

    def test_blocks_of_libc_end_here_and_ours_in_libc(self):
        self.compare("mixed", PLUGIN)

    def test_the_contract_of_each_function(self):
        self.compare("contract")

    def test_calloc_gives_zeros_and_touches_no_fresh_page(self):
        self.compare("calloc")

    def test_without_memory_malloc_fails_and_nothing_aborts(self):
        self.compare("little_memory")

    def test_caches_go_with_their_threads(self):
        self.compare("threads")

    def test_children_of_a_busy_process_can_allocate(self):
        self.compare("forks")

    def test_trim_and_mallinfo_are_about_this_heap(self):
        self.compare("trim")


class WhoServes(unittest.TestCase):
    """Told by the heap: pages of libc's own malloc are in [heap], ours are not."""
    LOOK = "held = [b'x' * (3000 + i % 9) for i in range(20000)]; print(" \
           "sum(int(l.split()[0].split('-')[1], 16) - int(l.split()[0].split('-')[0], 16) " \
           "for l in open('/proc/self/maps') if '[heap]' in l) > 30 << 20)"

    def brk_is_used(self, preload, **settings):
        code, out, err = run(["/usr/bin/python3", "-c", self.LOOK], preload, PYTHONMALLOC="malloc", **settings)
        self.assertEqual((code, err), (0, ""))
        return out == "True\n"

    def test_in_place_of_libc(self):
        self.assertTrue(self.brk_is_used(""))
        self.assertFalse(self.brk_is_used(AGENT))

    def test_also_where_the_agent_is_switched_off(self):
        self.assertFalse(self.brk_is_used(AGENT, SONDE_ENABLE="off"))

    def test_a_program_with_its_own_malloc_keeps_it(self):
        bare = run([OWN_MALLOC])
        self.assertEqual(bare, (0, "own malloc: done\n", ""))
        self.assertEqual(run([OWN_MALLOC], AGENT), bare)

    def test_another_allocator_keeps_serving_in_both_orders(self):
        for name in OTHERS:
            library = LIBRARIES + name
            if not os.path.exists(library):
                self.skipTest(f"{library} is not installed")
            for preload in (f"{AGENT}:{library}", f"{library}:{AGENT}"):
                with self.subTest(preload):
                    self.assertEqual(run([HOST, "threads"], preload), run([HOST, "threads"], library))

    def test_functions_of_the_other_allocator_get_its_blocks(self):
        """jemalloc's sallocx and dallocx know no blocks but jemalloc's."""
        library = LIBRARIES + "libjemalloc.so.2"
        if not os.path.exists(library):
            self.skipTest(f"{library} is not installed")
        use = "import ctypes as c; l = c.CDLL(None); l.malloc.restype = c.c_void_p; p = c.c_void_p(l.malloc(100)); " \
              "print(l.sallocx(p, 0)); l.dallocx(p, 0)"
        self.assertEqual(run(["/usr/bin/python3", "-c", use], f"{AGENT}:{library}"), (0, "112\n", ""))


if __name__ == "__main__":
    unittest.main(verbosity=2)
