// SPDX-License-Identifier: Apache-2.0
#include "cli/render_memory.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace sonde::cli {
namespace {

using nlohmann::json;

constexpr double kMiB = 1 << 20;
constexpr size_t kNameWidth = 18;
constexpr size_t kNumberWidth = 7;
constexpr size_t kErrorWidth = 8;
constexpr size_t kBarWidth = 20;
// Less of the cgroup than this is not worth a word.
constexpr double kSmallShare = 0.01;

struct PartRow {
  const char* key;
  const char* name;
};
constexpr std::array kRows = {
    PartRow{"live_heap", "live heap"},
    PartRow{"allocator_free", "allocator free"},
    PartRow{"allocator_extra", "allocator extra"},
    PartRow{"service_mmap", "service's mmap"},
    PartRow{"shared_memory", "shared memory"},
    PartRow{"code_and_files", "code and files"},
    PartRow{"thread_stacks", "thread stacks"},
    PartRow{"agent", "Sonde"},
    PartRow{"unexplained", "unexplained"},
};

double NumberOf(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : 0;
}

std::string TextOf(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

const json& PartOf(const json& object, const char* key) {
  static const json kEmpty = json::object();
  const auto it = object.find(key);
  return it != object.end() && it->is_object() ? *it : kEmpty;
}

const json& ListOf(const json& object, const char* key) {
  static const json kEmpty = json::array();
  const auto it = object.find(key);
  return it != object.end() && it->is_array() ? *it : kEmpty;
}

// Parts are told in whole MiB, so that they can be added up by eye; small processes in tenths.
std::string MiB(double bytes, double whole) {
  return Fixed(bytes / kMiB, whole < 100 * kMiB ? 1 : 0);
}

std::string Bar(double bytes, double whole) {
  if (whole <= 0 || bytes <= 0) return "";
  const double share = std::min(1.0, bytes / whole);
  return std::string(static_cast<size_t>(std::lround(share * kBarWidth)), '#');
}

std::string CgroupLine(const json& cgroup, double rss) {
  if (NumberOf(cgroup, "version") == 0) return "unknown: " + TextOf(cgroup, "problem");
  const double current = NumberOf(cgroup, "current_bytes");
  const double limit = NumberOf(cgroup, "limit_bytes");
  const double other = NumberOf(cgroup, "other_bytes");
  std::string line = MiB(current, current);
  line += limit > 0 ? " of " + MiB(limit, current) + " MiB" : " MiB, no limit";
  line += " = RSS " + MiB(rss, current) + " + page cache " +
          MiB(NumberOf(cgroup, "page_cache_bytes"), current) + " + kernel " +
          MiB(NumberOf(cgroup, "kernel_bytes"), current);
  const double tmpfs = NumberOf(cgroup, "tmpfs_bytes");
  if (tmpfs >= kSmallShare * current) line += " + files in tmpfs " + MiB(tmpfs, current);
  if (std::abs(other) >= kSmallShare * current)
    line += other > 0 ? " + other processes " + MiB(other, current)
                      : " - files charged elsewhere " + MiB(-other, current);
  return line;
}

std::string NamesOfAllocators(const json& memory) {
  std::string names;
  for (const json& one : ListOf(memory, "allocators"))
    names += (names.empty() ? "" : ", ") + TextOf(one, "name");
  return names.empty() ? "the allocator" : names;
}

std::string RemarkOn(const std::string& key, const json& memory) {
  const json& live = PartOf(memory, "live_heap");
  const bool sampled = live.value("sampled", false);
  if (key == "live_heap" && !sampled) return "as the allocator counts it, not sampled";
  if (key == "live_heap" && NumberOf(live, "not_in_memory_bytes") > kMiB)
    return MiB(NumberOf(live, "not_in_memory_bytes"), 0) + " more are allocated and untouched";
  if (key == "allocator_free") return "kept by " + NamesOfAllocators(memory) + ", not a leak";
  if (key == "thread_stacks")
    return Thousands(static_cast<uint64_t>(NumberOf(memory, "thread_stacks"))) + " stacks";
  if (key == "agent") return "counts toward the limit";
  if (key == "unexplained") return NumberOf(memory, "unexplained_share") > 0.05 ? "above 5 %" : "";
  return "";
}

// What of the service's own mappings is in memory, by who mapped it.
void RenderMmapSites(Page* page, const json& memory, double rss) {
  for (const json& site : ListOf(memory, "mmap_sites")) {
    const double resident = NumberOf(site, "resident_bytes");
    if (resident < kSmallShare * rss) continue;
    const double mapped = NumberOf(site, "mapped_bytes");
    std::string line = PadRight("  of it", kNameWidth) + PadLeft(MiB(resident, rss), kNumberWidth);
    line += PadRight("", kErrorWidth) + "by " + TextOf(site, "stack");
    if (mapped > 2 * resident) line += ", which mapped " + MiB(mapped, rss);
    page->More(line);
  }
}

void RenderParts(Page* page, const json& memory, double rss) {
  const json& parts = PartOf(memory, "parts");
  const double error = NumberOf(PartOf(memory, "live_heap"), "error_bytes");
  for (const PartRow& row : kRows) {
    const double bytes = NumberOf(parts, row.key);
    if (bytes == 0 && std::string(row.key) == "shared_memory") continue;
    std::string line = PadRight(row.name, kNameWidth) + PadLeft(MiB(bytes, rss), kNumberWidth);
    const bool has_error = error > 0 && std::string(row.key) == "live_heap";
    line += PadRight(has_error ? " ±" + MiB(error, rss) : "", kErrorWidth);
    line += PadRight(Bar(bytes, rss), kBarWidth + 2) + RemarkOn(row.key, memory);
    line.erase(line.find_last_not_of(' ') + 1);
    page->More(line);
    if (std::string(row.key) == "service_mmap") RenderMmapSites(page, memory, rss);
  }
}

void RenderSentences(Page* page, const std::string& label, const std::vector<std::string>& lines) {
  for (size_t i = 0; i < lines.size(); ++i) page->Line(i == 0 ? label : "", lines[i]);
}

std::vector<std::string> Remarks(const json& memory) {
  std::vector<std::string> lines;
  for (const json& one : ListOf(memory, "allocators"))
    if (!TextOf(one, "problem").empty())
      lines.push_back(TextOf(one, "name") + ": " + TextOf(one, "problem"));
  for (const json& note : ListOf(memory, "notes"))
    if (note.is_string()) lines.push_back(note.get<std::string>());
  return lines;
}

}  // namespace

void RenderMemory(Page* page, const json& memory, const std::string& target) {
  const double rss = NumberOf(memory, "rss_bytes");
  page->Line("cgroup", CgroupLine(PartOf(memory, "cgroup"), rss));
  page->Line("RSS", MiB(rss, rss) + " MiB");
  RenderParts(page, memory, rss);
  page->Line("verdict", TextOf(memory, "verdict_text"));
  RenderSentences(page, "notes", Remarks(memory));
  const bool keeps = TextOf(memory, "verdict") == "allocator_keeps";
  page->Line("next", keeps ? "sonde memory " + target + " --release" : "sonde status " + target);
}

ExitCode JudgeMemory(const json& memory) {
  const std::string verdict = TextOf(memory, "verdict");
  if (verdict == "live_heap_near_limit") return ExitCode::kFinding;
  if (verdict == "nothing_unusual" || verdict == "allocator_keeps" || verdict == "page_cache")
    return ExitCode::kClean;
  return ExitCode::kInconclusive;
}

}  // namespace sonde::cli
