# SPDX-License-Identifier: Apache-2.0
"""db_bench: RocksDB's benchmark with its background threads, to its normal end."""
import re

TARGET, NEEDS = "db_bench", ["db_bench"]


def run(lab):
    process = lab.start(["db_bench", "--benchmarks=fillrandom,overwrite,readrandom,compact,readseq", "--num=120000",
                         "--threads=2", f"--db={lab.path('db')}", "--seed=1", "--compression_type=none"])
    lab.wait_for(lambda: "fillrandom" in lab.log("db_bench"), 30)
    lab.profile(seconds=3)
    lab.note(f"ended with {process.wait(120)}")
    lab.note(re.findall(r"^(\w+) +:", lab.log("db_bench"), re.M))
