#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sonde diff on real dumps of gperftools and jemalloc, whose difference is known by construction."""
import glob
import json
import os
import shutil
import subprocess
import tempfile
import unittest

SONDE = os.environ["SONDE"]
HOST = os.environ["SONDE_DIFF_HOST"]
LIBRARIES = "/usr/lib/x86_64-linux-gnu/"
LARGE = {"before": 100, "after": 500}
GROWTH = (LARGE["after"] - LARGE["before"]) * 30000


class Diff(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="sonde-d-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def dump(self, name, library, **environment):
        """Runs the host with that allocator and gives its last dump."""
        path = LIBRARIES + library
        self.assertTrue(os.path.exists(path), f"{path} is missing: run scripts/setup")
        prefix = os.path.join(self.dir, name)
        env = {key: value.replace("PREFIX", prefix) for key, value in environment.items()}
        subprocess.run([HOST, str(LARGE[name])], env={"LD_PRELOAD": path, **env}, check=True, timeout=60,
                       stderr=subprocess.DEVNULL)
        return sorted(glob.glob(prefix + ".*"))[-1]

    def sonde(self, *arguments, code=0):
        done = subprocess.run([SONDE, "diff", *arguments], capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def check(self, before, after, error):
        answer = json.loads(self.sonde(before, after, "--json").stdout)
        self.assertEqual((answer["type"], answer["unit"]), ("inuse_space", "bytes"))
        self.assertAlmostEqual(answer["change"], GROWTH, delta=error * GROWTH)
        top = max(answer["rows"], key=lambda row: row["cumulative"] if row["name"] == "KeepLarge" else -1)
        self.assertEqual(top["name"], "KeepLarge")
        self.assertAlmostEqual(top["cumulative"], GROWTH, delta=error * GROWTH)
        back = json.loads(self.sonde(after, before, "--json").stdout)
        self.assertAlmostEqual(back["change"], -answer["change"], delta=2)
        text = self.sonde(before, after).stdout
        self.assertRegex(text, r"(?m)^change +\+1[0-3]\.\d MiB of inuse_space$")
        self.assertRegex(text, r"(?m)^ +.*\+1[0-3]\.\d MiB   KeepLarge")
        self.assertIn("no change", self.sonde(before, before).stdout)

    def test_every_block_of_gperftools(self):
        before, after = (self.dump(name, "libtcmalloc.so.4", HEAPPROFILE="PREFIX") for name in LARGE)
        self.check(before, after, error=0.001)

    def test_samples_of_jemalloc(self):
        conf = "prof:true,prof_final:true,lg_prof_sample:12,prof_prefix:PREFIX"
        before, after = (self.dump(name, "libjemalloc.so.2", MALLOC_CONF=conf) for name in LARGE)
        # Blocks of seven intervals are sampled but for one in a thousand; usable sizes are 32 KiB.
        self.check(before, after, error=0.15)

    def test_profiles_of_different_kinds_are_refused(self):
        heap = self.dump("before", "libtcmalloc.so.4", HEAPPROFILE="PREFIX")
        broken = os.path.join(self.dir, "broken.heap")
        with open(broken, "w", encoding="utf-8") as file:
            file.write("heap profile: 1: 8 [ 1: 8] @ heapprofile\n 1: eight\n")
        done = self.sonde(heap, broken, code=1)
        self.assertIn("broken.heap: line 2: counts and addresses of a stack", done.stderr)
        self.assertIn("AFTER", self.sonde(heap, code=2).stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
