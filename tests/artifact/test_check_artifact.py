#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows that check_artifact.py finds each fault: builds a good small library, then one with each fault.

Usage: test_check_artifact.py CMAKE_DIR STUB_DIR
"""
import pathlib
import subprocess
import sys
import tempfile
import unittest

import check_artifact

CMAKE_DIR, STUB_DIR = sys.argv[1:3]
GOOD_SOURCE = """
#include <unistd.h>
int hook(void) { return getppid(); }
"""
GOOD_LINK = ["-z", "now", "-z", "nodelete", "-z", "relro", "-z", "noexecstack", "--hash-style=gnu"]
GOOD_LIBS = [f"-L{STUB_DIR}", "-l:libc.so.6"]


class CheckArtifactTest(unittest.TestCase):
    def faults(self, extra="", compile_flags=("-fcf-protection",), link=GOOD_LINK, libs=GOOD_LIBS, hooks=("hook",)):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "a.c").write_text(GOOD_SOURCE + extra, encoding="ascii")
            (folder / "hooks.inc").write_text("".join(f'SONDE_HOOK({hook}, "why", "cost")\n' for hook in hooks),
                                              encoding="ascii")
            (folder / "a.map").write_text("{ global: hook; another; local: *; };", encoding="ascii")
            command = ["gcc", "-shared", "-nostdlib", "-fPIC", "-O1", "-w", *compile_flags, "-o", folder / "a.so",
                       folder / "a.c", f"-Wl,--version-script={folder}/a.map"]
            subprocess.run(command + [f"-Wl,{flag}" for flag in link] + list(libs), check=True)
            return list(check_artifact.faults_of(str(folder / "a.so"), [str(folder / "hooks.inc")], CMAKE_DIR))

    def expect(self, text, **library):
        faults = self.faults(**library)
        self.assertEqual(len(faults), 1, faults)
        self.assertIn(text, faults[0])

    def without(self, *flags):
        return [flag for flag in GOOD_LINK if flag not in flags]

    def test_a_good_library_has_no_fault(self):
        self.assertEqual(self.faults(), [])

    def test_another_library(self):
        # math functions that the compiler cannot fold
        faults = self.faults(extra="double cos(double); double f(double x) { return cos(x); }\n"
                                   "int another(int x) { return f(x); }", libs=["-lm", "-lc"], hooks=("hook", "another"))
        self.assertTrue(any("needs libm.so.6" in fault for fault in faults), faults)

    def test_a_newer_symbol(self):
        self.expect("GLIBC_2.17 or older", extra="void closefrom(int); void another(void) { closefrom(3); }",
                    libs=["-lc"], hooks=("hook", "another"))

    def test_a_symbol_that_was_in_libpthread(self):
        self.expect("outside libc.so.6 in glibc 2.17", libs=["-lc"], hooks=("hook", "another"),
                    extra='asm(".symver pthread_detach, pthread_detach@GLIBC_2.2.5");'
                          "int pthread_detach(long); int another(void) { return pthread_detach(1); }")

    def test_a_weak_symbol_without_version(self):
        self.expect("without a GLIBC version", hooks=("hook", "another"),
                    extra="__attribute__((weak)) int maybe(void); int another(void) { return maybe ? maybe() : 0; }")

    def test_a_function_that_uses_the_hosts_heap(self):
        self.expect("refers to strdup", hooks=("hook", "another"),
                    extra="char* strdup(const char*); char* another(void) { return strdup(\"x\"); }")

    def test_an_unlisted_export(self):
        self.expect("exports another", extra="int another(void) { return 1; }")

    def test_a_missing_export(self):
        self.expect("does not export third", hooks=("hook", "third"))

    def test_an_executable_stack(self):
        self.expect("executable stack", link=self.without("noexecstack")[:6] + ["-z", "execstack", "--hash-style=gnu"])

    def test_text_relocations(self):
        self.expect("text relocations", link=GOOD_LINK + ["-z", "notext"], extra='asm(".text\\n.quad hook\\n");')

    def test_missing_cet_marks(self):
        self.assertEqual(len(self.faults(compile_flags=["-fcf-protection=none"])), 2)

    def test_much_thread_local_storage(self):
        self.expect("300 bytes of thread-local storage", hooks=("hook", "another"),
                    compile_flags=["-fcf-protection", "-ftls-model=initial-exec"],
                    extra="__thread char room[300]; char* another(void) { return room; }")

    def test_an_ifunc(self):
        self.expect("IFUNC", hooks=("hook", "another"),
                    extra="static int one(void) { return 1; } static void* pick(void) { return one; }"
                          '__attribute__((visibility("hidden"), ifunc("pick"))) int chosen(void);'
                          "int another(void) { return chosen(); }")

    def test_lazy_binding(self):
        self.expect("lacks the flag NOW", link=["-z", "lazy"] + GOOD_LINK[2:])

    def test_a_library_that_can_be_unloaded(self):
        self.expect("lacks the flag NODELETE", link=self.without("nodelete")[:2] + GOOD_LINK[4:])

    def test_no_relro(self):
        self.expect("RELRO", link=GOOD_LINK[:4] + ["-z", "norelro"] + GOOD_LINK[6:])

    def test_more_than_one_function_at_exit(self):
        self.expect("runs 2 functions at exit", extra="".join(
            f"__attribute__((destructor)) static void end{i}(void) {{ getppid(); }}\n" for i in (1, 2)))

    def test_a_run_path(self):
        self.expect("RUNPATH", link=GOOD_LINK + ["-rpath,/tmp"])

    def test_packed_relocations(self):
        self.expect("DT_RELR", link=GOOD_LINK + ["-z", "pack-relative-relocs"], libs=GOOD_LIBS,
                    extra="static int value; static int* pointer = &value; int*** unused; "
                          "__attribute__((used)) static int** far = &pointer;")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
