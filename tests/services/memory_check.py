# SPDX-License-Identifier: Apache-2.0
"""Reads the page of memory that adds up: what it cannot explain must be small."""
import json
import urllib.request
from dataclasses import dataclass, field

MAX_UNEXPLAINED = 0.05


@dataclass
class MemoryCheck:
    page: dict = field(default_factory=dict)
    bound: float = MAX_UNEXPLAINED
    kind: str = "memory"

    def share(self):
        return self.page["parts"]["unexplained"] / self.page["rss_bytes"]

    def passes(self):
        return self.bound is None or abs(self.share()) <= self.bound

    def figure(self):
        return f"{100 * self.share():.1f} % of {self.page['rss_bytes'] >> 20} MiB"

    def __str__(self):
        parts = ", ".join(f"{name} {size / (1 << 20):.1f}" for name, size in self.page["parts"].items())
        return f"memory: RSS {self.page['rss_bytes'] / (1 << 20):.1f} MiB = {parts}; {self.page['verdict_text']}"


def check_memory(base, bound):
    with urllib.request.urlopen(f"{base}/debug/sonde/memory", timeout=30) as answer:
        return MemoryCheck(json.load(answer), bound)
