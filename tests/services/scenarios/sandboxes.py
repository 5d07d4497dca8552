# SPDX-License-Identifier: Apache-2.0
"""Sandboxing tools that must be single-threaded: unshare, bwrap, setpriv, nsenter, chroot, script, timeout."""
import os

TARGET, NEEDS = "unshare,bwrap,setpriv,nsenter,chroot,timeout,nohup,setsid,flock", ["unshare", "bwrap"]

COMMANDS = (
    ["unshare", "-Ur", "id", "-u"],
    ["unshare", "-Urpf", "--mount-proc", "sh", "-c", "echo $$"],
    ["unshare", "-n", "sh", "-c", "ls /sys/class/net | wc -l"],
    ["bwrap", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "sh", "-c", "id -u; echo $$"],
    ["bwrap", "--ro-bind", "/", "/", "--unshare-user", "--uid", "1234", "id", "-u"],
    ["setpriv", "--reuid", "65534", "--clear-groups", "id"],
    ["setpriv", "--no-new-privs", "grep", "NoNewPrivs", "/proc/self/status"],
    ["chroot", "/", "true"],
    ["timeout", "0.3", "sleep", "5"],
    ["timeout", "-s", "PROF", "0.3", "sleep", "5"],
    ["flock", "lock", "-c", "echo locked"],
    ["setsid", "-w", "sh", "-c", "exit 6"],
    ["sh", "-c", "echo $(echo nested $(echo deeper)) | cat | tr a-z A-Z; kill -PROF $$; echo not reached"],
    ["script", "-qec", "tty >/dev/null && echo on a terminal", "/dev/null"],
)


def run(lab):
    for command in COMMANDS:
        done = lab.run(command, preload=True, timeout=30)
        lab.note(f"{' '.join(command)[:60]}: {done.returncode} '{done.stdout}' '{done.stderr}'")
    lab.note(f"user {os.getuid()}")
