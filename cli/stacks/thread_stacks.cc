// SPDX-License-Identifier: Apache-2.0
#include "cli/stacks/thread_stacks.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <unordered_map>

#include "cli/interrupt.h"
#include "cli/proc.h"
#include "cli/stacks/remote_unwinder.h"
#include "profile/frame_text.h"
#include "profile/number_text.h"
#include "profile/perf_map.h"
#include "profile/symbolizer.h"
#include "threads/thread_groups.h"
#include "threads/thread_wait.h"

namespace sonde::cli {
namespace {

using nlohmann::json;

constexpr size_t kFramesThatTell = 8;  // of a wait
constexpr size_t kMaxIndexBytes = size_t{256} << 20;
constexpr size_t kMaxNameBytes = size_t{64} << 20;
constexpr size_t kMaxObjects = 512;

struct FrameName {
  std::string function;
  std::string module;
  std::string text;
};

uint64_t InstructionAt(const std::vector<uint64_t>& frames, size_t i) {
  return i == 0 ? frames[0] : frames[i] - 1;
}

SymbolizerOptions OptionsFor(const FrozenProcess& process) {
  SymbolizerOptions options;
  options.max_index_bytes = kMaxIndexBytes;
  options.max_name_bytes = kMaxNameBytes;
  options.max_objects = kMaxObjects;
  options.root = process.root;
  const FrozenMemory* memory = process.memory.get();
  options.memory = [memory](uint64_t address, void* out, size_t size) {
    return memory->Read(address, out, size);
  };
  options.memory_pid = process.pid;
  if (process.root.empty()) return options;
  options.open_perf_map = [root = process.root](int pid) {
    return OpenPerfMap(root + "/tmp/perf-" + std::to_string(InnermostPid(pid)) + ".map",
                       UserOf(pid).value_or(geteuid()));
  };
  return options;
}

class Names {
 public:
  explicit Names(const FrozenProcess& process)
      : pid_(process.pid), mappings_(process.mappings), symbols_(OptionsFor(process)) {
    std::sort(mappings_.begin(), mappings_.end(),
              [](const Mapping& a, const Mapping& b) { return a.start < b.start; });
  }

  // One pass over the perf map for all generated code.
  void Prepare(const std::vector<ThreadRecord>& threads) {
    std::vector<uint64_t> generated;
    for (const ThreadRecord& thread : threads) {
      for (size_t i = 0; i < thread.frames.size(); ++i) {
        const Mapping* mapping = MappingAt(InstructionAt(thread.frames, i));
        if (mapping != nullptr && mapping->IsGenerated())
          generated.push_back(InstructionAt(thread.frames, i));
      }
    }
    std::sort(generated.begin(), generated.end());
    generated.erase(std::unique(generated.begin(), generated.end()), generated.end());
    symbols_.ReadPerfMap(pid_, generated);
  }

  const FrameName& Of(uint64_t address) {
    const auto [place, is_new] = known_.try_emplace(address);
    if (is_new) place->second = Find(address);
    return place->second;
  }

  std::vector<std::string_view> Functions(const std::vector<uint64_t>& frames) {
    std::vector<std::string_view> names;
    for (size_t i = 0; i < std::min(kFramesThatTell, frames.size()); ++i)
      names.push_back(Of(InstructionAt(frames, i)).function);
    return names;
  }

 private:
  [[nodiscard]] const Mapping* MappingAt(uint64_t address) const {
    const auto after =
        std::upper_bound(mappings_.begin(), mappings_.end(), address,
                         [](uint64_t at, const Mapping& mapping) { return at < mapping.start; });
    if (after == mappings_.begin() || !std::prev(after)->Contains(address)) return nullptr;
    return &*std::prev(after);
  }

  FrameName Find(uint64_t address) {
    const Mapping* mapping = MappingAt(address);
    if (mapping == nullptr) return {"", "", HexText(address)};
    FrameName name;
    name.module = mapping->path.substr(mapping->path.rfind('/') + 1);
    const Symbol symbol = symbols_.Lookup(*mapping, address);
    name.function = symbol.name;
    name.text = FrameText(symbol, *mapping, address);
    return name;
  }

  const int pid_;
  std::vector<Mapping> mappings_;  // by address
  Symbolizer symbols_;
  std::unordered_map<uint64_t, FrameName> known_;
};

void WalkAll(FrozenProcess* process) {
  RemoteUnwinder unwinder(*process);
  for (FrozenThread& thread : process->threads) {
    ThrowIfInterrupted();
    ThreadRecord& record = thread.record;
    if (!thread.has_registers) {
      thread.registers[kRegisterRsp] = record.where.sp;
      thread.registers[kRegisterRip] = record.where.pc;
    }
    if (thread.registers[kRegisterRip] == 0) continue;
    RemoteUnwinder::Stack stack = unwinder.Walk(thread.registers);
    record.frames = std::move(stack.frames);
    record.end = stack.end;
    record.source = StackSource::kOutside;
  }
}

// Everything that puts one frozen process into words.
class Teller {
 public:
  Teller(const FrozenProcess& process, std::vector<ThreadRecord> threads, bool lives)
      : threads_(std::move(threads)), names_(process), lives_(lives) {
    if (lives) files_.emplace(process.pid);
    waits_.emplace(threads_, lives ? &*files_ : nullptr, *process.memory, process.pid);
    names_.Prepare(threads_);
  }

  json Groups() {
    json groups = json::array();
    for (const ThreadGroup& group : GroupThreads(threads_)) {
      ThrowIfInterrupted();
      groups.push_back(GroupOf(group));
    }
    return groups;
  }

 private:
  json GroupOf(const ThreadGroup& group) {
    const ThreadRecord& first = group.first();
    json threads = json::array();
    for (const ThreadRecord* thread : group.threads) threads.push_back(ThreadOf(*thread));
    return {{"count", group.threads.size()}, {"state", StateName(first)},
            {"place", PlaceName(first)},     {"note", StackNote(first)},
            {"problem", first.problem},      {"frames", FramesOf(first)},
            {"threads", std::move(threads)}};
  }

  json FramesOf(const ThreadRecord& thread) {
    json frames = json::array();
    for (size_t i = 0; i < thread.frames.size(); ++i) {
      const FrameName& name = names_.Of(InstructionAt(thread.frames, i));
      frames.push_back({{"address", HexText(thread.frames[i])},
                        {"function", name.function},
                        {"module", name.module},
                        {"text", name.text}});
    }
    return frames;
  }

  json ThreadOf(const ThreadRecord& thread) {
    json out = {{"tid", thread.tid},
                {"name", thread.name},
                {"wait", waits_->Describe(thread, names_.Functions(thread.frames))},
                {"cpu_seconds", static_cast<double>(thread.cpu_ns) / 1e9}};
    if (lives_) out["age_seconds"] = AgeOf(thread);
    return out;
  }

  static double AgeOf(const ThreadRecord& thread) {
    timespec up{};
    clock_gettime(CLOCK_BOOTTIME, &up);
    return static_cast<double>(up.tv_sec) + static_cast<double>(up.tv_nsec) / 1e9 -
           static_cast<double>(thread.start_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }

  const std::vector<ThreadRecord> threads_;
  Names names_;
  const bool lives_;
  std::optional<TaskFiles> files_;
  std::optional<ThreadWaits> waits_;
};

}  // namespace

json DumpOf(FrozenProcess process, bool lives) {
  WalkAll(&process);
  std::vector<ThreadRecord> threads;
  for (const FrozenThread& thread : process.threads) threads.push_back(thread.record);
  const size_t count = threads.size();
  json dump = {{"pid", process.pid}, {"process", process.name}, {"threads", count}};
  if (lives) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    dump["now_unix_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  }
  dump["groups"] = Teller(process, std::move(threads), lives).Groups();
  dump["problems"] = process.problems;
  return dump;
}

}  // namespace sonde::cli
