#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The page of real services: it adds up, and at most 5 % of the RSS is unexplained. Prints each page."""
import os
import shutil
import subprocess
import unittest

from live_page import MIB, LivePage, can_connect, free_port

MAX_UNEXPLAINED = 0.05


class Services(LivePage):
    def check(self, name):
        page = self.page()
        self.tell(name, page)
        self.assertLessEqual(page["unexplained_share"], MAX_UNEXPLAINED, page)
        return page

    def program(self, name):
        path = shutil.which(name, path="/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        if not path:
            self.skipTest(f"{name} is not installed")
        return path

    def test_redis(self):
        redis, port = self.program("redis-server"), str(free_port())
        self.start([redis, "--port", port, "--save", "", "--bind", "127.0.0.1",
                    "--enable-debug-command", "local"], os.path.basename(os.path.realpath(redis)))
        self.wait_until(lambda: can_connect(int(port)), "redis")
        subprocess.run(["redis-cli", "-p", port, "debug", "populate", "200000", "key", "300"], check=True, timeout=60,
                       stdout=subprocess.DEVNULL)
        page = self.check("redis")
        self.assertTrue(page["allocators"][0]["name"].startswith("jemalloc"), page["allocators"])
        # 200,000 values of 300 bytes, with their keys and entries.
        self.assertGreater(page["allocators"][0]["in_use_bytes"], 70 * MIB)

    def test_postgres(self):
        postgres, port = self.program("postgres"), str(free_port())
        data = os.path.join(self.dir, "data")
        subprocess.run([self.program("initdb"), "-D", data, "-A", "trust", "-N"], check=True, timeout=120,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user="postgres", group="postgres",
                       extra_groups=[], cwd=self.dir)
        self.start([postgres, "-D", data, "-p", port, "-k", self.dir, "-c", "shared_buffers=64MB"], "postgres",
                   user="postgres")
        self.wait_until(lambda: can_connect(int(port)), "postgres")
        psql = ["psql", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-c"]
        subprocess.run([*psql, "create table t as select g, repeat('x', 500) from generate_series(1, 100000) g"],
                       check=True, timeout=120, stdout=subprocess.DEVNULL)
        self.check("postgres")

    def test_java(self):
        java = self.program("java")
        source = os.path.join(self.dir, "Hold.java")
        with open(source, "w", encoding="utf-8") as file:
            file.write("public class Hold { public static void main(String[] a) throws Exception {"
                       "byte[][] all = new byte[200][]; for (int i = 0; i < 200; i++) { all[i] = new byte[1 << 20];"
                       "java.util.Arrays.fill(all[i], (byte) 1); }"
                       "System.out.println(\"ready\"); Thread.sleep(60000); System.out.println(all[7][3]); } }\n")
        if not shutil.which("javac"):
            self.skipTest("a JRE alone compiles nothing")
        process = self.start([java, "-Xmx512m", source], "java", stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "ready\n")
        page = self.check("java")
        self.assertGreater(page["parts"]["service_mmap"], 200 * MIB)
        self.assertTrue(any("Java" in note for note in page["notes"]), page["notes"])

    def test_python(self):
        python = self.program("python3")
        program = ("import sys, time; held = [str(i) * 20 for i in range(400000)]; large = bytearray(50 << 20);"
                   "print('ready', flush=True); time.sleep(60)")
        process = self.start([python, "-c", program], os.path.basename(os.path.realpath(python)), stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "ready\n")
        page = self.check("python")
        self.assertGreater(page["parts"]["service_mmap"], 30 * MIB)  # its arenas
        self.assertGreater(page["parts"]["live_heap"] + page["parts"]["allocator_extra"], 49 * MIB)


if __name__ == "__main__":
    unittest.main(verbosity=2)
