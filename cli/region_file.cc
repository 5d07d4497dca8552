// SPDX-License-Identifier: Apache-2.0
#include "cli/region_file.h"

#include <algorithm>
#include <array>
#include <fstream>

#include "cli/proc.h"
#include "cli/render.h"
#include "collectors/past.h"
#include "collectors/snapshot.h"
#include "profile/symbolizer.h"
#include "profile/time_text.h"
#include "recording/cpu_window_maker.h"

namespace sonde::cli {
namespace {

constexpr size_t kMaxRegionFile = size_t{1} << 30;
constexpr size_t kMaxPastBytes = size_t{512} << 20;
constexpr size_t kMaxIndexBytes = size_t{256} << 20;

// The header is read once more at the end: a live agent overwrites its oldest steps meanwhile, and
// the later header says which are left.
std::string ReadRegionBytes(const std::string& path) {
  auto bytes = ReadSmallFile(path, kMaxRegionFile);
  if (!bytes) throw Failure("cannot read " + path);
  std::ifstream again(path, std::ios::binary);
  std::array<char, sizeof(RegionHeader)> header;
  if (bytes->size() >= header.size() && again.read(header.data(), header.size()))
    std::ranges::copy(header, bytes->begin());
  return std::move(*bytes);
}

std::string ThisBootId() {
  std::string id = ReadSmallFile("/proc/sys/kernel/random/boot_id").value_or("");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

bool IsAlive(const Snapshot& snapshot) {
  const auto stat = ReadStat(snapshot.host_pid);
  return snapshot.boot_id == ThisBootId() && stat && stat->start_ticks == snapshot.host_start_ticks;
}

class RegionReader {
 public:
  RegionReader(const std::string& path, const PastQuestion& question)
      : path_(path), question_(question) {
    const std::string bytes = ReadRegionBytes(path);
    std::string error;
    if (!image_.Load(bytes.data(), bytes.size(), &error)) throw Failure(path + ": " + error);
    snapshot_ = ReadSnapshot(image_.region());
    history_ = AddressHistory::Read(snapshot_.mappings);
  }

  Captured Read() {
    const CpuWindow window = ReadWindow();
    Captured captured;
    captured.profile = Build(window);
    captured.process = "pid " + std::to_string(snapshot_.host_pid);
    const std::string name = Printable(history_.NameOf(snapshot_.host_pid));
    if (!name.empty()) captured.process += " " + name;
    captured.agent = Origin();
    return captured;
  }

 private:
  // Time as UTC nanoseconds on the region's clock.
  uint64_t MonotonicOf(int64_t unix_ns) const {
    const int64_t offset_ns = snapshot_.utc_offset_ns;
    return unix_ns <= offset_ns ? 0 : static_cast<uint64_t>(unix_ns - offset_ns);
  }

  CpuWindow ReadWindow() {
    uint64_t from_ns = 0;
    uint64_t to_ns = UINT64_MAX;
    if (question_.last) {
      const Past all = ReadPast(image_.region(), 0, UINT64_MAX, 0);
      const uint64_t end_ns = all.pieces.empty() ? 0 : all.pieces.back().to_ns;
      const auto length_ns =
          static_cast<uint64_t>(std::chrono::nanoseconds(*question_.last).count());
      from_ns = end_ns - std::min(end_ns, length_ns);
      asked_ns_ = {UnixOf(from_ns), UnixOf(end_ns)};
    }
    if (question_.from_ns) from_ns = MonotonicOf(*question_.from_ns);
    if (question_.to_ns) to_ns = MonotonicOf(*question_.to_ns);
    Past past = ReadPast(image_.region(), from_ns, to_ns, kMaxPastBytes, history_.Changes());
    damaged_ = past.damaged;
    if (past.pieces.empty() && !question_.asked()) past = FromTables();
    if (past.pieces.empty()) throw NothingRecorded();
    CpuWindow window = WindowOf(past, history_, snapshot_.utc_offset_ns, snapshot_.host_pid);
    if (question_.from_ns)
      asked_ns_ = {*question_.from_ns, question_.to_ns.value_or(window.to_unix_ns)};
    return window;
  }

  CliError NothingRecorded() const {
    const Past all = ReadPast(image_.region(), 0, UINT64_MAX, 0);
    std::string why = path_ + ": nothing was recorded";
    if (!all.pieces.empty())
      why += " in that window; the recording is from " +
             FormatTime(UnixOf(all.pieces.front().from_ns)) + " to " +
             FormatTime(UnixOf(all.pieces.back().to_ns));
    if (all.damaged != 0) why += "; " + std::to_string(all.damaged) + " steps are damaged";
    return Failure(why);
  }

  // The process died before its agent closed its first second: what the tables hold.
  Past FromTables() const {
    Past past;
    if (snapshot_.profile.samples.empty()) return past;
    past.pieces = {snapshot_.profile};
    past.pieces[0].to_ns = past.pieces[0].from_ns;
    return past;
  }

  int64_t UnixOf(uint64_t time_ns) const {
    return static_cast<int64_t>(time_ns + static_cast<uint64_t>(snapshot_.utc_offset_ns));
  }

  // Without a build id nothing tells whether a file here is the one that was loaded there.
  void Distrust(std::vector<Mapping>* space) const {
    if (snapshot_.boot_id == ThisBootId()) return;
    for (Mapping& mapping : *space) mapping.deleted |= mapping.build_id.empty();
  }

  std::string Build(const CpuWindow& window) const {
    ProfileBuilder builder(CpuProfileOptions(window));
    std::vector<size_t> spaces;
    for (std::vector<Mapping> space : window.spaces) {
      Distrust(&space);
      spaces.push_back(builder.AddMappings(std::move(space)));
    }
    builder.AddComment("sonde region file: CPU sampled at " + std::to_string(window.rate_hz) +
                       " Hz of each thread's CPU time");
    // Without a question only its gaps are told.
    const int64_t asked_from_ns = asked_ns_.second != 0 ? asked_ns_.first : window.from_unix_ns;
    const int64_t asked_to_ns = asked_ns_.second != 0 ? asked_ns_.second : window.from_unix_ns;
    for (const std::string& note : WindowNotes(window, asked_from_ns, asked_to_ns))
      builder.AddComment(kWindowComment + note);
    if (damaged_ != 0)
      builder.AddComment(kWindowComment + std::to_string(damaged_) +
                         " steps of the recording are damaged and left out");
    for (const CpuSample& sample : window.samples) {
      const size_t space = sample.space < 0 ? 0 : spaces[static_cast<size_t>(sample.space)];
      static_cast<void>(AddCpuSample(sample, Printable(sample.thread_name), space, &builder));
    }
    SymbolizerOptions options;
    options.max_index_bytes = kMaxIndexBytes;
    Symbolizer symbolizer(std::move(options));
    return builder.Finish(&symbolizer);
  }

  std::string Origin() const {
    const std::string host = Printable(snapshot_.host_name);
    return std::string("region file") + (host.empty() ? "" : " of " + host) +
           (IsAlive(snapshot_) ? ", process lives" : ", process has ended");
  }

  const std::string path_;
  const PastQuestion question_;
  RegionImage image_;
  Snapshot snapshot_;
  AddressHistory history_;
  std::pair<int64_t, int64_t> asked_ns_{0, 0};
  uint32_t damaged_ = 0;
};

}  // namespace

bool IsRegionFile(const std::string& path) {
  char start[8] = {};
  std::ifstream file(path, std::ios::binary);
  file.read(start, sizeof start);
  return LooksLikeRegion(start, static_cast<size_t>(file.gcount()));
}

Captured ReadRegionFile(const std::string& path, const PastQuestion& question) {
  return RegionReader(path, question).Read();
}

}  // namespace sonde::cli
