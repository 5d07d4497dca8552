// SPDX-License-Identifier: Apache-2.0
// Forked children: they read the root's tables, until they load an object that the root has not, or
// the root loads one where they have another. Then they get an index of their own, with the same
// tables where the objects are the same. Their memory is read through /proc, where the root may
// trace them; where it may not, they keep the root's index.
#include <errno.h>

#include <algorithm>
#include <new>
#include <utility>

#include "collectors/safe/sys.h"
#include "collectors/unwind_tables.h"
#include "collectors/unwind_tables_link_map.h"

namespace sonde {
namespace {

// A look opens two files and reads the loader's list, about 40 us, and the start of each object.
constexpr uint32_t kLooksPerRefresh = 4;
// Refreshes until an unknown pc of the same child is looked into again, when it was in vain.
constexpr uint64_t kPatience = 60;

bool IsGone(int pid) { return sys::Call(SYS_kill, pid, 0L) == -ESRCH; }

}  // namespace

void UnwindTables::FindChildren() {
  for (uint32_t slot = 0; slot < ChildrenEnd(); ++slot) {
    UnwindPublication& publication = share_->children[slot];
    const int pid = publication.pid();
    const auto known = children_.find(slot);
    if (known != children_.end() && (known->second.pid != pid || IsGone(pid))) {
      publication.Leave(known->second.pid);
      DropView(&known->second);
      children_.erase(known);
    } else if (known == children_.end() && pid != 0 && IsGone(pid)) {
      publication.Leave(pid);
    } else if (known == children_.end() && pid != 0) {
      try {
        children_[slot].pid = pid;
      } catch (const std::bad_alloc&) {
        ++counters_.failures;
      }
    }
  }
  LookAtChildren();
}

UnwindPublication& UnwindTables::PublicationFor(int pid) {
  for (uint32_t slot = 0; slot < ChildrenEnd(); ++slot) {
    if (share_->children[slot].pid() == pid) return share_->children[slot];
  }
  return root_.publication();
}

bool UnwindTables::BuildFor(int pid, uint64_t pc) {
  PublicationFor(pid).misses().Ask(pc);
  return BuildMissed();
}

std::vector<CodeOfImage> UnwindTables::CodeFor(int pid) const {
  const UnwindView* view = &root_;
  for (const auto& [slot, child] : children_) {
    if (child.pid == pid && child.view != nullptr) view = child.view.get();
  }
  std::vector<CodeOfImage> code;
  code.reserve(view->entries().size());
  for (const auto& entry : view->entries()) {
    const LoadedObject& object = entry->object();
    code.push_back({object.text_low, object.text_high, object.image});
  }
  return code;
}

// Those whose walks met unknown code, and some others in turn.
void UnwindTables::LookAtChildren() {
  uint32_t in_turn = std::min<uint32_t>(kLooksPerRefresh, static_cast<uint32_t>(children_.size()));
  const auto look = [this](uint32_t slot, Child* child) {
    try {
      LookAtChild(share_->children[slot], child);
    } catch (const std::bad_alloc&) {
      ++counters_.failures;
    }
  };
  for (auto& [slot, child] : children_) {
    if (clock_ < child.next_scan || !share_->children[slot].TakeUnknownPc()) continue;
    child.unknown_pc = true;
    look(slot, &child);
  }
  for (; in_turn > 0; --in_turn) {
    auto next = children_.lower_bound(next_child_);
    if (next == children_.end()) next = children_.begin();
    next_child_ = next->first + 1;
    look(next->first, &next->second);
  }
}

void UnwindTables::LookAtChild(UnwindPublication& publication, Child* child) {
  const ProcessMemory memory(child->pid);
  uint64_t token = 0;
  if (!memory.memory_is_open() || !memory.maps_is_open()) return;
  if (!memory.ReadObject(reinterpret_cast<uint64_t>(&share_->token), &token) ||
      token != share_->token) {
    // Another program by now, by exec: it will walk no more.
    publication.Leave(child->pid);
    return;
  }
  const bool unknown_pc = std::exchange(child->unknown_pc, false);
  const uint64_t link_maps = ReadLinkMaps(memory, nullptr);
  // Always the same objects of the root, lest the answer change with their turn.
  size_t first = 0;
  const bool as_root =
      complete_ && link_maps == link_maps_ && ObjectsAreTheSame(memory, root_, &first);
  const UnwindView& shown = child->view != nullptr ? *child->view : root_;
  const bool same = link_maps == child->link_maps && child->root_changes == root_changes_ &&
                    ObjectsAreTheSame(memory, shown, &child->next_check);
  if (as_root && !unknown_pc) return DropView(child);
  if (same && !unknown_pc) return;
  const bool changed = ScanChild(memory, publication, child);
  child->link_maps = link_maps;
  child->root_changes = root_changes_;
  if (unknown_pc) child->next_scan = clock_ + (changed ? 1 : kPatience);
}

// True: the child walks with something new.
bool UnwindTables::ScanChild(const ProcessMemory& memory, UnwindPublication& publication,
                             Child* child) {
  std::vector<uint64_t> dynamics;
  CodeList code;
  ++counters_.scans;
  ReadLinkMaps(memory, &dynamics);
  std::sort(dynamics.begin(), dynamics.end());
  if (!ListCode(memory, dynamics, &code)) return false;
  auto view = std::make_unique<UnwindView>(publication);
  Update(memory, std::move(code), view.get());
  const auto shows = [&](const UnwindView& other) {
    return view->entries() == other.entries() && view->other_code() == other.other_code();
  };
  if (shows(root_)) {
    const bool changed = child->view != nullptr;
    DropView(child);
    return changed;
  }
  if (child->view != nullptr && shows(*child->view)) return false;
  DropView(child);
  child->view = std::move(view);
  return true;
}

void UnwindTables::DropView(Child* child) {
  if (child->view == nullptr) return;
  // The place may be another process's by now, which then starts with the root's index as well.
  Retire(child->view->Unpublish());
  child->view.reset();
}

// Also for children that FindChildren has not met yet: the first samples are soon missed.
void UnwindTables::BuildMissedOfChildren(UnwindBuildTools* tools) {
  for (uint32_t slot = 0; slot < ChildrenEnd(); ++slot) {
    UnwindPublication& publication = share_->children[slot];
    if (publication.pid() == 0 || !publication.misses().any()) continue;
    const auto child = children_.find(slot);
    if (child == children_.end() || child->second.view == nullptr) {
      BuildMissedOf(publication, root_, memory_, tools);
    } else {
      BuildMissedOf(publication, *child->second.view, ProcessMemory(child->second.pid), tools);
    }
  }
}

}  // namespace sonde
