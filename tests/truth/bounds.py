# SPDX-License-Identifier: Apache-2.0
"""Estimates of a heap profile against exact books: what they may be off by, and how likely a false alarm is.

Every block is sampled independently of all others, so the error of a sum is a sum of independent terms of known
variance and bounded size. Three checks:

* Each sum of each site stays inside a bound that it leaves with a chance of at most ALARM / (number of sums), by
  Bernstein's inequality: no assumption on the distribution, so it holds for the site with three samples, too.
* The errors in units of their standard deviation, z, have mean 0: no bias. Over sites with enough samples.
* |z| < 0.674 for half of them, and < 1.96 for 95 %: intervals are neither too narrow nor too wide.

The last two are tests at 5 standard deviations, plus what is not quite normal about sums of few samples (SLACK).
False alarms of a whole run: below ALARM + 12 × 6e-7, about 1e-5.
"""
import dataclasses
import math

SUMS = ("live bytes", "live objects", "bytes", "objects")
ALARM = 1e-6
ENOUGH = 40  # how many of the largest steps the variance must be, for the error to be nearly normal
SHARES = {0.674: 0.5, 1.96: 0.95}  # of a normal distribution within so many standard deviations
SLACK = 0.02  # of the shares inside, and of a standard deviation of the mean
ROUNDED = 2  # sums are printed as whole numbers, for each stack


@dataclasses.dataclass
class Check:
    """One sum of one site."""
    where: str
    sum: str
    truth: float
    variance: float
    step: float  # the most that one block can move the estimate
    estimate: float

    @property
    def error(self):
        return self.estimate - self.truth

    @property
    def z(self):
        return self.error / math.sqrt(self.variance)

    @property
    def is_nearly_normal(self):
        """With equal blocks: at least ENOUGH samples are expected."""
        return self.variance >= ENOUGH * self.step ** 2 and self.variance > (2 * ROUNDED) ** 2

    def bound(self, alarm):
        log = math.log(2 / alarm)
        return self.step * log / 3 + math.sqrt((self.step * log / 3) ** 2 + 2 * self.variance * log)


def outside(checks):
    """One line for each sum that is outside its bound."""
    for check in checks:
        bound = check.bound(ALARM / len(checks)) + ROUNDED
        if abs(check.error) > bound:
            yield (f"{check.where}: {check.sum} {check.estimate:,.0f}, in truth {check.truth:,.0f}: off by "
                   f"{check.error:+,.0f}, expected at most {bound:,.0f}")


def inexact(checks):
    """Where every block is a sample, the estimates are the truth."""
    for check in checks:
        if check.estimate != check.truth:
            yield f"{check.where}: {check.sum} {check.estimate:,.0f}, in truth exactly {check.truth:,.0f}"


def normal_ones(checks, name):
    return [check for check in checks if check.sum == name and check.is_nearly_normal]


def misjudged(checks):
    """Bias, and intervals that are too narrow or too wide; for each of the four sums."""
    for name in SUMS:
        zs = [check.z for check in normal_ones(checks, name)]
        if not zs:
            yield f"{name}: no site has enough samples"
            continue
        mean = sum(zs) / len(zs)
        if abs(mean) > 5 / math.sqrt(len(zs)) + SLACK:
            yield f"{name}: biased by {mean:+.3f} standard deviations on average of {len(zs)} sites"
        for limit, share in SHARES.items():
            inside = sum(abs(z) < limit for z in zs) / len(zs)
            if abs(inside - share) > 5 * math.sqrt(share * (1 - share) / len(zs)) + SLACK:
                yield (f"{name}: {100 * inside:.1f} % of {len(zs)} sites within {limit} standard deviations, expected "
                       f"{100 * share:.0f} %")


def summary(checks):
    lines = []
    for name in SUMS:
        if zs := [check.z for check in normal_ones(checks, name)]:
            shares = [f"{100 * sum(abs(z) < limit for z in zs) / len(zs):.1f} % within {limit} sd" for limit in SHARES]
            lines.append(f"{name}: {len(zs)} sites, mean error {sum(zs) / len(zs):+.3f} sd, {', '.join(shares)}, "
                         f"worst {max(map(abs, zs)):.2f} sd")
    return lines
