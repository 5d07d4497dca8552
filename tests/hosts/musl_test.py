#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs linked with musl: never harmed by what the Kubernetes component sets, refused by `sonde run`."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

ARGUMENTS = None
SOURCE = '#include <stdio.h>\nint main(void) { puts("ran"); return 7; }\n'


class MuslTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="sonde-musl-")
        self.addCleanup(shutil.rmtree, self.directory)
        source, self.program = (os.path.join(self.directory, name) for name in ("program.c", "program"))
        with open(source, "w") as file:
            file.write(SOURCE)
        subprocess.run(["musl-gcc", "-o", self.program, source], check=True)
        # As the component's volume looks: a directory for each layout that glibc's $LIB can name.
        for layout in ("lib/x86_64-linux-gnu", "lib64", "lib"):
            os.makedirs(os.path.join(self.directory, "agent", layout), exist_ok=True)
            shutil.copy(ARGUMENTS.agent, os.path.join(self.directory, "agent", layout, "libsonde.so"))

    def run_it(self, command, preload=None):
        environment = {"PATH": "/usr/bin:/bin", **({"LD_PRELOAD": preload} if preload else {})}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
        return done.returncode, done.stdout, done.stderr

    def test_the_path_of_the_component_changes_nothing(self):
        bare = self.run_it([self.program])
        self.assertEqual(bare, (7, "ran\n", ""))
        self.assertEqual(self.run_it([self.program], f"{self.directory}/agent/$LIB/libsonde.so"), bare)

    def test_a_plain_path_ends_it_as_the_documents_say(self):
        status, output, errors = self.run_it([self.program], ARGUMENTS.agent)
        self.assertEqual((status, output), (127, ""))
        self.assertIn("Error", errors)

    def test_sonde_run_refuses_it_beforehand(self):
        status, output, errors = self.run_it([ARGUMENTS.sonde, "run", "--agent", ARGUMENTS.agent, "--", self.program])
        self.assertEqual((status, output), (1, ""))
        self.assertIn("linked with musl", errors)


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", required=True, type=os.path.abspath)
    parser.add_argument("--sonde", required=True, type=os.path.abspath)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
