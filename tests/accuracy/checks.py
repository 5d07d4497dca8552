# SPDX-License-Identifier: Apache-2.0
"""What a profile must be, given the truth. Each check prints what it saw and raises Wrong."""


class Wrong(Exception):
    """A profile that is not as accurate as promised."""


def share_of(profile, truth, names, points):
    """The functions' shares of each other, within `points` of their true shares."""
    seen = {name: profile.ns_in(name) for name in names}
    seen_all, true_all = sum(seen.values()), sum(truth[name] for name in names)
    if seen_all == 0:
        raise Wrong(f"none of {', '.join(names)} is in the profile")
    for name in names:
        is_share, true_share = 100 * seen[name] / seen_all, 100 * truth[name] / true_all
        print(f"{name}: {is_share:.2f} % of the profile, {true_share:.2f} % in truth")
        if abs(is_share - true_share) > points:
            raise Wrong(f"{name}: {is_share:.2f} % where {true_share:.2f} % is true; at most {points} points may lie "
                        "between")


def total(profile, true_ns, low, high):
    """The profile's sum in relation to the CPU time that the kernel reports."""
    ratio = profile.ns / true_ns
    print(f"sum {profile.ns / 1e9:.3f} s of {true_ns / 1e9:.3f} s: {100 * ratio:.2f} %")
    if not low <= ratio <= high:
        raise Wrong(f"the profile's sum is {100 * ratio:.2f} % of the CPU time; expected {100 * low:.0f} to "
                    f"{100 * high:.0f} %")


def each_thread(profile, truth, slack_ns):
    """Every thread of the truth is in the profile, with its CPU time to within `slack_ns`."""
    worst = 0
    threads = {key[4:]: ns for key, ns in truth.items() if key.startswith("tid:")}
    for tid, true_ns in threads.items():
        seen_ns = profile.ns_of_label("tid", tid)
        if seen_ns == 0:
            raise Wrong(f"thread {tid} used {true_ns / 1e6:.1f} ms and is not in the profile")
        worst = max(worst, abs(seen_ns - true_ns))
        if abs(seen_ns - true_ns) > slack_ns:
            raise Wrong(f"thread {tid}: {seen_ns / 1e6:.1f} ms seen, {true_ns / 1e6:.1f} ms used; at most "
                        f"{slack_ns / 1e6:.1f} ms may lie between")
    print(f"{len(threads)} threads, the worst is off by {worst / 1e6:.2f} ms")


def each_name(profile, truth):
    """Every sample of a thread carries the name that the thread gave itself."""
    names = dict(key[5:].split(":", 1) for key in truth if key.startswith("name:"))
    if not names:
        raise Wrong("the host named no threads")
    for sample in profile.samples:
        expected = names.get(sample.labels.get("tid"))
        if expected is not None and sample.labels.get("thread") != expected:
            raise Wrong(f"a sample of thread {sample.labels['tid']} is named {sample.labels.get('thread')!r}, not "
                        f"{expected!r}")
    print(f"{len(names)} threads are named rightly")


def whole_periods(profile, period_ns):
    """Each sample's time is its count of periods, and some sample stands for several (the kernel's tick was slower)."""
    for sample in profile.samples:
        if sample.ns != sample.count * period_ns:
            raise Wrong(f"a sample of {sample.count} periods of {period_ns} ns stands for {sample.ns} ns")


def function_at_most(profile, name, percent):
    """The function has at most so much of the profile, as leaf or caller."""
    share = 100 * profile.ns_in(name) / profile.ns
    print(f"{name}: {share:.2f} % of the profile")
    if share > percent:
        raise Wrong(f"{name} has {share:.2f} % of the profile; expected at most {percent} %")


def about(name, seen_ns, true_ns, low, high):
    ratio = seen_ns / true_ns
    print(f"{name}: {100 * ratio:.1f} % of what was used")
    if not low <= ratio <= high:
        raise Wrong(f"{name}: {100 * ratio:.1f} % of what was used; expected {100 * low:.0f} to {100 * high:.0f} %")
