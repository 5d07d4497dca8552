// SPDX-License-Identifier: Apache-2.0
// Generated code in a recording has the name that it had when it ran.
#include "recording/renamed_code.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

#include "recording/cpu_window_maker.h"

namespace sonde {
namespace {

constexpr int kPid = 7, kChild = 8, kWithoutMap = 9;
constexpr uint64_t kCode = 0x7f0000000000;

using Counts = std::map<std::string, int64_t>;

FoldSample Sample(int pid, uint64_t events, std::vector<uint64_t> frames) {
  FoldSample sample;
  sample.frames = std::move(frames);
  sample.thread.pid = pid;
  sample.kind = Kind::kCpu;
  sample.events = sample.amount = events;
  return sample;
}

class RenamedCode : public testing::Test {
 protected:
  RenamedCode() {
    Mapping code;
    code.start = kCode;
    code.limit = kCode + 0x1000;
    code.path = "//anon";
    for (const int pid : {kPid, kChild, kWithoutMap}) {
      std::vector<Mapping> mappings = {code};
      SetOwner(pid, &mappings);
      history_.Update(pid, "service", std::move(mappings), 1);
    }
  }
  void Write(int pid, const char* start, const std::string& name) {
    maps_[pid] += std::string(start) + " 10 " + name + "\n";
  }
  void EndStep(uint64_t now) {
    for (const auto& [pid, text] : maps_) history_.PerfMapOf(pid)->Note(*OpenText(text), now);
  }
  void AddSample(uint64_t step, FoldSample sample) { steps_[step].push_back(std::move(sample)); }
  // As ReadPast does.
  Past Read(const std::vector<uint64_t>& cuts) const {
    Past past;
    size_t piece = SIZE_MAX;
    for (const auto& [start, samples] : steps_) {
      const auto at = static_cast<size_t>(std::ranges::upper_bound(cuts, start) - cuts.begin());
      if (at != piece) past.pieces.emplace_back().from_ns = start;
      piece = at;
      past.pieces.back().to_ns = start + 10;
      past.pieces.back().samples.insert(past.pieces.back().samples.end(), samples.begin(),
                                        samples.end());
    }
    return past;
  }
  Result<std::unique_ptr<ByteSource>> Open(int pid) const {
    const auto found = maps_.find(pid);
    if (found == maps_.end()) return Error{"none"};
    return OpenText(found->second);
  }
  std::vector<uint64_t> Cuts() const {
    return CutsOfRenamedCode(Read({}), history_, [this](int pid) { return Open(pid); });
  }
  // Samples by the name of their leaf, as the profile has it.
  Counts LeafNames() const {
    const CpuWindow window = WindowOf(Read(Cuts()), history_, 0, kPid);
    ProfileBuilder builder(CpuProfileOptions(window));
    std::vector<size_t> spaces;
    for (const auto& space : window.spaces) spaces.push_back(builder.AddMappings(space));
    for (const CpuSample& sample : window.samples) {
      EXPECT_TRUE(AddCpuSample(sample, "", spaces.at(static_cast<size_t>(sample.space)), &builder));
    }
    SymbolizerOptions options;
    options.open_perf_map = [this](int pid) { return Open(pid); };
    Symbolizer symbolizer(std::move(options));
    const pprof::Profile profile = builder.Build(&symbolizer);
    Counts counts;
    for (const pprof::Sample& sample : profile.samples) {
      const auto& lines = profile.locations.at(sample.locations.at(0)).lines;
      const std::string name =
          lines.empty() ? "" : profile.strings.at(profile.functions.at(lines[0].function).name);
      counts[name] += sample.values[0];
    }
    return counts;
  }

  AddressHistory history_;
  std::map<int, std::string> maps_;
  std::map<uint64_t, std::vector<FoldSample>> steps_;  // by start
};

TEST_F(RenamedCode, HasTheNameThatItHadInItsStep) {
  Write(kPid, "7f0000000000", "first");
  EndStep(10);
  AddSample(10, Sample(kPid, 3, {kCode + 4}));
  EndStep(20);
  AddSample(20, Sample(kPid, 2, {kCode + 4}));  // of the one or of the other
  Write(kPid, "7f0000000000", "second");
  EndStep(30);
  AddSample(30, Sample(kPid, 5, {kCode + 4}));
  AddSample(30, Sample(kPid, 4, {kCode + 8}));
  EndStep(40);
  EXPECT_EQ(Cuts(), (std::vector<uint64_t>{20, 30}));
  EXPECT_EQ(LeafNames(), (Counts{{"first", 3}, {"", 2}, {"second", 9}}));
}

TEST_F(RenamedCode, IsCutOnlyForWhatWasSampled) {
  Write(kPid, "7f0000000000", "first");
  EndStep(10);
  for (uint64_t start = 10; start < 900; start += 10) {
    AddSample(start, Sample(kPid, 1, {kCode + 4}));
    Write(kPid, "7f0000000800", "another" + std::to_string(start));
    Write(kPid, "7f0000000000", "first");  // again
    EndStep(start + 10);
  }
  EXPECT_EQ(Cuts(), std::vector<uint64_t>());
  EXPECT_EQ(LeafNames(), (Counts{{"first", 89}}));
}

TEST_F(RenamedCode, ThatIsCompiledLaterHasItsNameInTheWholeWindow) {
  EndStep(10);
  AddSample(10, Sample(kPid, 1, {kCode + 4}));
  Write(kPid, "7f0000000000", "late");  // the map, too
  EndStep(20);
  Write(kPid, "7f0000000100", "later");
  AddSample(20, Sample(kPid, 2, {kCode + 0x104}));
  EndStep(30);
  EXPECT_EQ(Cuts(), std::vector<uint64_t>());
  EXPECT_EQ(LeafNames(), (Counts{{"late", 1}, {"later", 2}}));
}

TEST_F(RenamedCode, OfAChildHasTheNameInItsOwnMap) {
  Write(kPid, "7f0000000000", "parent's");
  Write(kChild, "7f0000000000", "child's");
  EndStep(10);
  for (const int pid : {kPid, kChild, kWithoutMap}) AddSample(10, Sample(pid, 1, {kCode + 4}));
  EndStep(20);
  Write(kChild, "7f0000000000", "child's other");
  EndStep(30);
  for (const int pid : {kPid, kChild, kWithoutMap}) AddSample(30, Sample(pid, 1, {kCode + 4}));
  EndStep(40);
  EXPECT_EQ(Cuts(), (std::vector<uint64_t>{20, 30}));
  EXPECT_EQ(LeafNames(), (Counts{{"parent's", 2}, {"child's", 1}, {"child's other", 1}, {"", 2}}));
}

TEST_F(RenamedCode, IsFoundByReturnAddresses) {
  Write(kPid, "7f0000000000", "first");
  EndStep(10);
  AddSample(10, Sample(kPid, 1, {0x10, kCode + 0x10}));  // the last of its instructions calls
  EndStep(20);
  Write(kPid, "7f0000000010", "behind");
  EndStep(30);
  EXPECT_EQ(Cuts(), std::vector<uint64_t>());
  Write(kPid, "7f0000000000", "second");
  EndStep(40);
  EXPECT_EQ(Cuts(), (std::vector<uint64_t>{30, 40}));
}

// As java's agents do it. Nothing is left of what it said before.
TEST_F(RenamedCode, HasTheNamesOfAMapThatWasWrittenAnewAndSaysSo) {
  Write(kPid, "7f0000000000", "first");
  EndStep(10);
  AddSample(10, Sample(kPid, 3, {kCode + 4}));
  EndStep(20);
  EXPECT_TRUE(WindowOf(Read({}), history_, 0, kPid).new_names.empty());
  maps_[kPid].clear();
  Write(kPid, "7f0000000000", "second, longer");
  AddSample(20, Sample(kPid, 2, {kCode + 4}));
  EndStep(30);
  EXPECT_EQ(Cuts(), std::vector<uint64_t>());
  EXPECT_EQ(LeafNames(), (Counts{{"second, longer", 5}}));
  CpuWindow window = WindowOf(Read({}), history_, 0, kPid);
  ASSERT_EQ(window.new_names.size(), 1u);
  window.covered_ns = window.to_unix_ns;
  EXPECT_EQ(WindowNotes(window, 0, window.to_unix_ns).back(),
            "the perf map of process 7 was written anew at 00:00:00 UTC: JIT code that ran before "
            "has the names of then");
  steps_.erase(10);
  steps_[30] = {Sample(kPid, 1, {kCode + 4})};
  steps_.erase(20);
  EXPECT_TRUE(WindowOf(Read({}), history_, 0, kPid).new_names.empty());
}

// As in a region file on another machine.
TEST_F(RenamedCode, HasNoNameWithoutItsMap) {
  Write(kPid, "7f0000000000", "first");
  EndStep(10);
  AddSample(10, Sample(kPid, 3, {kCode + 4}));
  maps_.clear();
  EXPECT_EQ(Cuts(), std::vector<uint64_t>());
  EXPECT_EQ(LeafNames(), (Counts{{"", 3}}));
  history_ = AddressHistory::Read(history_.Write());
  EXPECT_TRUE(history_.PerfMapOf(kPid)->empty());
  EXPECT_EQ(LeafNames(), (Counts{{"", 3}}));
}

}  // namespace
}  // namespace sonde
