# SPDX-License-Identifier: Apache-2.0
"""Each check of the accuracy tests accepts what is right and refuses what is just wrong enough."""
import unittest

import checks
from raw_profile import Profile, Sample, parse_raw

MS = 1_000_000
RAW = """Comment: made by hand
PeriodType: cpu nanoseconds
Period: 10000000
Samples:
samples/count cpu/nanoseconds[dflt]
          2   20000000: 1 2
                thread:[busy-1]
                pid:[10] tid:[11]
          1   10000000: 3
                thread:[two words]
                pid:[10] tid:[12]
Locations
     1: 0x401000 M=1 leaf :0 s=0
     2: 0x402000 M=1 std::map<int, long>::at() /src/a file.cc:12:3 s=9
             caller :0 s=0
     3: 0x0 [signal blocked] :0 s=0
Mappings
1: 0x400000/0x500000/0x0 /bin/x  [FN]
"""


def profile_of(**ns):
    return Profile([Sample(value // MS, value, [name, "main"], {"tid": name}) for name, value in ns.items()])


class Checks(unittest.TestCase):
    def test_raw_output_is_read(self):
        profile = parse_raw(RAW)
        self.assertEqual((profile.count, profile.ns), (3, 30 * MS))
        self.assertEqual(profile.ns_in("caller"), 20 * MS)
        self.assertEqual(profile.ns_in("[signal blocked]"), 10 * MS)
        self.assertEqual(profile.ns_of_label("tid", "12"), 10 * MS)
        self.assertEqual(profile.samples[1].labels["thread"], "two words")

    def test_text_that_is_no_profile_is_refused(self):
        with self.assertRaises(ValueError):
            parse_raw("Main binary filename not available.")

    def test_shares(self):
        truth = {"a": 60, "b": 40}
        checks.share_of(profile_of(a=619 * MS, b=381 * MS), truth, ("a", "b"), 2)
        for wrong in ({"a": 621, "b": 379}, {"a": 579, "b": 421}, {"a": 1000}):
            with self.assertRaises(checks.Wrong):
                checks.share_of(profile_of(**{name: ms * MS for name, ms in wrong.items()}), truth, ("a", "b"), 2)

    def test_an_empty_profile_has_no_shares(self):
        with self.assertRaises(checks.Wrong):
            checks.share_of(profile_of(main=MS), {"a": 1}, ("a",), 2)

    def test_sum(self):
        checks.total(profile_of(a=981 * MS), 1000 * MS, .98, 1.02)
        for wrong in (979, 1021):
            with self.assertRaises(checks.Wrong):
                checks.total(profile_of(a=wrong * MS), 1000 * MS, .98, 1.02)

    def test_a_thread_that_is_missing_or_off_is_found(self):
        truth = {"tid:1": 100 * MS, "tid:2": 100 * MS, "process": 1}
        checks.each_thread(profile_of(**{"1": 90 * MS, "2": 110 * MS}), truth, 10 * MS)
        for wrong in ({"1": 100 * MS}, {"1": 100 * MS, "2": 111 * MS}, {"1": 89 * MS, "2": 100 * MS}):
            with self.assertRaises(checks.Wrong):
                checks.each_thread(profile_of(**wrong), truth, 10 * MS)

    def test_a_wrong_or_missing_name_is_found(self):
        profile = Profile([Sample(1, MS, ["a"], {"tid": "7", "thread": "right"})])
        checks.each_name(profile, {"name:7:right": 1, "tid:7": MS})
        for truth in ({"name:7:other": 1}, {"tid:7": MS}):
            with self.assertRaises(checks.Wrong):
                checks.each_name(profile, truth)

    def test_a_weight_that_is_not_whole_periods_is_found(self):
        checks.whole_periods(profile_of(a=5 * MS), MS)
        with self.assertRaises(checks.Wrong):
            checks.whole_periods(Profile([Sample(2, 3 * MS, ["a"], {})]), MS)

    def test_a_function_with_too_much_is_found(self):
        checks.function_at_most(profile_of(a=99 * MS, b=MS), "b", 1)
        with self.assertRaises(checks.Wrong):
            checks.function_at_most(profile_of(a=97 * MS, b=3 * MS), "b", 2)

    def test_about(self):
        checks.about("a", 95, 100, .95, 1.05)
        for wrong in (94, 106):
            with self.assertRaises(checks.Wrong):
                checks.about("a", wrong, 100, .95, 1.05)


if __name__ == "__main__":
    unittest.main(buffer=True)
