#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""gperftools' tcmalloc that samples by itself where the hooks see nothing: its samples are the heap profile, and true."""
import os
import re
import subprocess
import unittest
import urllib.error

from live_page import MIB, LivePage

HOST = os.environ["SONDE_SITE_HOST"]
STATIC = os.environ.get("SONDE_TCMALLOC_HOST", "")
HIDDEN = os.environ.get("SONDE_HIDDEN_HOST", "")
FOLDER = os.environ.get("SONDE_GPERFTOOLS", "/usr/lib/x86_64-linux-gnu")
TCMALLOC, MINIMAL, DEBUG = (f"{FOLDER}/libtcmalloc{kind}.so.4" for kind in ("", "_minimal", "_debug"))
SLOW_PHDR = os.environ["SONDE_SLOW_PHDR"]
FAKES = os.environ["SONDE_FAKES"].split(",")
SITE_BYTES = 512  # nothing else allocates within so much of a site's beginning
# Dense enough that five standard deviations of each site's estimate are below a sixth.
DENSE = {"TCMALLOC_SAMPLE_PARAMETER": "16384"}


class Gperftools(LivePage):
    def run_host(self, preload, host=HOST, settings=None, arguments=()):
        for file in [host, *preload]:
            if file != "agent" and not os.path.exists(file):
                self.skipTest(f"{file or 'a program with tcmalloc in it'} is not there")
        command = ["unshare", "--ipc", host] if os.geteuid() == 0 else [host]
        process = self.start([*command, *arguments], os.path.basename(host), preload, settings=settings,
                             stdout=subprocess.PIPE, text=True)
        self.sites = {}
        for line in iter(process.stdout.readline, "ready\n"):
            _, name, address, objects, size = line.split()
            self.sites[name] = int(address), int(objects), int(size)
        self.assertEqual(len(self.sites), 3)
        return process

    def stacks(self):
        """[(objects, bytes, frames)] in use, without mappings; once sampling is on."""
        def is_on():
            try:
                self.text = self.get_text("/debug/pprof/heap?debug=1")
                return True
            except urllib.error.HTTPError:
                return False
        self.wait_until(is_on, "a heap profile")
        lines = self.text.split("\n")
        found = [(re.match(r"(\d+): (\d+) \[\d+: \d+\] @(.*)", line), mark) for line, mark in zip(lines, lines[1:])]
        return [(int(m[1]), int(m[2]), [int(f, 16) for f in m[3].split()]) for m, mark in found if m and mark != "# [mmap]"]

    def site_of(self, frame):
        before = [(address, name) for name, (address, _, _) in self.sites.items() if frame - SITE_BYTES <= address < frame]
        return max(before)[1] if before else ""

    def at(self, name, stacks, share):
        """What the site has, where it is the leaf, within a share of the truth."""
        _, objects, size = self.sites[name]
        mine = [s for s in stacks if s[2] and self.site_of(s[2][0]) == name]
        self.assertAlmostEqual(sum(s[1] for s in mine), size, delta=share * size, msg=name)
        self.assertAlmostEqual(sum(s[0] for s in mine), objects, delta=share * objects, msg=name)

    def not_covered(self):
        return [line for line in self.get("/debug/sonde/status")["not_covered"] if "tcmalloc" in line]

    def gives_true_samples(self, preload, host, settings=None):
        self.run_host(preload, host, settings or DENSE)
        stacks = self.stacks()
        for name in self.sites:
            self.at(name, stacks, 1 / 6)
        whose = self.not_covered()
        self.assertEqual(len(whose), 1, whose)
        self.assertIn("the heap profile has its own samples", whose[0])

    def test_linked_in_and_exported(self):
        self.gives_true_samples(["agent"], STATIC)

    def test_ahead_of_the_agent(self):
        self.gives_true_samples([TCMALLOC, "agent"], HOST)

    def test_the_debugging_flavour_ahead_of_the_agent(self):
        self.run_host([DEBUG, "agent"], HOST, DENSE)
        # Its own records of the blocks are sampled as well, under the call that made them.
        size = sum(s[1] for s in self.stacks() if self.site_of(s[2][0]) == "Large")
        self.assertGreater(size, self.sites["Large"][2])
        self.assertLess(size, 1.1 * self.sites["Large"][2])

    def test_at_the_interval_that_its_manual_names(self):
        self.run_host(["agent"], STATIC, {"TCMALLOC_SAMPLE_PARAMETER": "524288"})
        stacks = self.stacks()
        for name, share in (("Tiny", 0.8), ("Small", 0.6), ("Large", 0.4)):
            self.at(name, stacks, share)

    def test_seen_by_the_hooks_is_not_counted_twice(self):
        self.run_host(["agent", TCMALLOC], HOST, DENSE)
        truth = sum(size for _, _, size in self.sites.values())
        self.assertLess(sum(size for _, size, _ in self.stacks()), 1.5 * truth)
        self.assertEqual(self.not_covered(), [])

    def says(self, preload, host, settings, words):
        process = self.run_host(preload, host, settings)
        self.assertLess(sum(size for _, size, _ in self.stacks()), MIB)
        said = self.not_covered()
        self.assertEqual(len(said), 1, said)
        self.assertIn(words, said[0])
        self.assertIsNone(process.poll())

    def test_switched_off_says_what_switches_it_on(self):
        self.says(["agent"], STATIC, {}, "TCMALLOC_SAMPLE_PARAMETER=524288 would switch on")

    def test_switched_off_ahead_of_the_agent_says_so(self):
        self.says([TCMALLOC, "agent"], HOST, {}, "TCMALLOC_SAMPLE_PARAMETER=524288 would switch on")

    def test_built_without_sampling_says_so(self):
        self.says([MINIMAL, "agent"], HOST, DENSE, "built without sampling")

    def test_linked_in_and_hidden_says_so(self):
        self.run_host(["agent"], HIDDEN, DENSE)
        self.assertLess(sum(size for _, size, _ in self.stacks()), MIB)
        said = self.not_covered()
        self.assertEqual(len(said), 2, said)
        self.assertIn("malloc goes to tcmalloc (gperftools) in the program", said[0])
        self.assertIn("exports none of its functions, as it would with -rdynamic", said[1])

    def test_too_many_samples_are_left_alone(self):
        self.says(["agent"], STATIC, {"TCMALLOC_SAMPLE_PARAMETER": "1024"}, "expected TCMALLOC_SAMPLE_PARAMETER of at least")

    def test_an_allocation_that_it_would_report_is_not_made(self):
        self.says([TCMALLOC, "agent"], HOST, {**DENSE, "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD": "1000000"},
                  "it would report on stderr")

    def test_a_limit_of_its_heap_is_kept(self):
        self.says(["agent"], STATIC, {**DENSE, "TCMALLOC_HEAP_LIMIT_MB": "183"}, "TCMALLOC_HEAP_LIMIT_MB leaves no")

    def test_what_is_not_as_it_is_known_is_never_asked(self):
        """Libraries that differ from tcmalloc in one thing each, and abort when their samples are asked for."""
        words = {"writable": "tables of virtual functions", "twice": "tables of virtual functions",
                 "elsewhere": "tables of virtual functions", "short": "tables of virtual functions",
                 "foreign": "extension of the program's own", "resolver": "is not a function in its code",
                 "new": "operator new[] is not its own"}
        for file in FAKES:
            wrong = re.search(r"_([a-z]+)\.so$", file)[1]
            with self.subTest(wrong):
                if wrong == "none":
                    self.run_host([file, "agent"], HOST)
                    self.assertEqual([s for s in self.stacks() if s[1] == 7 and s[2] == [0x1234]], [(1, 7, [0x1234])])
                else:
                    self.says([file, "agent"], HOST, {}, words.pop(wrong))
        self.assertEqual(words, {})

    def test_without_room_nothing_is_asked(self):
        process = self.run_host(["agent"], STATIC, DENSE, ("room", str(10 * MIB)))
        self.assertEqual(process.stdout.readline(), "limited\n")
        self.stacks()
        self.assertIn("no room for the", " ".join(self.not_covered()))
        self.assertIsNone(process.poll())

    def forks_while_asked(self, preload, settings):
        process = self.run_host(preload, STATIC, settings, ("forks", "4"))
        os.set_blocking(process.stdout.fileno(), False)
        line, given = "", 0
        while not line:
            given += sum(size for _, size, _ in self.stacks()) > 0
            line = process.stdout.readline()
        self.assertEqual(line, "forked\n")
        self.assertGreater(given, 3)

    def test_children_that_are_forked_meanwhile_find_no_lock(self):
        self.forks_while_asked(["agent"], DENSE)
        self.assertIn("own samples", self.not_covered()[0])

    def test_nor_the_loaders_lock_by_which_tcmalloc_walks_the_agents_stack(self):
        """The list of samples is sampled itself; a library lets its thread keep the lock for long."""
        self.forks_while_asked(["agent", SLOW_PHDR], {"TCMALLOC_SAMPLE_PARAMETER": "32768"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
