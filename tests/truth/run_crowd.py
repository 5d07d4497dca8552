# SPDX-License-Identifier: Apache-2.0
"""crowd_host under the agent: five times as many sampled blocks alive as there is room for, within a blink.

Blocks make room for each other, none is lost, and the sums by call site are still the truth. The variance of a sum of
bytes is at most interval × sum; the interval differs from block to block, and is taken to be at most SPREAD times what a
sample stands for on average. False alarms: six sums at DEVIATIONS, below 1e-7 a run. What is freed is gone.
"""
import argparse
import math
import re
import sys
import tempfile
import time

sys.dont_write_bytecode = True

from run_truth import Failed, Session, sums_by_site  # noqa: E402

INTERVAL = 256  # bytes
DEVIATIONS = 6
SPREAD = 3
LIVE_BYTES = 0  # of sums_by_site


def step(session):
    """{site: bytes alive}, by the host's books."""
    return {int(site): int(size) for site, size in (line.split()[1:] for line in session.books())}


def gauge(session, name):
    return float(re.search(rf"^{name} (\S+)$", session.get("/metrics"), re.MULTILINE)[1])


def wait_until_thinned(session):
    """The agent's thread thins a full table at its next tick."""
    end = time.monotonic() + 20
    while gauge(session, "sonde_heap_live_samples") >= 0.7 * gauge(session, "sonde_heap_live_samples_max"):
        if time.monotonic() > end:
            raise Failed("the table of live blocks is still over 70 % full after 20 s, expected the agent to thin it")
        time.sleep(0.2)


def problems_of(session, when, host):
    books, profile = step(session), session.profile()
    samples = gauge(session, "sonde_heap_live_samples")
    interval = SPREAD * sum(books.values()) / samples
    print(f"{when}: {samples:,.0f} samples, each for {interval / SPREAD:,.0f} bytes on average")
    if interval <= SPREAD * INTERVAL:
        yield f"{when}: one sample in {interval / SPREAD:.0f} bytes, so the table was never full and nothing is shown"
    if "[dropped" in profile:
        yield f"{when}: samples were lost: {re.findall(r'.dropped.*', profile)}"
    sums = sums_by_site(profile, host)
    for site, truth in sorted(books.items()):
        estimate = sums.get(site, [0] * 4)[LIVE_BYTES]
        bound = DEVIATIONS * math.sqrt(interval * truth) + (DEVIATIONS ** 2 * interval if truth else 0)
        print(f"{when}, site {site}: {estimate:,} bytes, in truth {truth:,}; at most {bound:,.0f} apart")
        if abs(estimate - truth) > bound:
            yield f"{when}, site {site}: {estimate:,} bytes, in truth {truth:,}: expected at most {bound:,.0f} apart"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", required=True)
    parser.add_argument("--host", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sonde-crowd-") as scratch, \
            Session(arguments.agent, arguments.host, (0, INTERVAL), scratch) as session:
        session.wait_for_agent()
        problems = list(problems_of(session, "at once", arguments.host))
        wait_until_thinned(session)
        problems += problems_of(session, "when one site stays", arguments.host)
        step(session)
        left = sums_by_site(session.profile(), arguments.host)
        ghosts = {site: sums[LIVE_BYTES] for site, sums in left.items() if sums[LIVE_BYTES]}
    if ghosts:
        problems.append(f"everything is freed, and the profile shows {ghosts}")
    print("\n".join(problems))
    return int(bool(problems))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        print(error)
        sys.exit(1)
