# SPDX-License-Identifier: Apache-2.0
"""What the tests of k8s/ share: where things are, and how a kustomization is rendered."""
import glob
import os
import pathlib
import shutil
import subprocess
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
FIXTURES = pathlib.Path(__file__).resolve().parent / "fixtures"
DASHBOARD = K8S / "grafana" / "native-services.json"
RULES = K8S / "alerts" / "prometheusrule.yaml"
SKIPPED = 77


def need(program):
    """The path of a program that the test cannot do without."""
    path = shutil.which(program)
    if path is None:
        raise RuntimeError(f"expected the program {program}; scripts/setup installs it")
    return path


def kubectls():
    """Every kubectl of this machine: the one in PATH and those of other versions beside it."""
    first = os.path.realpath(need("kubectl"))
    return [first] + sorted(glob.glob(os.path.join(os.path.dirname(first), "kubectl.1.[0-9]*")))


def render(directory, kubectl=None):
    """The objects that `kubectl kustomize` makes of a directory."""
    done = subprocess.run([kubectl or need("kubectl"), "kustomize", str(directory)], text=True,
                          capture_output=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"kustomize {directory}: {done.stderr}")
    return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


def one(objects, kind, name):
    """The only object of a kind and name."""
    found = [o for o in objects if o["kind"] == kind and o["metadata"]["name"] == name]
    if len(found) != 1:
        raise RuntimeError(f"expected one {kind} {name}, found {len(found)}")
    return found[0]


def environment(container):
    return {entry["name"]: entry.get("value") for entry in container.get("env", [])}


def wait_until(condition, what, timeout_s=20):
    """Polls until the condition gives something; its last error is shown when it never does."""
    deadline, error = time.monotonic() + timeout_s, None
    while time.monotonic() < deadline:
        try:
            value = condition()
            if value:
                return value
        except OSError as caught:
            error = caught
        time.sleep(0.1)
    raise RuntimeError(f"expected within {timeout_s} s: {what}; last error: {error}")
