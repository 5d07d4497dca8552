// SPDX-License-Identifier: Apache-2.0
#include "profile/address_history.h"

#include <algorithm>
#include <charconv>

namespace sonde {
namespace {

constexpr uint64_t kForEver = UINT64_MAX;
constexpr size_t kMappingBytes = sizeof(Mapping) + 200;  // with its texts

bool Overlap(const Mapping& a, const Mapping& b) { return a.start < b.limit && b.start < a.limit; }

// The same bytes at the same addresses; that its file was deleted meanwhile changes nothing.
bool SameObject(const Mapping& a, const Mapping& b) {
  const bool ids = a.build_id == b.build_id || a.build_id.empty() || b.build_id.empty();
  const bool files =
      a.inode != 0 || b.inode != 0 ? a.inode == b.inode && a.device == b.device : a.path == b.path;
  return ids && files && a.start - a.offset == b.start - b.offset;
}

// `mapping` from `start` on.
Mapping From(Mapping mapping, uint64_t start) {
  mapping.offset += start - mapping.start;
  mapping.start = start;
  return mapping;
}

// Takes [start, limit) out of every mapping.
void CutOut(uint64_t start, uint64_t limit, std::vector<Mapping>* mappings) {
  std::vector<Mapping> left;
  left.reserve(mappings->size() + 1);
  for (Mapping& mapping : *mappings) {
    if (mapping.limit <= start || mapping.start >= limit) {
      left.push_back(std::move(mapping));
      continue;
    }
    if (mapping.limit > limit) left.push_back(From(mapping, limit));
    if (mapping.start >= start) continue;
    mapping.limit = start;
    left.push_back(std::move(mapping));
  }
  *mappings = std::move(left);
}

void AddHex(uint64_t value, char end, std::string* text) {
  char digits[17];
  const auto [last, error] = std::to_chars(digits, digits + sizeof digits, value, 16);
  text->append(digits, last).push_back(end);
}

// One word of a line, or all that is left of it.
std::string_view TakeWord(std::string_view* line, char separator = ' ') {
  const size_t end = std::min(line->find(separator), line->size());
  const std::string_view word = line->substr(0, end);
  line->remove_prefix(std::min(end + 1, line->size()));
  return word;
}

bool ParseHex(std::string_view word, uint64_t* value) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *value, 16);
  return error == std::errc() && end == word.data() + word.size();
}

std::string OneLine(std::string_view text) {
  std::string line(text);
  std::ranges::replace_if(
      line, [](char c) { return c == '\n' || c == '\0'; }, '?');
  return line;
}

}  // namespace

uint32_t AddressHistory::Intern(Mapping mapping) {
  const auto [begin, end] = by_start_.equal_range(mapping.start);
  for (auto i = begin; i != end; ++i) {
    if (mappings_[i->second] == mapping) return i->second;
  }
  const auto index = static_cast<uint32_t>(mappings_.size());
  by_start_.emplace(mapping.start, index);
  mappings_.push_back(std::move(mapping));
  return index;
}

AddressHistory::Life* AddressHistory::FindAlive(Process* process, const Mapping& mapping) {
  for (Life& life : process->lives) {
    const Mapping& known = mappings_[life.mapping];
    if (life.to_ns == kForEver && known.start == mapping.start && known.limit == mapping.limit &&
        SameObject(known, mapping))
      return &life;
  }
  return nullptr;
}

bool AddressHistory::Displaces(const Process& process, const Mapping& mapping) const {
  return std::ranges::any_of(process.lives, [&](const Life& life) {
    const Mapping& known = mappings_[life.mapping];
    return Overlap(known, mapping) && !SameObject(known, mapping);
  });
}

bool AddressHistory::Update(int pid, std::string_view name, std::vector<Mapping> mappings,
                            uint64_t now_ns) {
  Process& process = processes_[pid];
  if (!name.empty()) process.name = name;
  std::vector<bool> seen(process.lives.size());
  std::vector<Mapping> fresh;
  for (Mapping& mapping : mappings) {
    Life* life = FindAlive(&process, mapping);
    if (life == nullptr) {
      fresh.push_back(std::move(mapping));
      continue;
    }
    seen[static_cast<size_t>(life - process.lives.data())] = true;
    life->mapping = Intern(std::move(mapping));
  }
  for (size_t i = 0; i < seen.size(); ++i) {
    Life& life = process.lives[i];
    if (!seen[i] && life.to_ns == kForEver) life.to_ns = now_ns;
  }
  bool displaced = false;
  for (Mapping& mapping : fresh) {
    displaced |= Displaces(process, mapping);
    if (lives_ >= kMaxLives) break;
    process.lives.push_back({Intern(std::move(mapping)), process.read_ns, kForEver});
    ++lives_;
  }
  process.read_ns = now_ns;
  return displaced;
}

void AddressHistory::Unchanged(int pid, uint64_t now_ns) {
  const auto found = processes_.find(pid);
  if (found != processes_.end()) found->second.read_ns = now_ns;
}

std::vector<uint64_t> AddressHistory::Changes() const {
  std::vector<uint64_t> times;
  for (const auto& [pid, process] : processes_) {
    for (const Life& life : process.lives) {
      const bool always = life.from_ns == 0 && life.to_ns == kForEver;
      if (always || !Displaces(process, mappings_[life.mapping])) continue;
      times.push_back(life.from_ns);
      times.push_back(life.to_ns);
    }
  }
  std::ranges::sort(times);
  // std::unique: clang 14 cannot compile libstdc++'s std::ranges::unique.
  const auto repeated = std::unique(times.begin(), times.end());
  times.erase(repeated, times.end());
  return times;
}

void AddressHistory::Inherit(int pid, std::string_view name, int parent) {
  const auto from = processes_.find(parent);
  if (from == processes_.end() || lives_ + from->second.lives.size() > kMaxLives) return;
  Process copy = from->second;
  copy.name = name;
  copy.perf_map = {};
  lives_ += copy.lives.size();
  processes_.insert_or_assign(pid, std::move(copy));
}

std::vector<int> AddressHistory::WithGeneratedCode() const {
  std::vector<int> pids;
  for (const auto& [pid, process] : processes_) {
    const bool generates = std::ranges::any_of(process.lives, [&](const Life& life) {
      return life.to_ns == kForEver && mappings_[life.mapping].IsGenerated();
    });
    if (generates) pids.push_back(pid);
  }
  return pids;
}

PerfMapHistory* AddressHistory::PerfMapOf(int pid) {
  const auto found = processes_.find(pid);
  return found == processes_.end() ? nullptr : &found->second.perf_map;
}

const PerfMapHistory* AddressHistory::PerfMapOf(int pid) const {
  const auto found = processes_.find(pid);
  return found == processes_.end() ? nullptr : &found->second.perf_map;
}

std::vector<std::pair<int, uint64_t>> AddressHistory::PerfMapsWrittenAnew(uint64_t from_ns) const {
  std::vector<std::pair<int, uint64_t>> found;
  for (const auto& [pid, process] : processes_) {
    const uint64_t when_ns = process.perf_map.written_anew_ns();
    if (when_ns > from_ns) found.emplace_back(pid, when_ns);
  }
  return found;
}

std::string AddressHistory::NameOf(int pid) const {
  const auto found = processes_.find(pid);
  return found == processes_.end() ? std::string() : found->second.name;
}

std::vector<Mapping> AddressHistory::At(int pid, uint64_t from_ns, uint64_t to_ns) const {
  std::vector<Mapping> mappings;
  const auto found = processes_.find(pid);
  if (found == processes_.end()) return mappings;
  for (const Life& life : found->second.lives) {
    if (life.from_ns >= to_ns || life.to_ns <= from_ns) continue;
    Mapping mapping = mappings_[life.mapping];
    if (life.to_ns != kForEver) mapping.image_start = mapping.image_limit = 0;
    mappings.push_back(std::move(mapping));
  }
  std::vector<std::pair<uint64_t, uint64_t>> doubtful;
  std::vector<const Mapping*> sorted;
  sorted.reserve(mappings.size());
  for (const Mapping& mapping : mappings) sorted.push_back(&mapping);
  std::ranges::sort(sorted, {}, [](const Mapping* mapping) { return mapping->start; });
  for (size_t i = 0; i < sorted.size(); ++i) {
    for (size_t j = i + 1; j < sorted.size() && Overlap(*sorted[i], *sorted[j]); ++j) {
      if (SameObject(*sorted[i], *sorted[j])) continue;
      doubtful.emplace_back(sorted[j]->start, std::min(sorted[i]->limit, sorted[j]->limit));
    }
  }
  for (const auto& [start, limit] : doubtful) CutOut(start, limit, &mappings);
  return mappings;
}

void AddressHistory::Forget(uint64_t before_ns) {
  for (auto& [pid, process] : processes_) {
    process.perf_map.Forget(before_ns);
    lives_ -= std::erase_if(process.lives,
                            [before_ns](const Life& life) { return life.to_ns < before_ns; });
  }
  std::erase_if(processes_, [](const auto& entry) { return entry.second.lives.empty(); });
  DropUnusedMappings();
}

void AddressHistory::DropUnusedMappings() {
  std::vector<uint32_t> place(mappings_.size(), UINT32_MAX);
  std::vector<Mapping> used;
  for (auto& [pid, process] : processes_) {
    for (Life& life : process.lives) {
      uint32_t& at = place[life.mapping];
      if (at == UINT32_MAX) {
        at = static_cast<uint32_t>(used.size());
        used.push_back(mappings_[life.mapping]);
      }
      life.mapping = at;
    }
  }
  mappings_ = std::move(used);
  by_start_.clear();
  for (uint32_t i = 0; i < mappings_.size(); ++i) by_start_.emplace(mappings_[i].start, i);
}

size_t AddressHistory::memory_bytes() const {
  size_t bytes = lives_ * sizeof(Life) + mappings_.size() * kMappingBytes;
  for (const auto& [pid, process] : processes_) bytes += process.perf_map.memory_bytes();
  return bytes;
}

// m START LIMIT OFFSET BUILDID|- d|- PATH      a mapping; they are numbered from 0 in this order
// p PID NAME                                   a process; what follows is its
// a FIRST COUNT                                so many mappings that were always there
// l MAPPING FROM TO                            one that was not; TO ffffffffffffffff: it is there
std::string AddressHistory::Write() const {
  std::string text = "sonde-mappings 1\n";
  std::vector<uint32_t> numbers(mappings_.size(), UINT32_MAX);
  uint32_t next = 0;
  const auto number_of = [&](uint32_t index) {
    if (numbers[index] != UINT32_MAX) return numbers[index];
    const Mapping& mapping = mappings_[index];
    text += "m ";
    AddHex(mapping.start, ' ', &text);
    AddHex(mapping.limit, ' ', &text);
    AddHex(mapping.offset, ' ', &text);
    text += (mapping.build_id.empty() ? "-" : mapping.build_id) + (mapping.deleted ? " d " : " - ");
    text += OneLine(mapping.path) + "\n";
    return numbers[index] = next++;
  };
  for (const auto& [pid, process] : processes_) {
    std::string own = "p ";
    AddHex(static_cast<uint64_t>(pid), ' ', &own);
    own += OneLine(process.name) + "\n";
    uint64_t first = 0;
    uint64_t count = 0;
    const auto end_run = [&] {
      if (count == 0) return;
      own += "a ";
      AddHex(first, ' ', &own);
      AddHex(count, '\n', &own);
      count = 0;
    };
    for (const Life& life : process.lives) {
      const uint32_t number = number_of(life.mapping);
      const bool always = life.from_ns == 0 && life.to_ns == kForEver;
      if (always && count != 0 && number == first + count) {
        ++count;
        continue;
      }
      end_run();
      if (always) {
        first = number;
        count = 1;
        continue;
      }
      own += "l ";
      AddHex(number, ' ', &own);
      AddHex(life.from_ns, ' ', &own);
      AddHex(life.to_ns, '\n', &own);
    }
    end_run();
    text += own;
  }
  return text;
}

class AddressHistory::Reader {
 public:
  void Line(std::string_view line) {
    const std::string_view kind = TakeWord(&line);
    if (kind == "m") return AddMapping(line);
    if (kind == "p") return AddProcess(line);
    uint64_t numbers[3] = {};
    const size_t wanted = kind == "a" ? 2 : kind == "l" ? 3 : 0;
    for (size_t i = 0; i < wanted; ++i) {
      if (!ParseHex(TakeWord(&line), &numbers[i])) return;
    }
    if (wanted == 2) {
      for (uint64_t i = 0; i < std::min<uint64_t>(numbers[1], kMaxLives); ++i)
        AddLife(numbers[0] + i, 0, kForEver);
    }
    if (wanted == 3) AddLife(numbers[0], numbers[1], numbers[2]);
  }
  AddressHistory Take() { return std::move(history_); }

 private:
  void AddMapping(std::string_view line) {
    Mapping mapping;
    const bool good = ParseHex(TakeWord(&line), &mapping.start) &&
                      ParseHex(TakeWord(&line), &mapping.limit) &&
                      ParseHex(TakeWord(&line), &mapping.offset) && mapping.start < mapping.limit;
    mapping.build_id = TakeWord(&line);
    if (mapping.build_id == "-") mapping.build_id.clear();
    mapping.deleted = TakeWord(&line) == "d";
    mapping.path = line;
    // A line that makes no sense keeps its number.
    if (!good) mapping = {};
    if (history_.mappings_.size() < kMaxLives) history_.mappings_.push_back(std::move(mapping));
  }
  void AddProcess(std::string_view line) {
    uint64_t pid = 0;
    process_ = nullptr;
    if (!ParseHex(TakeWord(&line), &pid) || pid > INT32_MAX) return;
    process_ = &history_.processes_[static_cast<int>(pid)];
    process_->name = line;
  }
  void AddLife(uint64_t number, uint64_t from_ns, uint64_t to_ns) {
    if (process_ == nullptr || number >= history_.mappings_.size() || history_.lives_ >= kMaxLives)
      return;
    if (history_.mappings_[number].limit == 0) return;
    process_->lives.push_back({static_cast<uint32_t>(number), from_ns, to_ns});
    ++history_.lives_;
  }

  AddressHistory history_;
  Process* process_ = nullptr;
};

AddressHistory AddressHistory::Read(std::string_view text) {
  Reader reader;
  while (!text.empty()) reader.Line(TakeWord(&text, '\n'));
  return reader.Take();
}

}  // namespace sonde
