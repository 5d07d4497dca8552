// SPDX-License-Identifier: Apache-2.0
#include "agent/life/starts_of_tree.h"

#include <algorithm>

#include "agent/life/self.h"
#include "collectors/safe/region_file.h"

namespace sonde::life {
namespace {

constexpr uint64_t kLookAgainNs = 1'000'000'000;

}  // namespace

StartsOfTree::Child* StartsOfTree::Find(int pid) {
  const auto known = children_.find(pid);
  if (known != children_.end()) {
    known->second->asked = ++turn_;
    return known->second.get();
  }
  if (children_.size() >= kMaxChildren) {
    children_.erase(std::ranges::min_element(children_, {},
                                             [](const auto& item) { return item.second->asked; }));
  }
  Child* const child = children_.emplace(pid, std::make_unique<Child>(pid)).first->second.get();
  child->asked = ++turn_;
  return child;
}

uint64_t StartsOfTree::StartOf(int pid, uint64_t pc) {
  if (pid == g_self.pid) return own_->starts()->StartOf(pc);
  Child* const child = Find(pid);
  if (!child->memory.memory_is_open()) return own_->starts()->StartOf(pc);
  const uint64_t start = child->starts.StartOf(pc);
  if (start != 0) return start;
  const uint64_t now_ns = MonotonicNs();
  if (child->known_ns != 0 && now_ns < child->known_ns + kLookAgainNs) return 0;
  child->known_ns = now_ns;
  // Of one that has ended the list of code is not that any more, and what was found would be lost.
  char byte = 0;
  if (!child->memory.Read(pc, &byte, sizeof byte)) return 0;
  child->starts.SetCode(cpu_->unwind().CodeFor(pid));
  return child->starts.StartOf(pc);
}

}  // namespace sonde::life
