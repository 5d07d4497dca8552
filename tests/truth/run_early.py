# SPDX-License-Identifier: Apache-2.0
"""early_host under the agent: what a service allocates while the agent still builds its unwind tables is in the profile.

Every block is a sample, so what is there is exact. Of all that is allocated from the first instruction of the agent's
thread until its socket is there, at least SHARE must be in the profile; every stack must be whole, also those that were
taken before there was a table; and of what was freed meanwhile nothing may be left. Where the program got its first CPU
so late that it could allocate next to nothing meanwhile, it is started again.
"""
import argparse
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

from run_truth import Failed, SAMPLE, Session, load_address, sums_by_site  # noqa: E402

SHARE = 0.6
EVERY_BLOCK = 1  # byte between samples
ENOUGH = 16 * 16384  # bytes
ATTEMPTS = 20
LIVE_BYTES, ALLOCATED_BYTES = 0, 2  # of sums_by_site
STAYS, GOES = 0, 1


def range_of(host, function):
    text = subprocess.run(["nm", "-SC", host], capture_output=True, text=True, check=True).stdout
    match = re.search(rf"^([0-9a-f]+) ([0-9a-f]+) \w {re.escape(function)}$", text, re.MULTILINE)
    if not match:
        raise Failed(f"{host} has no function {function}")
    return int(match[1], 16), int(match[1], 16) + int(match[2], 16)


def cut_stacks(profile, host):
    """Samples of sites whose stack does not go on to main, and how many samples of sites there are."""
    base, (low, high) = load_address(profile, host), range_of(host, "main")
    at = [range_of(host, f"void* (anonymous namespace)::At<{site}>()") for site in (STAYS, GOES)]
    stacks = [[int(frame, 16) - base - 1 for frame in match[5].split()]
              for match in map(SAMPLE.match, profile.splitlines()) if match]
    ours = [stack for stack in stacks if any(first <= frame < last for frame in stack for first, last in at)]
    return [stack for stack in ours if not any(low <= frame < high for frame in stack)], len(ours)


def problems_of(truth, profile, host):
    sums = sums_by_site(profile, host)
    for site, size in sorted(truth.items()):
        live, allocated = (sums.get(site, [0] * 4)[i] for i in (LIVE_BYTES, ALLOCATED_BYTES))
        print(f"site {site}: allocated {allocated:,} of {size:,} bytes, live {live:,}")
        if not SHARE * size <= allocated <= size:
            yield f"site {site}: {allocated:,} bytes allocated, expected from {SHARE * size:,.0f} to {size:,}"
        expected = allocated if site == STAYS else 0
        if live != expected:
            yield f"site {site}: {live:,} bytes live, expected {expected:,}"
    cut, count = cut_stacks(profile, host)
    if cut or not count:
        yield f"{len(cut)} of {count} stacks do not go to main, as {cut[:1]}: expected all to"


def measure(agent, host, scratch):
    """{site: bytes allocated}, by the host's books, and the profile."""
    for _ in range(ATTEMPTS):
        with Session(agent, host, (0, EVERY_BLOCK), scratch) as session:
            truth = {int(site): int(size) for site, size in (line.split()[1:] for line in session.books())}
            if min(truth.values()) >= ENOUGH:
                return truth, session.profile()
    raise Failed(f"the program allocated less than {ENOUGH:,} bytes a site while the agent started, {ATTEMPTS} times")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", required=True)
    parser.add_argument("--host", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sonde-early-") as scratch:
        truth, profile = measure(arguments.agent, arguments.host, scratch)
    problems = list(problems_of(truth, profile, arguments.host))
    print("\n".join(problems))
    return int(bool(problems))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        print(error)
        sys.exit(1)
