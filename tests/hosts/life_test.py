#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the agent itself must show where a host cannot see it: that it serves, stays off, or leaves another alone."""
import argparse
import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from run_host import CLONE_NEWIPC, LIBC, isolate_network

ARGUMENTS = None
IN_A_PID_NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]


def ask(path, url, timeout_s=20):
    """The body of a GET over a unix socket; raises OSError where nobody answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout_s)
        sock.connect(path)
        sock.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.splitlines()[0]:
        raise OSError(f"{url}: {head.splitlines()[0].decode()}: {body.decode(errors='replace')}")
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


class Host:
    """A host program that obeys, under the agent as its named target."""

    def __init__(self, directory, role="obey", prefix=(), program="host_old_profile", **extra):
        self.directory = directory
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "LD_PRELOAD": ARGUMENTS.agent,
                       "SONDE_TARGET": program, "SONDE_RUN_DIR": directory, **extra}
        setting = [f"{name}={value}" for name, value in environment.items()]
        self.process = subprocess.Popen([*prefix, "env", *setting, os.path.join(ARGUMENTS.hosts, program), "--role", role],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def order(self, order, number=0):
        self.process.stdin.write(f"{order} {number}\n")
        self.process.stdin.flush()

    def answer(self):
        return self.process.stdout.readline().strip()

    def obey(self, order, number=0):
        self.order(order, number)
        return self.answer()

    def socket(self, known=()):
        """The path of the agent's socket, which is not among the known ones."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            new = [name for name in os.listdir(self.directory) if name.endswith(".sock") and name not in known]
            if new:
                return os.path.join(self.directory, new[0])
            time.sleep(0.02)
        raise TimeoutError("the agent has opened no socket")

    def status(self, known=()):
        return json.loads(ask(self.socket(known), "/debug/sonde/status"))

    def kill(self):
        """The signal must be first: at the end of its input the host would end regularly."""
        self.process.kill()
        return self.wait()

    def end(self):
        self.process.stdin.close()
        return self.wait()

    def wait(self):
        """(exit status, stderr)"""
        status = self.process.wait(timeout=20)
        with self.process.stderr, self.process.stdout:
            stderr = self.process.stderr.read()
        if not self.process.stdin.closed:
            self.process.stdin.close()
        return status, stderr


class LifeTest(unittest.TestCase):
    def setUp(self):
        LIBC.unshare(CLONE_NEWIPC)  # what a crash guard remembers is of one test
        self.directory = tempfile.mkdtemp(prefix="sonde-life-")
        os.chmod(self.directory, 0o777)
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def state(self, host, known=()):
        return host.status(known)["state"]

    def remove_sockets(self):
        for name in os.listdir(self.directory):
            os.unlink(os.path.join(self.directory, name))

    def remove_sockets_in(self, directory):
        for name in os.listdir(directory):
            if name.endswith(".sock"):
                os.unlink(os.path.join(directory, name))

    def test_crash_guard_counts_main_processes_of_containers(self):
        # Each is pid 1 of its own name space, as a container's main process is each time it is started again.
        for _ in range(5):
            host = Host(self.directory, prefix=IN_A_PID_NAMESPACE)
            self.assertNotIn("crash guard", self.state(host))
            host.kill()
            self.remove_sockets()
        host = Host(self.directory, prefix=IN_A_PID_NAMESPACE)
        self.assertIn("off: crash guard", self.state(host))
        host.kill()

    def test_region_files_of_the_dead_are_pruned_and_nothing_else(self):
        directory = os.path.join(self.directory, "regions")
        os.mkdir(directory, 0o700)
        now = time.time()

        def put(name, age_s, content=b"not a region"):
            path = os.path.join(directory, name)
            with open(path, "wb") as file:
                file.write(content)
            os.utime(path, (now - age_s, now - age_s))
            return path

        kept = ["sonde-a-1-1.region", "sonde-b-2-2.region"]  # the newest of those that have ended
        put(kept[0], 3600)
        put(kept[1], 7200)
        gone = ["sonde-c-3-3.region", "sonde-d-4-4.region", ".sonde-e-5-5.region.tmp"]
        put(gone[0], 10800)  # the third
        put(gone[1], 172800)  # too old
        put(gone[2], 120)  # never finished
        other = ["sonde-f-6-6.region", "notes.region", "sonde-g-7-7.txt", ".sonde-h-8-8.region.tmp", "sonde-i-9-9.region",
                 "sonde-j-1-1.region"]
        put(other[0], 0)  # it may live: it has just been written to
        put(other[1], 172800)
        put(other[2], 172800)
        put(other[3], 0)
        os.chown(put(other[4], 172800), 12345, 12345)
        os.symlink(put("target", 172800), os.path.join(directory, other[5]))
        host = Host(self.directory, SONDE_DIR=directory, SONDE_DIR_KEEP="2", SONDE_DIR_KEEP_FOR="24h")
        host.socket()
        deadline = time.monotonic() + 20
        while any(name in os.listdir(directory) for name in gone) and time.monotonic() < deadline:
            time.sleep(0.2)
        names = set(os.listdir(directory))
        own = [name for name in names if f"-{host.process.pid}-" in name]
        self.assertEqual(len(own), 1, names)
        self.assertEqual(names, {*kept, *other, "target", *own})
        # One of an earlier start of the machine is dead, whatever its heart beat says; the version is ours.
        with open(os.path.join(directory, own[0]), "rb") as file:
            region = file.read()
        host.kill()
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            boot_id = file.read().strip()
        self.assertEqual(region.count(boot_id), 1)
        put("sonde-k-1-1.region", 0, region.replace(boot_id, b"0" * len(boot_id)))
        self.remove_sockets_in(self.directory)
        host = Host(self.directory, SONDE_DIR=directory, SONDE_DIR_KEEP="0")
        host.socket()
        deadline = time.monotonic() + 20
        while "sonde-k-1-1.region" in os.listdir(directory) and time.monotonic() < deadline:
            time.sleep(0.2)
        names = set(os.listdir(directory))
        self.assertNotIn("sonde-k-1-1.region", names)
        self.assertIn(own[0], names)  # it beat less than half a minute ago
        self.assertEqual(host.end()[0], 0)

    def test_a_living_socket_of_another_pid_name_space_is_left_alone(self):
        first = Host(self.directory, prefix=IN_A_PID_NAMESPACE)
        living = os.path.basename(first.socket())
        dead = os.path.join(self.directory, f"{socket.gethostname()}-4194000-1.sock")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(dead)
            sock.listen()
        second = Host(self.directory)
        second.status(known=(living, os.path.basename(dead)))
        self.assertIn(b"state", ask(os.path.join(self.directory, living), "/debug/sonde/status"))
        self.assertFalse(os.path.exists(dead), "a socket that nobody listens behind is cleared away")
        first.kill()
        second.kill()

    def test_under_an_old_profile_the_agent_serves_and_uses_no_number_of_the_host(self):
        host = Host(self.directory, role="obey_under_old_profile")
        path = host.socket()
        pid = host.process.pid
        self.assertEqual(host.obey("burn", 300), "done")
        self.assertEqual(sorted(os.listdir(f"/proc/{pid}/fd")), ["0", "1", "2"])
        self.assertEqual(host.obey("close_all"), "done")
        before = {number: os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
        self.assertEqual(host.obey("burn", 300), "done")
        self.assertIn(b"state", ask(path, "/debug/sonde/status"))
        host.order("burn", 1500)
        self.assertIn(b"Burn", ask(path, "/debug/pprof/profile?seconds=1"))
        self.assertEqual(host.answer(), "done")
        after = {number: os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
        self.assertEqual(before, after)
        self.assertEqual(host.obey("setuid", 65534), "done")
        time.sleep(0.3)
        self.assertEqual(self.users_of_tasks(pid), {"65534"})
        self.assertIn(b"state", ask(self.socket_now(), "/debug/sonde/status"))
        self.assertEqual(host.end(), (0, ""))

    def socket_now(self):
        return next(os.path.join(self.directory, name) for name in os.listdir(self.directory) if name.endswith(".sock"))

    def users_of_tasks(self, pid):
        users = set()
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/status") as status:
                users.update(next(line for line in status if line.startswith("Uid")).split()[1:])
        return users

    def test_an_agent_that_cannot_start_says_so_in_one_line(self):
        for log, lines in (("line", 1), ("quiet", 0)):
            host = Host(self.directory, prefix=["prlimit", "--as=40000000"], SONDE_LOG=log)
            self.assertEqual(host.obey("burn", 10), "done")
            status, stderr = host.end()
            self.assertEqual((status, len(stderr.splitlines())), (0, lines), stderr)
            self.assertTrue(not lines or stderr.startswith("sonde: off: RLIMIT_AS"), stderr)


def main():
    global ARGUMENTS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", required=True, type=os.path.abspath)
    parser.add_argument("--hosts", required=True, type=os.path.abspath, help="the directory of the host programs")
    ARGUMENTS, rest = parser.parse_known_args()
    if os.geteuid() != 0:
        print("skipped: needs root for name spaces")
        return 77
    isolate_network()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    sys.exit(main())
