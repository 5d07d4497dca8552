# SPDX-License-Identifier: Apache-2.0
"""What a heap profile costs when it is asked for, and the memory that sampling holds, beside the allocators' own."""
import http.client
import socket
import statistics
import subprocess
import time

from lab import PORT
from measure import BARE, Failed, Series, interleave
from report import Bar, Row
from rivals import BASE, heap_rivals, label

TITLE = "Heap: dump of a large heap"
NOTE = ("*1 M blocks*: 231 MiB live, made on 16,384 call stacks; *10,000 stacks*: the same with an interval of 16 KiB, so "
        "about 14,000 samples (region of 64 MiB, memory limit of 128). Elapsed ms of the first dump and the median of nine later ones. Sonde: "
        "`GET /debug/pprof/heap`, so with names and over HTTP; tcmalloc: `GetHeapSample` and jemalloc: `prof.dump` into "
        "a file, both in the process and without names. RSS before the dump and after all of them. heaptrack has no dump.")

BLOCKS = 1_000_000
DUMPS = 10


class Heap:
    """bench_heap_dump under a variant, its blocks made; `with` ends it."""

    def __init__(self, lab, settings, blocks):
        self.process = subprocess.Popen([lab.program("bench_heap_dump"), str(blocks), lab.path("jemalloc.heap")],
                                        env={"PATH": "/usr/bin:/bin", **settings}, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.read("objects")
        self.rss_kib = self.read("rss")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
        self.process.stderr.close()

    def read(self, key):
        found, _, number = self.process.stdout.readline().strip().partition(" ")
        if found != key:
            raise Failed(f"bench_heap_dump said '{found}', expected '{key}': {self.process.stderr.read()}")
        return float(number)

    def dump_ms(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        milliseconds = self.read("dump")
        self.rss_kib = self.read("rss")
        return milliseconds


def download_ms():
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    connection.request("GET", "/debug/pprof/heap")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200 or len(body) < 1000:
        raise Failed(f"the heap profile is an answer {answer.status} of {len(body)} bytes")
    return 1000 * (time.perf_counter() - start)


def wait_for_agent():
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", PORT)) == 0:
                return
        time.sleep(0.05)
    raise Failed("the agent does not answer")


def one_heap(lab, name, settings, blocks):
    """{what: number} of one process."""
    with Heap(lab, settings, blocks) as heap:
        result = {"rss": heap.rss_kib / 1024}
        times = []
        if name == "libsonde":
            wait_for_agent()
        for _ in range(DUMPS):
            inside = heap.dump_ms()
            times.append(download_ms() if name == "libsonde" else inside)
        result["rss after"] = heap.rss_kib / 1024
        if "libsonde" == name:
            heap.dump_ms()
            result["rss after"] = heap.rss_kib / 1024
        if min(times) >= 0:
            result |= {"first": times[0], "later": statistics.median(times[1:])}
        elif name in ("jemalloc, profiling", "tcmalloc, sampling"):
            raise Failed(f"{name} made no dump")
    return result


def rows_of(what, results, bars):
    rows = []
    for key, text, unit in (("first", "first dump", "ms"), ("later", "later dumps", "ms"), ("rss", "RSS", "MiB"),
                            ("rss after", "RSS after the dumps", "MiB")):
        for name, runs in results.items():
            if key not in runs[0] or (unit == "ms" and name == "tcmalloc"):  # it has a header to dump
                continue
            values = [run[key] for run in runs]
            bare = [run[key] for run in results[BASE.get(name, BARE)]] if unit == "MiB" else values
            bar = bars.get(key) if name.startswith("libsonde") else None
            rows.append(Row(f"{what}: {text}", label(name) if unit == "MiB" else name, unit, Series(values, bare), bar))
    return rows


def measure(lab):
    variants = heap_rivals(lab, "bench_heap_dump")
    blocks = BLOCKS // (10 if lab.quick else 1)
    results = interleave(list(variants), lab.rounds(5, 1), lambda name: one_heap(lab, name, variants[name], blocks))
    rows = rows_of("1 M blocks" if not lab.quick else "100,000 blocks", results, {"rss": Bar("added", 4.0)})
    fine = lab.sonde("bench_heap_dump", SONDE_HEAP_INTERVAL_BYTES="16KiB", SONDE_REGION_BYTES="64MiB",
                     SONDE_MEMORY_LIMIT_BYTES="128MiB")
    fine_results = {"libsonde": [one_heap(lab, "libsonde", fine, blocks) for _ in range(lab.rounds(5, 1))]}
    fine_results[BARE] = results[BARE]
    rows += [row for row in rows_of("10,000 stacks", fine_results, {"later": Bar("median", 20.0)})
             if row.variant == "libsonde" and row.unit == "ms"]
    return rows
