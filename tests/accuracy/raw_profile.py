# SPDX-License-Identifier: Apache-2.0
"""A CPU profile as Go's own decoder reads it: `go tool pprof -raw`."""
import dataclasses
import os
import re
import subprocess

SAMPLE = re.compile(r"^ *(\d+) +(\d+): ?([\d ]*)$")
LABEL = re.compile(r"(\w+):\[([^\]\n]*)\]")
LOCATION = re.compile(r"^ *(\d+): 0x[0-9a-f]+ (?:M=\d+ )?(.*)$")
INLINED = re.compile(r"^ {6,}(\S.*)$")
NAME = re.compile(r"^(.*) [^ ]*:\d+(?::\d+)? s=-?\d+$")


@dataclasses.dataclass
class Sample:
    count: int
    ns: int
    functions: list
    labels: dict


class Profile:
    def __init__(self, samples):
        self.samples = samples

    @property
    def ns(self):
        return sum(sample.ns for sample in self.samples)

    @property
    def count(self):
        return sum(sample.count for sample in self.samples)

    def ns_in(self, function):
        """Time of all samples that have the function on their stack."""
        return sum(sample.ns for sample in self.samples if function in sample.functions)

    def ns_of_label(self, key, value):
        return sum(sample.ns for sample in self.samples if sample.labels.get(key) == value)

    def plus(self, other):
        return Profile(self.samples + other.samples)


def function_name(text):
    """"spin_60 /path/file.cc:12:0 s=9" is spin_60; names may hold blanks."""
    match = NAME.match(text)
    return match.group(1) if match else text.strip()


def parse_raw(text):
    head, _, rest = text.partition("Samples:\n")
    body, found, tail = rest.partition("Locations\n")
    if not found or "cpu/nanoseconds" not in body:
        raise ValueError(f"not what go tool pprof -raw prints for a CPU profile: {text[:400]!r}")
    locations, last = {}, None
    for line in tail.partition("Mappings\n")[0].splitlines():
        if match := LOCATION.match(line):
            last = locations.setdefault(match.group(1), [function_name(match.group(2))])
        elif last is not None and (match := INLINED.match(line)):
            last.append(function_name(match.group(1)))
    samples = []
    for line in body.splitlines():
        if match := SAMPLE.match(line):
            names = [name for place in match.group(3).split() for name in locations[place]]
            samples.append(Sample(int(match.group(1)), int(match.group(2)), names, {}))
        elif samples:
            samples[-1].labels.update(LABEL.findall(line))
    return Profile(samples)


def decode(path, scratch):
    environment = {"PATH": "/usr/bin:/bin", "HOME": scratch, "PPROF_TMPDIR": scratch, "PPROF_BINARY_PATH": scratch}
    done = subprocess.run(["go", "tool", "pprof", "-symbolize=none", "-raw", path], capture_output=True, text=True,
                          env=environment, timeout=120, check=False)
    if done.returncode != 0:
        raise ValueError(f"go tool pprof refuses {os.path.basename(path)}: {done.stderr}")
    return parse_raw(done.stdout)
