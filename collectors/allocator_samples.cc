// SPDX-License-Identifier: Apache-2.0
#include "collectors/allocator_samples.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "collectors/allocator_gperftools.h"
#include "collectors/safe/heap_math.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

using Mallctl = int (*)(const char*, void*, size_t*, void*, size_t);
constexpr size_t kMaxFrames = 128;

Mallctl MallctlOf(const DetectedAllocator& allocator) {
  return reinterpret_cast<Mallctl>(allocator.statistics);
}

bool IsOn(Mallctl mallctl, const char* name) {
  bool value = false;
  size_t size = sizeof(value);
  return mallctl(name, &value, &size, nullptr, 0) == 0 && size == sizeof(value) && value;
}

// Closed with its scope.
class MemoryFile {
 public:
  MemoryFile() : fd_(sys::Call(SYS_memfd_create, "sonde heap dump", 1L /* MFD_CLOEXEC */)) {}
  ~MemoryFile() {
    if (!sys::Failed(fd_)) sys::Call(SYS_close, fd_);
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  // The agent's thread has descriptors of its own.
  [[nodiscard]] std::string Path() const { return "/proc/thread-self/fd/" + std::to_string(fd_); }

  // jemalloc says on stderr what it cannot open.
  [[nodiscard]] bool CanBeOpened() const {
    const long again = sys::Call(SYS_openat, AT_FDCWD, Path().c_str(), O_RDWR | O_CLOEXEC);
    if (sys::Failed(fd_) || sys::Failed(again)) return false;
    sys::Call(SYS_close, again);
    return true;
  }

  [[nodiscard]] std::string Read() const {
    struct stat about {};
    if (sys::Failed(sys::Call(SYS_fstat, fd_, &about))) return {};
    std::string text(std::min(static_cast<size_t>(about.st_size), kMaxDumpBytes), '\0');
    size_t have = 0;
    while (have < text.size()) {
      const long got = sys::Call(SYS_pread64, fd_, text.data() + have, text.size() - have, have);
      if (sys::Failed(got) || got == 0) break;
      have += static_cast<size_t>(got);
    }
    text.resize(have);
    return text;
  }

 private:
  const long fd_;
};

std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(end == text->npos ? text->size() : end + 1);
  return line;
}

std::optional<int64_t> TakeNumber(std::string_view* text) {
  text->remove_prefix(std::min(text->find_first_of("0123456789"), text->size()));
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc()) return std::nullopt;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return value;
}

// " 0x55d4b9548195 0x55d4b95481c6"
std::vector<uint64_t> Frames(std::string_view line) {
  std::vector<uint64_t> frames;
  while (frames.size() < kMaxFrames) {
    const size_t at = line.find("0x");
    if (at == line.npos) break;
    line.remove_prefix(at + 2);
    uint64_t address = 0;
    const auto [end, error] =
        std::from_chars(line.data(), line.data() + line.size(), address, /*base=*/16);
    if (error != std::errc()) break;
    line.remove_prefix(static_cast<size_t>(end - line.data()));
    frames.push_back(address);
  }
  return frames;
}

int64_t Scaled(int64_t value, double weight) {
  constexpr double kMost = 9e18;
  return static_cast<int64_t>(std::min(static_cast<double>(value) * weight, kMost));
}

// As jeprof does: each stack's blocks as if all were of their mean size.
void Scale(int64_t interval, int64_t* objects, int64_t* bytes) {
  if (*objects <= 0 || *bytes <= 0 || interval <= 1) return;
  const double weight =
      SampleWeight(static_cast<uint64_t>(*bytes / *objects), static_cast<uint64_t>(interval));
  *objects = Scaled(*objects, weight);
  *bytes = Scaled(*bytes, weight);
}

// " 2: 80 [9: 400]", behind "t*:".
bool TakeCounts(std::string_view line, int64_t interval, AllocatorStack* stack) {
  for (int64_t* number :
       {&stack->inuse_objects, &stack->inuse_bytes, &stack->alloc_objects, &stack->alloc_bytes}) {
    const auto value = TakeNumber(&line);
    if (!value) return false;
    *number = *value;
  }
  Scale(interval, &stack->inuse_objects, &stack->inuse_bytes);
  Scale(interval, &stack->alloc_objects, &stack->alloc_bytes);
  return true;
}

AllocatorSamples DumpJemalloc(Mallctl mallctl) {
  const MemoryFile file;
  AllocatorSamples out;
  if (!file.CanBeOpened()) {
    out.problem = "there is no file in memory to be had for its profile";
    return out;
  }
  const std::string path = file.Path();
  const char* name = path.c_str();
  const int error = mallctl("prof.dump", nullptr, nullptr, &name, sizeof(name));
  if (error != 0) {
    out.problem = "its prof.dump failed with error " + std::to_string(error);
    return out;
  }
  return ParseJemallocDump(file.Read());
}

}  // namespace

AllocatorSamples ParseJemallocDump(std::string_view text) {
  constexpr std::string_view kHead = "heap_v2/", kAllThreads = "  t*:", kMaps = "MAPPED_LIBRARIES";
  AllocatorSamples out;
  std::string_view head = TakeLine(&text);
  const auto interval =
      head.starts_with(kHead) ? TakeNumber(&(head = head.substr(kHead.size()))) : std::nullopt;
  if (!interval || *interval <= 0) {
    out.problem = "its profile does not begin with heap_v2/INTERVAL";
    return out;
  }
  out.interval_bytes = *interval;
  std::vector<uint64_t> frames;
  while (!text.empty()) {
    const std::string_view line = TakeLine(&text);
    if (line.starts_with(kMaps)) break;
    if (line.starts_with('@')) frames = Frames(line);
    if (!line.starts_with(kAllThreads) || frames.empty()) continue;
    if (out.stacks.size() >= kMaxAllocatorStacks) {
      out.problem = "only the first " + std::to_string(kMaxAllocatorStacks) + " stacks";
      break;
    }
    AllocatorStack stack{.frames = std::exchange(frames, {})};
    if (TakeCounts(line.substr(kAllThreads.size()), out.interval_bytes, &stack))
      out.stacks.push_back(std::move(stack));
  }
  return out;
}

UnseenSampling LookAtSampling(const ProcessMemory& memory, const DetectedAllocator& allocator,
                              bool hooks_bypassed) {
  const bool is_unseen = allocator.serves_malloc
                             ? hooks_bypassed
                             : allocator.object == kTheProgram && allocator.statistics != 0;
  if (!is_unseen || allocator.hidden) return {};
  if (allocator.kind == AllocatorKind::kGperftools) {
    const GperftoolsSampling sampling(memory, allocator);
    return {sampling.why_not().empty(), sampling.why_not()};
  }
  if (allocator.kind != AllocatorKind::kJemalloc || allocator.statistics == 0) return {};
  const Mallctl mallctl = MallctlOf(allocator);
  return {IsOn(mallctl, "opt.prof") && IsOn(mallctl, "prof.active"), {}};
}

AllocatorSamples ReadAllocatorSamples(const ProcessMemory& memory,
                                      const DetectedAllocator& allocator) {
  return allocator.kind == AllocatorKind::kGperftools ? GperftoolsSampling(memory, allocator).Read()
                                                      : DumpJemalloc(MallctlOf(allocator));
}

}  // namespace sonde
