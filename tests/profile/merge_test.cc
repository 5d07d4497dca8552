// SPDX-License-Identifier: Apache-2.0
#include "profile/merge.h"

#include <gtest/gtest.h>

#include "profile/encode.h"
#include "profile/report.h"
#include "tests/profile/sample_profile.h"
#include "tests/profile/test_util.h"

namespace sonde::pprof {
namespace {

std::string GoTop(const std::string& flags, const Profile& profile) {
  const TempFile file(EncodeGz(profile));
  return RunCommand("HOME=/tmp PPROF_TMPDIR=/tmp go tool pprof -top " + flags + " " + file.path() +
                    " 2>/dev/null");
}

TEST(Merge, OfOneProfileChangesNoNumber) {
  const Profile profile = SampleProfile();
  const Profile* const one[] = {&profile};
  const auto merged = Merge(one);
  ASSERT_TRUE(merged.ok()) << merged.error();
  EXPECT_EQ(GoTop("", *merged), GoTop("", profile));
  EXPECT_EQ(merged->samples.size(), profile.samples.size());
}

TEST(Merge, AddsUpTheSameProgramAtTwoLoadAddresses) {
  const Profile here = SampleProfile();
  const Profile there = SampleProfile(0x550000000000);
  const Profile* const both[] = {&here, &there};
  const auto merged = Merge(both);
  ASSERT_TRUE(merged.ok()) << merged.error();
  ASSERT_EQ(merged->samples.size(), here.samples.size());
  EXPECT_EQ(merged->samples[0].values, (std::vector<int64_t>{6, 60'000'000}));
  EXPECT_EQ(merged->mappings.size(), 2u);
  EXPECT_EQ(merged->locations.size(), here.locations.size());
  EXPECT_EQ(merged->duration_nanos, 2'000'000'000);
  EXPECT_EQ(merged->comments.size(), 1u);
}

TEST(Merge, KeepsAnotherBuildOfTheProgramApart) {
  const Profile one = SampleProfile();
  Profile two = SampleProfile();
  two.strings[two.mappings[0].build_id] = "cc33";
  const Profile* const both[] = {&one, &two};
  const auto merged = Merge(both);
  ASSERT_TRUE(merged.ok());
  EXPECT_EQ(merged->mappings.size(), 3u);
}

TEST(Merge, TakesTheEarliestTimeAndTheLargestPeriod) {
  Profile one = SampleProfile();
  Profile two = SampleProfile();
  two.time_nanos -= 5;
  two.period = 20'000'000;
  const Profile* const both[] = {&one, &two};
  const auto merged = Merge(both);
  EXPECT_EQ(merged->time_nanos, one.time_nanos - 5);
  EXPECT_EQ(merged->period, 20'000'000);
}

TEST(Merge, RefusesProfilesOfDifferentKinds) {
  const Profile one = SampleProfile();
  Profile two = SampleProfile();
  two.strings[two.sample_types[0].type] = "objects";
  const Profile* const both[] = {&one, &two};
  const auto merged = Merge(both);
  ASSERT_FALSE(merged.ok());
  EXPECT_NE(merged.error().find("[samples/count, cpu/nanoseconds]"), std::string::npos);
  EXPECT_NE(merged.error().find("[objects/count, cpu/nanoseconds]"), std::string::npos);
  EXPECT_FALSE(Merge({}).ok());
}

TEST(Diff, OfAProfileWithItselfIsEmpty) {
  const auto diff = Diff(SampleProfile(), SampleProfile(0x1230000));
  ASSERT_TRUE(diff.ok()) << diff.error();
  EXPECT_TRUE(diff->samples.empty());
}

TEST(Diff, IsPositiveWhereThereIsMoreNowAndNegativeWhereThereWasMore) {
  const Profile base = SampleProfile();
  Profile now = SampleProfile();
  now.samples[0].values = {5, 50'000'000};
  now.samples.erase(now.samples.begin() + 1);
  const auto diff = Diff(base, now);
  ASSERT_TRUE(diff.ok()) << diff.error();
  ASSERT_EQ(diff->samples.size(), 2u);
  EXPECT_EQ(diff->samples[0].values, (std::vector<int64_t>{2, 20'000'000}));
  EXPECT_EQ(diff->samples[1].values, (std::vector<int64_t>{-2, -20'000'000}));
  EXPECT_EQ(diff->duration_nanos, now.duration_nanos);
}

TEST(Diff, ShowsWhatGosBaseOptionShows) {
  const Profile base = SampleProfile();
  Profile now = SampleProfile(0x550000000000);
  now.samples[0].values = {9, 90'000'000};
  now.samples[2].values = {0, 0};
  const TempFile before(EncodeGz(base));
  const auto rows = [](const std::string& top) { return top.substr(top.find("flat%")); };
  EXPECT_EQ(rows(GoTop("", *Diff(base, now))), rows(GoTop("-base " + before.path(), now)));
}

TEST(WithoutLabel, AddsUpWhatOnlyTheLabelKeptApart) {
  Profile profile = SampleProfile();
  profile.samples[1].locations = profile.samples[0].locations;
  const auto without = WithoutLabel(profile, "thread");
  ASSERT_TRUE(without.ok());
  ASSERT_EQ(without->samples.size(), 3u);
  EXPECT_EQ(without->samples[0].values, (std::vector<int64_t>{5, 50'000'000}));
  EXPECT_EQ(without->samples[2].labels.size(), 1u);  // tid stays
  EXPECT_FALSE(WithoutLabel(profile, "").ok());
}

}  // namespace
}  // namespace sonde::pprof
