#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that check_safe_symbols.py finds what is missing and what is too much in the allow-list."""
import pathlib
import subprocess
import tempfile
import unittest

import check_safe_symbols

SOURCES = {"a.c": "void b(void); void c(void); void a(void) { b(); c(); }", "b.c": "void b(void) {}"}


class CheckSafeSymbolsTest(unittest.TestCase):
    def faults(self, allowed, sources=SOURCES):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            for file, text in sources.items():
                (folder / file).write_text(text, encoding="ascii")
                subprocess.run(["gcc", "-fno-pic", "-c", folder / file, "-o", folder / f"{file}.o"], check=True)
            subprocess.run(["ar", "rcs", folder / "x.a", *folder.glob("*.o")], check=True)
            (folder / "allowed").write_text(allowed, encoding="ascii")
            return list(check_safe_symbols.faults_of(str(folder / "x.a"), str(folder / "allowed")))

    def test_members_may_refer_to_each_other(self):
        self.assertEqual(self.faults("c  # why\n"), [])

    def test_a_symbol_that_is_not_listed(self):
        self.assertIn("refers to c, which", self.faults("# nothing\n")[0])

    def test_a_line_that_nothing_needs(self):
        self.assertIn("allows malloc", self.faults("c\nmalloc\n")[0])

    def test_an_archive_without_code(self):
        self.assertIn("defines no symbol", self.faults("", {"e.c": ""})[0])


if __name__ == "__main__":
    unittest.main()
