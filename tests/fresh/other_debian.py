#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The agent in the root file system of another Debian: a real redis-server of that release under redis-benchmark.

Its own loader, libc and programs; a CPU profile is fetched over the unix socket from outside and its stacks must
reach main. Usage: other_debian.py --agent SO SUITE. Exit 77: cannot run here (no root, no archive of the suite).
"""
import argparse
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "services"))
import profile_check  # noqa: E402

SECONDS_OF_CPU = 4
# In the root: the service as a container's main process would run, and a load that ends with it.
SERVICE = """
mkdir -p /tmp/s
redis-server --port 0 --unixsocket /tmp/redis.sock --save '' --daemonize no >/tmp/redis.log 2>&1 &
service=$!
until redis-cli -s /tmp/redis.sock ping >/dev/null 2>&1; do sleep 0.1; done
timeout 120 redis-benchmark -s /tmp/redis.sock -q -l -c 10 -P 8 -t set,get,lrange_100 >/dev/null 2>&1 &
while [ ! -e /tmp/stop ]; do sleep 0.2; done
redis-cli -s /tmp/redis.sock shutdown nosave
wait "$service"
"""


def shell(script, *arguments, **options):
    return subprocess.run(["bash", "-euc", f'source "{HERE}/debian_root.sh"\n{script}', "bash", *arguments], **options)


def make_root(suite, root):
    done = shell('fresh_root "$1" "$2"', suite, root)
    if done.returncode:
        sys.exit(done.returncode)
    install = "apt-get -qq update && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends"
    done = shell('in_root "$1" bash -c "$2"', root, f"{install} redis-server redis-tools", stdout=subprocess.PIPE,
                 stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print(f"skipped: no redis-server of {suite} to be had: {done.stdout[-400:]}")
        sys.exit(77)


def start(root, agent):
    shutil.copy(agent, os.path.join(root, "opt", "libsonde.so"))
    setting = ["LD_PRELOAD=/opt/libsonde.so", "SONDE_TARGET=redis-server", "SONDE_RUN_DIR=/tmp/s"]
    return subprocess.Popen(["bash", "-euc", f'source "{HERE}/debian_root.sh"\nin_root "$@"', "bash", root, "env", *setting,
                             "bash", "-c", SERVICE])


def socket_of(root, service):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and service.poll() is None:
        found = glob.glob(f"{root}/tmp/s/*.sock")
        if found:
            return found[0]
        time.sleep(0.1)
    raise SystemExit("the agent has opened no socket within 60 s")


def fetch(path, url, output):
    subprocess.run(["curl", "-sS", "--fail", "--max-time", "60", "--unix-socket", path, "-o", output,
                    f"http://localhost{url}"], check=True)


def check(path, work):
    output = os.path.join(work, "cpu.pb.gz")
    time.sleep(2)
    fetch(path, f"/debug/pprof/profile?seconds={SECONDS_OF_CPU}", output)
    result = profile_check.measure(output)
    print(result)
    if result.samples < 50 or not result.passes():
        raise SystemExit("too few samples, or stacks that do not reach main")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", required=True, type=os.path.abspath)
    parser.add_argument("suite")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sonde-") as work:
        root = os.path.join(work, "r")
        os.mkdir(root)
        make_root(arguments.suite, root)
        service = start(root, arguments.agent)
        try:
            check(socket_of(root, service), work)
        finally:
            open(os.path.join(root, "tmp", "stop"), "w").close()
            status = service.wait(timeout=60)
        libc = glob.glob(f"{root}/lib/x86_64-linux-gnu/libc.so.6")
        print(f"{arguments.suite}: service ended with status {status}, libc {os.path.realpath(libc[0]) if libc else '?'}")
        return status


if __name__ == "__main__":
    sys.exit(main())
