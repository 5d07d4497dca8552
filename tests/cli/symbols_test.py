# SPDX-License-Identifier: Apache-2.0
"""Names and lines of programs that make it hard: real ones, under the real agent, asked by the real command.

Each burns CPU in a function that only a full symbol table names, called from one that the dynamic table names.
"""
import os
import re
import subprocess
import time
import unittest
import urllib.request

import harness
from harness import PRELOAD, SONDE, Case

LOADER = "/lib64/ld-linux-x86-64.so.2"

WORK = """
static __attribute__((noinline)) unsigned long %(hidden)s(unsigned long x) {
  for (unsigned i = 0; i < 10000; ++i) x = x * 6364136223846793005ul + i;
  return x;
}
__attribute__((visibility("default"), noinline)) unsigned long %(known)s(unsigned long x) {
  for (unsigned i = 0; i < 200; ++i) x = %(hidden)s(x) + 1;
  return x;
}
"""
ALONE = WORK % {"hidden": "burn_hidden", "known": "burn_known"} + """
int main(void) { volatile unsigned long x = 1; for (;;) x = burn_known(x); }
"""
LOADING = """
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char** argv) {
  void* library = dlopen(argv[1], RTLD_NOW);
  if (!library) { puts(dlerror()); return 1; }
  unsigned long (*burn)(unsigned long) = (unsigned long (*)(unsigned long))dlsym(library, argv[2]);
  puts("loaded");
  fflush(stdout);
  for (volatile unsigned long x = 1;;) x = burn(x);
}
"""
# As packers do it: the code lies in memory that has no file.
UNPACKED = """
#include <string.h>
#include <sys/mman.h>
static const unsigned char code[] = {0x48, 0xff, 0xc7, 0xeb, 0xfb};  // again: inc %rdi; jmp again
int main(void) {
  void* at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(at, code, sizeof code);
  mprotect(at, 4096, PROT_READ | PROT_EXEC);
  ((void (*)(void))at)();
}
"""


@unittest.skipUnless(PRELOAD, "needs the agent")
class Symbols(Case):
    def compile(self, name, source, *flags):
        path = os.path.join(self.dir, name)
        with open(path + ".c", "w", encoding="utf-8") as file:
            file.write(source)
        self.shell("cc", "-O1", "-Wl,--build-id", *flags, "-o", path, path + ".c")
        return path

    def shell(self, *command):
        subprocess.run(command, cwd=self.dir, check=True, timeout=60)

    def library(self, name, prefix, *flags):
        return self.compile(name, WORK % {"hidden": prefix + "_hidden", "known": prefix + "_known"}, "-shared", "-fPIC", *flags)

    def run_command(self, *command, name=""):
        """Starts it under the agent; gives its target."""
        port = harness.free_port()
        env = {**self.env, "LD_PRELOAD": PRELOAD, "SONDE_LISTEN": f"127.0.0.1:{port}", "SONDE_RUN_DIR": self.dir,
               "SONDE_TARGET": name or os.path.basename(command[0])}
        self.start(command, env=env, stdout=subprocess.DEVNULL)
        harness.wait_until(lambda: harness.answers(port), 20, "the agent")
        return f":{port}"

    def rows(self, target, *options, env=None):
        """Gives {name: share} of the functions, by their own CPU."""
        answer = self.sonde_json("cpu", target, "-s", "1", "--top", "100", *options, env=env)
        self.assertGreater(answer["samples"], 10)
        return {row["name"]: row["flat"] / answer["total"] for row in answer["rows"]}

    def test_a_stripped_program_has_a_row_a_function_until_its_symbols_are_found(self):
        program = self.compile("bare", ALONE, "-g", "-rdynamic")
        build_id = re.search(r"Build ID: (\w+)", subprocess.run(["readelf", "-n", program], capture_output=True, text=True,
                                                              check=True).stdout)[1]
        debug = os.path.join(self.dir, "debug/.build-id", build_id[:2])
        os.makedirs(debug)
        self.shell("objcopy", "--only-keep-debug", program, f"{debug}/{build_id[2:]}.debug")
        self.shell("strip", program)
        target = self.run_command(program)
        plain = self.rows(target)
        self.assertRegex(max(plain, key=plain.get), r"^bare\+0x[0-9a-f]+$")
        self.assertGreater(max(plain.values()), 0.9)
        self.assertGreater(self.rows(target, "--debug-dir", f"{self.dir}/debug")["burn_hidden"], 0.9)
        by_line = self.rows(target, "--by", "line", "--debug-dir", f"{self.dir}/debug")
        self.assertGreater(by_line["burn_hidden"], 0.4)
        # The same from a server of debug files.
        server = self.debuginfod(f"{self.dir}/debug", build_id)
        remote = self.rows(target, env={"DEBUGINFOD_URLS": server, "DEBUGINFOD_CACHE_PATH": f"{self.dir}/fetched"})
        self.assertGreater(remote["burn_hidden"], 0.9)
        self.assertTrue(os.path.isdir(f"{self.dir}/fetched/{build_id}"))

    def debuginfod(self, directory, build_id):
        port = harness.free_port()
        self.start(["debuginfod", "-F", "-p", str(port), "-d", ":memory:", directory], stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, env=self.env)

        def has_it():
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/buildid/{build_id}/debuginfo", timeout=5) as answer:
                    return answer.status == 200
            except OSError:
                return False
        harness.wait_until(has_it, 30, "the server of debug files")
        return f"http://127.0.0.1:{port}"

    def test_a_program_that_the_loader_was_told_to_start(self):
        program = self.compile("told", ALONE)
        self.assertGreater(self.rows(self.run_command(LOADER, program, name="told"))["burn_hidden"], 0.9)

    def loaded(self, library, function):
        program = self.compile("loading", LOADING)
        target = self.run_command(program, library, function)
        time.sleep(0.5)
        return target

    def test_a_replaced_library_keeps_the_names_of_what_is_loaded(self):
        library = self.library("libwork.so", "old")
        target = self.loaded(library, "old_known")
        self.assertGreater(self.rows(target)["old_hidden"], 0.9)
        other = self.library("libother.so", "new", "-DOTHER")
        os.rename(other, library)
        rows = self.rows(target)
        self.assertFalse([name for name in rows if name.startswith("new_")], rows)
        heaviest = max(rows, key=rows.get)
        # By the inode that is still mapped; without that right, by where the function begins.
        self.assertRegex(heaviest, r"^(old_hidden|libwork\.so( \(deleted\))?\+0x[0-9a-f]+)$")

    def test_a_library_that_has_its_addresses_already_as_prelink_leaves_it(self):
        library = self.library("libfixed.so", "fixed", "-Wl,-Ttext-segment=0x3000000000")
        self.assertGreater(self.rows(self.loaded(library, "fixed_known"))["fixed_hidden"], 0.9)

    def test_a_library_with_a_large_gap_before_its_code(self):
        library = self.library("libgap.so", "gap", "-Wl,-z,max-page-size=0x200000", "-Wl,-z,separate-code")
        self.assertGreater(self.rows(self.loaded(library, "gap_known"))["gap_hidden"], 0.9)

    def test_code_without_a_file_has_no_name_and_is_not_lost(self):
        program = self.compile("unpacked", UNPACKED)
        rows = self.rows(self.run_command(program))
        heaviest = max(rows, key=rows.get)
        self.assertGreater(rows[heaviest], 0.5)
        self.assertFalse(heaviest.startswith("main") or heaviest.startswith("unpacked"), rows)


if __name__ == "__main__":
    unittest.main(verbosity=2)
