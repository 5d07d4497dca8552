# SPDX-License-Identifier: Apache-2.0
"""The black box: what a loaded redis-server did in its last seconds, read after SIGKILL and after an OOM kill."""
import glob
import json
import os
import shutil
import subprocess
import tempfile
import time

from lab import can_connect

TARGET, NEEDS, PORT = "redis-server", ["redis-server", "redis-benchmark"], 21310
SONDE = os.environ.get("SONDE", "")
LOAD = ["redis-benchmark", "-p", str(PORT), "-q", "-c", "10", "-t", "set,lrange_300", "-n", "100000000"]
INCONCLUSIVE = 4
CGROUPS = "/sys/fs/cgroup"

def last_minutes(lab, directory, label):
    """Empty when the file tells what it should; else what is wrong."""
    files = glob.glob(directory + "/sonde-*.region")
    if len(files) != 1:
        return f"{len(files)} region files"
    if os.stat(files[0]).st_mode & 0o777 != 0o600:
        return "the file is not private"
    done = subprocess.run([SONDE, "cpu", files[0], "--last", "5m", "--json"], capture_output=True, text=True, timeout=60)
    if done.returncode not in (0, INCONCLUSIVE):  # a machine that is short of CPU loses samples, and says so
        return f"sonde cpu: {done.stderr}"
    answer = json.loads(done.stdout)
    print(f"{label}: {answer['process']}, {answer['window_seconds']:.1f} s, {answer['samples']} samples, "
          f"{answer['source']}, lost {answer['lost']}", flush=True)
    frames = json.dumps(answer)
    checks = {"its process is named": "redis-server" in answer["process"],
              "it has ended": "has ended" in answer["source"],
              "seconds of it are there": answer["window_seconds"] >= 4,
              "it has samples": answer["samples"] >= 20,
              "stacks are named": "aeMain" in frames or "main" in frames,
              "the end is not older than 2 s":
                  time.time() - answer["time_unix_ms"] / 1000 - answer["window_seconds"] < lab.died_before() + 2}
    return ", ".join(f"not so: {what}" for what, so in checks.items() if not so)

def loaded_server(lab, directory, **options):
    server = lab.start(["redis-server", "--port", str(PORT), "--save", "", "--dir", lab.directory],
                       ready=lambda: can_connect(PORT), SONDE_DIR=directory, SONDE_LISTEN="127.0.0.1:21311", **options)
    load = subprocess.Popen(LOAD, env=lab.environment(False), cwd=lab.directory, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return server, load

def end(lab, server, load, kill):
    time.sleep(8)
    kill()
    status = server.wait(30)
    died = time.monotonic()
    lab.died_before = lambda: time.monotonic() - died
    load.kill()
    load.wait()
    return status

def make_cgroup():
    """A cgroup with a memory limit of its own, or why there is none. Version 2, or the memory controller of version 1."""
    root, limit = (CGROUPS, "memory.max") if os.path.exists(CGROUPS + "/cgroup.controllers") else \
        (CGROUPS + "/memory", "memory.limit_in_bytes")
    path = f"{root}/sonde-blackbox-{os.getpid()}"
    try:
        os.mkdir(path)
    except OSError as error:
        return None, str(error)
    try:
        with open(f"{path}/{limit}", "w", encoding="utf-8") as file:
            file.write(str(96 << 20))
        return path, ""
    except OSError as error:
        os.rmdir(path)
        return None, str(error)


def run(lab):
    directory = tempfile.mkdtemp(prefix="sonde-blackbox-", dir="/dev/shm")
    try:
        server, load = loaded_server(lab, directory)
        lab.note(f"killed: {end(lab, server, load, server.kill)}")
        if lab.agent:
            problem = last_minutes(lab, directory, "SIGKILL")
            lab.note(problem) if problem else None
    finally:
        shutil.rmtree(directory)
    group, why_not = make_cgroup()
    if group is None:
        print(f"no OOM kill: {why_not}")
        return
    try:
        directory = tempfile.mkdtemp(prefix="sonde-blackbox-", dir="/dev/shm")
        server, load = loaded_server(lab, directory)
        with open(group + "/cgroup.procs", "w", encoding="utf-8") as file:
            file.write(str(server.pid))

        def eat():  # values pile up until the kernel ends it
            subprocess.run(["redis-benchmark", "-p", str(PORT), "-q", "-c", "4", "-r", "100000000", "-d", "65536", "-n",
                            "20000", "-t", "set"], env=lab.environment(False), cwd=lab.directory, timeout=60,
                           stdin=subprocess.DEVNULL, capture_output=True)

        lab.note(f"out of memory: {end(lab, server, load, eat)}")
        if lab.agent:
            problem = last_minutes(lab, directory, "OOM kill")
            lab.note(problem) if problem else None
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.rmdir(group)
