// SPDX-License-Identifier: Apache-2.0
#include "profile/decode.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <random>

#include "profile/encode.h"
#include "profile/gzip.h"
#include "profile/proto_fields.h"
#include "profile/report.h"
#include "profile/wire.h"
#include "tests/profile/sample_profile.h"
#include "tests/profile/test_util.h"

namespace sonde::pprof {
namespace {

std::string ErrorOf(const std::string& bytes, const DecodeLimits& limits = {}) {
  auto profile = Decode(bytes, limits);
  return profile ? "" : profile.error();
}

// Every index of a decoded profile must be in range; sums them so that nothing is optimised away.
uint64_t WalkEverything(const Profile& profile) {
  uint64_t sum = 0;
  for (const Sample& sample : profile.samples) {
    EXPECT_EQ(sample.values.size(), profile.sample_types.size());
    for (const uint32_t location : sample.locations) sum += profile.locations.at(location).address;
    for (const Label& label : sample.labels) sum += profile.strings.at(label.key).size();
  }
  for (const Location& location : profile.locations) {
    if (location.mapping != kNone) sum += profile.mappings.at(location.mapping).start;
    for (const Line& line : location.lines) {
      if (line.function != kNone) sum += profile.functions.at(line.function).name;
    }
  }
  for (const Function& f : profile.functions) sum += profile.strings.at(f.name).size();
  for (const Mapping& m : profile.mappings) sum += profile.strings.at(m.file).size();
  if (!profile.sample_types.empty()) {
    EXPECT_TRUE(MakeReport(profile, {}).ok());
    EXPECT_TRUE(MakeCallTree(profile, {}).ok());
  }
  return sum;
}

TEST(Decode, GivesBackWhatWasEncoded) {
  const Profile profile = SampleProfile();
  for (const std::string& bytes : {Encode(profile), EncodeGz(profile)}) {
    const auto back = Decode(bytes);
    ASSERT_TRUE(back.ok()) << back.error();
    EXPECT_EQ(Encode(*back), Encode(profile));
  }
}

TEST(Decode, ReadsWhatGoWrites) {
  char directory[] = "/tmp/sonde_go_XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string to = directory;
  RunCommand("cd /tmp && GO111MODULE=off GOFLAGS= go run " SOURCE_DIR "/go_profiles.go " + to);
  for (const char* name : {"cpu", "heap", "goroutine"}) {
    const std::string path = to + "/" + name + ".pb.gz";
    const auto profile = Decode(ReadWholeFile(path));
    ASSERT_TRUE(profile.ok()) << profile.error();
    WalkEverything(*profile);
    EXPECT_FALSE(profile->samples.empty());
    // Written again by us, Go sees the same.
    const TempFile ours(EncodeGz(*profile));
    const std::string raw = "HOME=/tmp PPROF_TMPDIR=/tmp go tool pprof -raw ";
    EXPECT_EQ(RunCommand(raw + ours.path() + " 2>/dev/null"),
              RunCommand(raw + path + " 2>/dev/null"));
  }
  const auto cpu = Decode(ReadWholeFile(to + "/cpu.pb.gz"));
  const auto report = MakeReport(*cpu, {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->type, "cpu");
  int64_t burn = 0;
  for (const Row& row : report->rows) burn += row.name == "main.burn" ? row.cumulative : 0;
  EXPECT_GT(burn, report->total / 2);
  RunCommand("rm -r " + to);
}

TEST(Decode, SkipsFieldsItDoesNotKnow) {
  wire::Writer future;
  future.UintAlways(1000, 7);
  future.BytesAlways(1001, "something new");
  std::string bytes = Encode(SampleProfile()) + future.bytes();
  bytes += std::string(
               "\xc1\x3e"
               "12345678",
               10) +
           std::string(
               "\xc5\x3e"
               "1234",
               6);  // fixed 64, 32
  const auto profile = Decode(bytes);
  ASSERT_TRUE(profile.ok()) << profile.error();
  EXPECT_EQ(Encode(*profile), Encode(SampleProfile()));
}

TEST(Decode, AcceptsFieldsInAnyOrderAndNumbersUnpacked) {
  wire::Writer sample;
  sample.UintAlways(field::kLocationId, 5);
  sample.UintAlways(field::kValue, 42);
  wire::Writer location;
  location.Uint(field::kThisLocationId, 5);
  location.Uint(field::kAddress, 0x1234);
  wire::Writer type;
  type.Uint(field::kType, 1);
  wire::Writer out;
  out.BytesAlways(field::kSample, sample.bytes());
  out.BytesAlways(field::kLocation, location.bytes());
  out.BytesAlways(field::kStringTable, "");
  out.BytesAlways(field::kStringTable, "cpu");
  out.BytesAlways(field::kSampleType, type.bytes());
  const auto profile = Decode(out.bytes());
  ASSERT_TRUE(profile.ok()) << profile.error();
  ASSERT_EQ(profile->samples.size(), 1u);
  EXPECT_EQ(profile->samples[0].values[0], 42);
  EXPECT_EQ(profile->locations[profile->samples[0].locations[0]].address, 0x1234u);
}

TEST(Decode, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(ErrorOf(""), "profile: empty, expected profile.proto");
  EXPECT_EQ(ErrorOf("\x1f\x8b"), "profile: gzip data cut short at byte 2");
  EXPECT_EQ(ErrorOf("\x0b"), "profile: top level: bad wire type: expected 0, 1, 2 or 5 at byte 1");
  EXPECT_EQ(ErrorOf(std::string("\x00\x01", 2)),
            "profile: top level: bad field number: expected 1 to 536870911 at byte 1");
  EXPECT_EQ(ErrorOf("\x0a\x05x"),
            "profile: top level: field reaches past the end of its message at byte 2");
  EXPECT_EQ(ErrorOf("\x10\x01"), "profile: field 2 before byte 2: expected a message or text");
  EXPECT_EQ(ErrorOf(std::string("\x0a\x00", 2)),
            "profile: string table: expected \"\" as its first entry");
  EXPECT_EQ(ErrorOf("\x48\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
            "profile: top level: number too large: expected at most 64 bits at byte 11");
}

TEST(Decode, RefusesReferencesThatLeadNowhere) {
  Profile profile = SampleProfile();
  profile.samples[0].locations[0] = 77;
  EXPECT_NE(ErrorOf(Encode(profile)).find("names location 78, which is not in the profile"),
            std::string::npos);
  profile = SampleProfile();
  profile.locations[0].mapping = 50;
  EXPECT_NE(ErrorOf(Encode(profile)).find("names mapping 51"), std::string::npos);
  profile = SampleProfile();
  profile.locations[0].lines[0].function = 60;
  EXPECT_NE(ErrorOf(Encode(profile)).find("names function 61"), std::string::npos);
  profile = SampleProfile();
  profile.functions[0].name = 999;
  EXPECT_NE(ErrorOf(Encode(profile)).find("function: string number 999, the table has"),
            std::string::npos);
  profile = SampleProfile();
  profile.samples[1].values.pop_back();
  EXPECT_NE(ErrorOf(Encode(profile)).find("has 1 values, expected 2"), std::string::npos);
}

TEST(Decode, StopsAtItsLimits) {
  DecodeLimits limits;
  limits.max_bytes = 100;
  EXPECT_NE(ErrorOf(EncodeGz(SampleProfile()), limits).find("limit of 100 bytes"),
            std::string::npos);
  EXPECT_NE(ErrorOf(Encode(SampleProfile()), limits).find("the limit is 100"), std::string::npos);
  // 200,000 empty samples: 400 KB in the file, 30 MB in memory.
  std::string many;
  for (int i = 0; i < 200000; ++i) many += std::string("\x12\x00", 2);
  limits = {};
  limits.max_memory_bytes = 1 << 20;
  EXPECT_NE(ErrorOf(many, limits).find("more memory than the limit of 1048576"), std::string::npos);
}

TEST(Decode, SurvivesBeingCutAnywhere) {
  const std::string whole = Encode(SampleProfile());
  size_t good = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto profile = Decode(whole.substr(0, size));
    if (!profile) continue;
    WalkEverything(*profile);
    ++good;
  }
  EXPECT_GT(good, 0u);
}

TEST(Decode, SurvivesRandomDamage) {
  const std::string whole = Encode(SampleProfile());
  std::mt19937 random(4711);
  size_t good = 0;
  size_t bad = 0;
  for (int round = 0; round < 50000; ++round) {
    std::string bytes = whole;
    for (size_t i = 0, n = 1 + random() % 4; i < n; ++i) {
      const size_t at = random() % bytes.size();
      switch (random() % 3) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, 1 + random() % 3);
          break;
        default:
          bytes.insert(at, 1, static_cast<char>(random()));
      }
    }
    const auto profile = Decode(bytes);
    if (profile) {
      WalkEverything(*profile);
      ++good;
    } else {
      EXPECT_EQ(profile.error().find("profile: "), 0u);
      ++bad;
    }
  }
  EXPECT_GT(good, 1000u);
  EXPECT_GT(bad, 1000u);
}

}  // namespace
}  // namespace sonde::pprof
