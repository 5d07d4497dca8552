# SPDX-License-Identifier: Apache-2.0
"""Simulated samplers: a right one passes, and each wrong one is found."""
import math
import random
import sys
import os
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from bounds import Check, SUMS, inexact, misjudged, outside  # noqa: E402

INTERVAL, SIZE, BLOCKS, SITES = 4096, 100, 12000, 120


def simulate(rng, weight_factor=1.0, probability_factor=1.0, lose=0.0):
    """Sites of equal blocks; what may be wrong with the sampler is given."""
    p = 1 - math.exp(-(SIZE + 1) / INTERVAL)
    checks = []
    for site in range(SITES):
        taken = sum(rng.random() < p * probability_factor for _ in range(BLOCKS))
        taken -= sum(rng.random() < lose for _ in range(taken))
        for name in SUMS:
            value = SIZE if "bytes" in name else 1
            variance = BLOCKS * value * value * (1 - p) / p
            checks.append(Check(f"site {site}", name, BLOCKS * value, variance, value * (1 - p) / p,
                                taken * value / p * weight_factor))
    return checks


class BoundsTest(unittest.TestCase):
    def setUp(self):
        self.rng = random.Random(7)

    def test_a_right_sampler_passes(self):
        checks = simulate(self.rng)
        self.assertEqual(list(outside(checks)) + list(misjudged(checks)), [])

    def test_weights_that_are_five_percent_off_are_found(self):
        for factor in (0.95, 1.05):
            self.assertTrue(any("biased" in line for line in misjudged(simulate(self.rng, weight_factor=factor))))

    def test_samples_that_are_lost_are_found(self):
        self.assertTrue(any("biased" in line for line in misjudged(simulate(self.rng, lose=0.05))))

    def test_a_site_that_is_lost_or_counted_twice_is_found(self):
        for estimate in (0, 2 * BLOCKS * SIZE):
            checks = simulate(self.rng)
            checks[0].estimate = estimate
            self.assertEqual(len(list(outside(checks))), 1)

    def test_intervals_that_are_too_narrow_or_too_wide_are_found(self):
        for factor in (0.2, 5):
            checks = simulate(self.rng)
            for check in checks:
                check.variance *= factor
            self.assertTrue(any("within" in line for line in misjudged(checks)))

    def test_one_block_too_many_is_inexact(self):
        checks = simulate(self.rng)
        for check in checks:
            check.estimate = check.truth
        self.assertEqual(list(inexact(checks)), [])
        checks[5].estimate += 1
        self.assertEqual(len(list(inexact(checks))), 1)

    def test_no_samples_at_all_is_said(self):
        self.assertEqual(len(list(misjudged([]))), 4)


if __name__ == "__main__":
    unittest.main()
