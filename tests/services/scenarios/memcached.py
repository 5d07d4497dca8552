# SPDX-License-Identifier: Apache-2.0
"""memcached: as a daemon that drops to nobody, with its worker threads under load."""
import os
import signal
import socket

from lab import can_connect, read_file

TARGET, NEEDS, PORT = "memcached", ["memcached"], 21211
LOAD = f"""
import socket, time
s = socket.create_connection(("127.0.0.1", {PORT})); f = s.makefile("rb"); end = time.time() + 6
while time.time() < end:
    s.sendall(b"".join(b"set k%d 0 0 100\\r\\n%s\\r\\nget k%d\\r\\n" % (i, b"x" * 100, i) for i in range(200)))
    for i in range(200):
        for _ in range(4): f.readline()
"""


def talk(*lines):
    with socket.create_connection(("127.0.0.1", PORT), timeout=5) as sock:
        sock.sendall("".join(line + "\r\n" for line in [*lines, "quit"]).encode())
        return sock.makefile().read().strip()


def run(lab):
    command = ["memcached", "-l", "127.0.0.1", "-p", str(PORT), "-t", "3", "-d", "-P", lab.path("pid")]
    if os.getuid() == 0:
        command += ["-u", "nobody"]
    lab.note(f"daemonised with {lab.start(command).wait(20)}")
    lab.note(f"listens {lab.wait_for(lambda: can_connect(PORT))}")
    lab.note(talk("set a 0 0 5", "hello", "get a", "delete a", "get a"))
    # One connection alone, so that its threads are counted at rest.
    lab.note([line for line in talk("stats").splitlines() if " threads " in line])
    lab.profile(load=["/usr/bin/python3", "-c", LOAD])
    pid = int(read_file(lab.path("pid")))
    lab.note(f"user {os.stat(f'/proc/{pid}').st_uid}")
    os.kill(pid, signal.SIGTERM)
    lab.note(f"ended with {os.waitpid(pid, 0)[1]}")
