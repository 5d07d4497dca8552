// SPDX-License-Identifier: Apache-2.0
#include "collectors/findings.h"

#include <gtest/gtest.h>

#include <string>

namespace sonde {
namespace {

Finding Make(const std::string& identity, uint64_t since_ns,
             Severity severity = Severity::kWarning) {
  Finding finding;
  finding.id = MakeFindingId(FindingKind::kHotThread, identity);
  finding.kind = FindingKind::kHotThread;
  finding.severity = severity;
  finding.since_ns = since_ns;
  finding.sentence = identity;
  return finding;
}

TEST(Findings, KeepTheirIdAndBeginningWhenTheirNumbersChange) {
  FindingStore store;
  store.Put(Make("a", 100));
  Finding later = Make("a", 200);
  later.sentence = "more of it";
  store.Put(later);
  ASSERT_EQ(store.Sorted().size(), 1u);
  EXPECT_EQ(store.Sorted()[0]->since_ns, 100u);
  EXPECT_EQ(store.Sorted()[0]->sentence, "more of it");
  EXPECT_EQ(MakeFindingId(FindingKind::kHotThread, "a").size(), 8u);
  EXPECT_NE(MakeFindingId(FindingKind::kHotThread, "a"),
            MakeFindingId(FindingKind::kDeadlock, "a"));
}

TEST(Findings, GoingOnComesBeforeEndedAndWorstFirst) {
  FindingStore store;
  store.Put(Make("ended", 300, Severity::kCritical));
  store.End(Make("ended", 0).id, 400);
  store.Put(Make("mild", 100, Severity::kInfo));
  store.Put(Make("older", 100));
  store.Put(Make("newer", 200));
  const auto sorted = store.Sorted();
  ASSERT_EQ(sorted.size(), 4u);
  EXPECT_EQ(sorted[0]->sentence, "newer");
  EXPECT_EQ(sorted[1]->sentence, "older");
  EXPECT_EQ(sorted[2]->sentence, "mild");
  EXPECT_EQ(sorted[3]->sentence, "ended");
  EXPECT_EQ(store.CountOf(FindingKind::kHotThread), 3u);
}

TEST(Findings, StayForAWhileAfterTheirEnd) {
  FindingStore store;
  store.Put(Make("a", 100));
  store.End(Make("a", 0).id, 1000);
  store.Expire(1000 + FindingStore::kKeepEndedNs);
  EXPECT_EQ(store.Sorted().size(), 1u);
  store.Expire(1001 + FindingStore::kKeepEndedNs);
  EXPECT_TRUE(store.Sorted().empty());
}

TEST(Findings, AreBoundedAndLoseWhatEndedFirst) {
  FindingStore store;
  for (size_t i = 0; i < FindingStore::kMaxFindings; ++i) store.Put(Make(std::to_string(i), i + 1));
  store.Put(Make("one too many", 7));
  EXPECT_EQ(store.Find(Make("one too many", 0).id), nullptr);
  EXPECT_EQ(store.dropped(), 1u);
  store.End(Make("5", 0).id, 50);
  store.End(Make("9", 0).id, 40);
  store.Put(Make("one too many", 7));
  EXPECT_NE(store.Find(Make("one too many", 0).id), nullptr);
  EXPECT_EQ(store.Find(Make("9", 0).id), nullptr);
  EXPECT_NE(store.Find(Make("5", 0).id), nullptr);
  EXPECT_EQ(store.Sorted().size(), FindingStore::kMaxFindings);
}

}  // namespace
}  // namespace sonde
