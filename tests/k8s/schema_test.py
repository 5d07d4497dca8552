# SPDX-License-Identifier: Apache-2.0
"""Checks every manifest and the dashboard against published types: Kubernetes', the Prometheus operator's, Grafana's.

The types come from npm, pinned by schema/package-lock.json, once into $SONDE_CACHE/schemas-<hash>.
"""
import copy
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from common import DASHBOARD, FIXTURES, K8S, one, render

HERE = pathlib.Path(__file__).resolve().parent / "schema"
sys.path.insert(0, str(HERE.parents[1] / "shared"))
import npm_packages


def compile_literals(literals):
    """Compiles {name: (type, object)}; returns {name: errors} for those that the compiler refuses."""
    types = npm_packages.installed(HERE, "schemas")
    with tempfile.TemporaryDirectory(prefix="check.", dir=types) as scratch:
        work = pathlib.Path(scratch)
        shutil.copy(HERE / "checks.ts", work)
        for name, (kind, obj) in literals.items():
            (work / f"{name}.ts").write_text(f"import type {{ {kind} }} from './checks';\n"
                                             f"export const checked: {kind} = {json.dumps(obj, indent=1)};\n")
        done = subprocess.run([types / "node_modules/.bin/tsc", "--noEmit", "--strict", "--skipLibCheck", "--target",
                               "es2022", "--module", "esnext", "--moduleResolution", "bundler",
                               *(f"{name}.ts" for name in literals)], cwd=work, text=True, capture_output=True,
                              timeout=300, check=False)
    refused = {}
    for line in done.stdout.splitlines():
        if not line.startswith(" "):
            refused.setdefault(line.split(".ts(")[0], []).append(line)
    return refused


def misspelt(obj, path, old, new):
    """A copy in which the key `old` below `path` is called `new`."""
    changed = copy.deepcopy(obj)
    place = changed
    for step in path:
        place = place[step]
    place[new] = place.pop(old)
    return changed


def replaced(obj, path, value):
    changed = copy.deepcopy(obj)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


def good():
    literals = {"dashboard": ("SondeDashboard", json.loads(DASHBOARD.read_text()))}
    for directory in (K8S / "demo", K8S / "base", K8S / "alerts", K8S / "grafana", FIXTURES):
        for obj in render(directory):
            literals[f"{directory.name}-{obj['kind']}-{obj['metadata']['name']}"] = (obj["kind"], obj)
    return literals


def bad(literals):
    """Each with one mistake of a kind that the check is there to find."""
    dashboard = literals["dashboard"][1]
    series = next(i for i, panel in enumerate(dashboard["panels"]) if panel["type"] == "timeseries")
    redis = one(render(K8S / "demo"), "Deployment", "redis")
    pod = ("spec", "template", "spec")
    monitor = one(render(K8S / "base"), "PodMonitor", "sonde")
    return {
        "bad-dashboard-key": ("SondeDashboard", misspelt(dashboard, (), "templating", "template")),
        "bad-panel-key": ("SondeDashboard", misspelt(dashboard, ("panels", series), "gridPos", "gridpos")),
        "bad-panel-option": ("SondeDashboard", misspelt(dashboard, ("panels", series, "options"), "legend", "legends")),
        "bad-panel-enum": ("SondeDashboard",
                           replaced(dashboard, ("panels", series, "options", "tooltip", "mode"), "several")),
        "bad-custom-key": ("SondeDashboard",
                           misspelt(dashboard, ("panels", series, "fieldConfig", "defaults", "custom"), "drawStyle",
                                    "drawstyle")),
        "bad-target-key": ("SondeDashboard", misspelt(dashboard, ("panels", series, "targets", 0), "expr", "query")),
        "bad-datasource": ("SondeDashboard",
                           replaced(dashboard, ("panels", series, "datasource", "uid"), "prometheus-1")),
        "bad-variable-key": ("SondeDashboard", misspelt(dashboard, ("templating", "list", 1), "refresh", "reload")),
        "bad-pod-key": ("Deployment", misspelt(redis, pod, "initContainers", "initcontainers")),
        "bad-mount-type": ("Deployment", replaced(redis, (*pod, "containers", 0, "volumeMounts", 0, "readOnly"), "true")),
        "bad-security-key": ("Deployment",
                             misspelt(redis, (*pod, "initContainers", 0, "securityContext"), "runAsNonRoot", "nonRoot")),
        "bad-monitor-key": ("PodMonitor", misspelt(monitor, ("spec",), "podMetricsEndpoints", "endpoints")),
    }


class SchemaTest(unittest.TestCase):
    maxDiff = None

    def test_everything_fits_its_published_type_and_each_mistake_is_found(self):
        literals = good()
        mistakes = bad(literals)
        refused = compile_literals({**literals, **mistakes})
        errors = [line for name in refused if name not in mistakes for line in refused[name]]
        self.assertEqual([], errors)
        self.assertEqual(sorted(mistakes), sorted(refused))


if __name__ == "__main__":
    unittest.main()
