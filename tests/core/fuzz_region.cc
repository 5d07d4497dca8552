// SPDX-License-Identifier: Apache-2.0
// libFuzzer target: damaged regions, steps and address histories, as a reader of a region file
// meets them. The first byte chooses which.
#include <cstring>
#include <string>
#include <vector>

#include "collectors/fold.h"
#include "collectors/fold_recorder.h"
#include "collectors/past.h"
#include "collectors/safe/region_mappings.h"
#include "collectors/snapshot.h"
#include "profile/address_history.h"
#include "tests/core/region_for_testing.h"

namespace sonde {
namespace {

// A small region with stacks, mappings and some recorded steps.
std::vector<char> WholeRegion() {
  RegionForTesting region({.stacks = 64,
                           .chunks = 256,
                           .cells = 64,
                           .threads = 8,
                           .processes = 8,
                           .mappings_bytes = 64,
                           .ring_bytes = 4096,
                           .open_step_bytes = 1024});
  const ThreadId thread = region.Thread(5);
  StoreMappings(*region, "text\n", 5);
  const Coverage coverage(0);
  Folder folder(*region, Folder::Start::kFromEmpty);
  Recorder recorder(*region, &coverage, 1);
  folder.AddSink(&recorder, 2);
  for (uint64_t second = 1; second <= 25; ++second) {
    region.Record(thread, second % 40, 1, 1, static_cast<uint32_t>(1 + second * 3 % 60));
    folder.Fold(second * 1'000'000'000);
  }
  const char* start = static_cast<const char*>(region.memory());
  return {start, start + region.bytes()};
}

// Pieces of seven bytes: where (three), what (four).
void ReadDamagedRegion(const uint8_t* data, size_t size) {
  static const std::vector<char> whole = WholeRegion();
  std::vector<char> bytes = whole;
  for (; size >= 7; data += 7, size -= 7) {
    const size_t at = (data[0] | data[1] << 8 | data[2] << 16) % (bytes.size() - 3);
    memcpy(bytes.data() + at, data + 3, 4);
  }
  RegionImage image;
  std::string error;
  if (!image.Load(bytes.data(), bytes.size(), &error)) return;
  const Snapshot snapshot = ReadSnapshot(image.region());
  for (const FoldSample& sample : snapshot.profile.samples) {
    if (sample.frames.size() > kMaxDepth) __builtin_trap();
  }
  (void)ReadPast(image.region(), 0, UINT64_MAX, 1 << 20);
}

class Checker final : public StepVisitor {
 public:
  void OnSample(const FoldDelta& delta) override {
    if (delta.frames.empty() || delta.frames.size() > kMaxDepth) __builtin_trap();
  }
  void OnLoss(const FoldLoss&) override {}
};

// What can be read can be written, and read again to the same.
void ReadHistory(std::string_view text) {
  const std::string written = AddressHistory::Read(text).Write();
  if (AddressHistory::Read(written).Write() != written) __builtin_trap();
}

}  // namespace
}  // namespace sonde

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t kind = data[0] % 3;
  ++data;
  --size;
  sonde::StepFacts facts;
  sonde::Checker checker;
  if (kind == 0) sonde::ReadDamagedRegion(data, size);
  if (kind == 1) (void)sonde::DecodeStep({data, size}, &facts, &checker);
  if (kind == 2) sonde::ReadHistory({reinterpret_cast<const char*>(data), size});
  return 0;
}
