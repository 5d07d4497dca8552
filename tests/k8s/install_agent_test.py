# SPDX-License-Identifier: Apache-2.0
"""The copier of the init container: the layout it makes, that it can be run again, and what it says when it cannot.

Usage: install_agent_test.py INSTALL_AGENT LIBSONDE32
"""
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

PROGRAM, EMPTY32 = sys.argv.pop(1), sys.argv.pop(1)
ELF_CLASS_32, ELF_CLASS_64 = 1, 2
# What glibc puts in place of $LIB, per distribution and word size.
LIB_64 = ("lib/x86_64-linux-gnu", "lib64", "lib")
LIB_32 = ("lib/i386-linux-gnu", "lib32")
LIBRARIES = ("libsonde.so", "libsonde-tcmalloc.so")


def elf_class(path):
    head = path.read_bytes()[:5]
    if head[:4] != b"\x7fELF":
        raise RuntimeError(f"expected an ELF file at {path}")
    return head[4]


class InstallAgentTest(unittest.TestCase):
    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="sonde-install."))
        self.addCleanup(shutil.rmtree, self.scratch)
        self.image, self.volume = self.scratch / "image", self.scratch / "volume"
        self.image.mkdir()
        self.volume.mkdir()
        shutil.copy(EMPTY32, self.image / "libsonde32.so")
        self.build_library("first")
        self.build_library("other", LIBRARIES[1])

    def build_library(self, word, name=LIBRARIES[0]):
        """A 64-bit library in place of the agent that says, when it is loaded, which one it is."""
        source = self.scratch / "agent.c"
        source.write_text(f'#include <unistd.h>\n__attribute__((constructor)) static void Say(void) {{'
                          f' if (write(1, "{word}\\n", {len(word) + 1}) < 0) _exit(9); }}\n')
        subprocess.run(["cc", "-shared", "-fPIC", "-o", self.image / name, source], check=True)

    def install(self, *options, **how):
        return subprocess.run([PROGRAM, *options, self.image, self.volume], text=True, capture_output=True,
                              timeout=10, check=False, **how)

    def preload(self, name=LIBRARIES[0]):
        return subprocess.run(["/bin/true"], env={"LD_PRELOAD": f"{self.volume}/$LIB/{name}:"}, text=True,
                              capture_output=True, timeout=10, check=True)

    def test_the_loader_of_this_machine_finds_the_agent_by_lib(self):
        self.assertEqual(0, self.install().returncode)
        for name, word in zip(LIBRARIES, ("first", "other")):
            done = self.preload(name)
            self.assertEqual((word + "\n", ""), (done.stdout, done.stderr))

    def test_every_layout_has_a_library_of_its_word_size(self):
        self.assertEqual(0, self.install().returncode)
        for libs, expected in ((LIB_64, ELF_CLASS_64), (LIB_32, ELF_CLASS_32)):
            for path in (self.volume / lib / name for lib in libs for name in LIBRARIES):
                self.assertEqual(expected, elf_class(path), path)

    def test_on_red_hat_lib_is_for_32_bit_programs(self):
        self.assertEqual(0, self.install("--lib-is-32bit").returncode)
        for name in LIBRARIES:
            self.assertEqual(ELF_CLASS_32, elf_class(self.volume / "lib" / name))
            self.assertEqual(ELF_CLASS_64, elf_class(self.volume / "lib64" / name))

    def test_links_stay_inside_the_volume(self):
        self.assertEqual(0, self.install().returncode)
        moved = self.scratch / "moved"
        self.volume.rename(moved)
        for path in (moved / lib / name for lib in LIB_64 + LIB_32 for name in LIBRARIES):
            self.assertTrue(path.resolve(strict=True).is_relative_to(moved.resolve()))

    def test_another_uid_can_read_it_whatever_the_umask(self):
        self.assertEqual(0, self.install(umask=0o077).returncode)
        for lib in LIB_64 + LIB_32:
            self.assertEqual(0o644, stat.S_IMODE((self.volume / lib / "libsonde.so").stat().st_mode))
            self.assertEqual(0o755, stat.S_IMODE((self.volume / lib).stat().st_mode))

    def test_a_second_run_replaces_the_file_and_leaves_the_mapped_one(self):
        self.assertEqual(0, self.install().returncode)
        path = self.volume / LIB_64[0] / "libsonde.so"
        with open(path, "rb") as mapped:
            before = mapped.read()
            self.build_library("second")
            self.assertEqual(0, self.install().returncode)
            mapped.seek(0)
            self.assertEqual(before, mapped.read())
        self.assertEqual("second\n", self.preload().stdout)
        self.assertEqual([], [name for _, _, files in os.walk(self.volume) for name in files if name.startswith(".")])

    def test_what_an_interrupted_run_left_is_no_obstacle(self):
        (self.volume / LIB_64[0]).mkdir(parents=True)
        (self.volume / LIB_64[0] / ".sonde.new").write_text("half")
        self.assertEqual(0, self.install().returncode)
        self.assertEqual("first\n", self.preload().stdout)

    def test_a_missing_library_is_named(self):
        (self.image / "libsonde.so").unlink()
        done = self.install()
        self.assertEqual(1, done.returncode)
        self.assertIn(f"cannot open {self.image}/libsonde.so: No such file", done.stderr)

    def test_a_volume_of_somebody_else_is_explained(self):
        os.chmod(self.scratch, 0o755)
        done = self.install(user=65532, group=65532, extra_groups=[])
        self.assertEqual(1, done.returncode)
        self.assertIn("expected a volume that uid 65532 may write", done.stderr)

    def test_a_full_volume_is_an_error(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", self.volume], check=True)
        self.addCleanup(subprocess.run, ["umount", self.volume], check=True)
        (self.image / "libsonde.so").write_bytes(b"x" * 100_000)
        done = self.install()
        self.assertEqual(1, done.returncode)
        self.assertIn("No space left on device", done.stderr)

    def test_a_path_that_is_too_long_is_an_error(self):
        done = subprocess.run([PROGRAM, self.image, "/" + "d" * 4200], text=True, capture_output=True, timeout=10,
                              check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn("File name too long", done.stderr)

    def test_wrong_arguments_give_the_usage(self):
        for arguments in ([], ["/one"], ["/one", "/two", "/three"]):
            done = subprocess.run([PROGRAM, *arguments], text=True, capture_output=True, timeout=10, check=False)
            self.assertEqual(2, done.returncode)
            self.assertIn("usage: install-agent", done.stderr)

    def test_it_needs_no_library_so_that_the_image_can_be_empty(self):
        done = subprocess.run(["readelf", "-lW", PROGRAM], text=True, capture_output=True, check=True)
        self.assertNotIn("INTERP", done.stdout)


if __name__ == "__main__":
    unittest.main()
