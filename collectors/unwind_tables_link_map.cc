// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_link_map.h"

#include <link.h>
#include <string.h>

#include "collectors/unwind_tables_hash.h"

namespace sonde {
namespace {

// Objects of one namespace, and namespaces. glibc has room for 16 of these.
constexpr int kMaxObjects = 8192;
constexpr int kMaxNamespaces = 64;
constexpr int kFirstVersionWithNamespaces = 2;

// The part of link_map that is documented for debuggers.
struct Node {
  uint64_t base;
  uint64_t name;
  uint64_t dynamic;
  uint64_t next;
  uint64_t previous;
};

// The loader allocates nodes one after the other: a page read for one often holds the next.
class PageReader {
 public:
  explicit PageReader(const ProcessMemory& memory) : memory_(memory) {}

  template <typename T>
  bool Read(uint64_t address, T* out) {
    const uint64_t in_page = address % sizeof(bytes_);
    if (in_page + sizeof(*out) > sizeof(bytes_)) return memory_.ReadObject(address, out);
    if (address - in_page != page_ && !Fetch(address - in_page)) return false;
    memcpy(out, bytes_ + in_page, sizeof(*out));
    return true;
  }

 private:
  bool Fetch(uint64_t page) {
    page_ = memory_.ReadObject(page, &bytes_) ? page : kNoPage;
    return page_ == page;
  }

  static constexpr uint64_t kNoPage = 1;
  const ProcessMemory& memory_;
  uint64_t page_ = kNoPage;
  uint8_t bytes_[4096];
};

uint64_t Address(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

// A list that is being changed may have a loop: the mark, moved ever less often, is met again.
void WalkNamespace(PageReader& memory, uint64_t first, std::vector<uint64_t>* dynamics,
                   WordHash* hash) {
  uint64_t mark = 0;
  int next_mark = 1;
  uint64_t at = first;
  for (int count = 0; at != 0 && at != mark && count < kMaxObjects; ++count) {
    Node node;
    if (!memory.Read(at, &node)) break;
    hash->Add(at);
    hash->Add(&node, sizeof(node));
    if (dynamics != nullptr) dynamics->push_back(node.dynamic);
    if (count == next_mark) {
      mark = at;
      next_mark *= 2;
    }
    at = node.next;
  }
}

// From glibc 2.35 on, what follows an r_debug of version 2 is the address of the next namespace's.
uint64_t NextNamespace(PageReader& memory, const r_debug& debug, uint64_t address) {
  uint64_t next = 0;
  if (debug.r_version < kFirstVersionWithNamespaces) return 0;
  return memory.Read(address + sizeof(r_debug), &next) ? next : 0;
}

}  // namespace

uint64_t ReadLinkMaps(const ProcessMemory& memory, std::vector<uint64_t>* dynamics) {
  WordHash hash;
  PageReader pages(memory);
  uint64_t address = Address(&_r_debug);
  for (int count = 0; address != 0 && count < kMaxNamespaces; ++count) {
    r_debug debug;
    if (!pages.Read(address, &debug)) break;
    WalkNamespace(pages, Address(debug.r_map), dynamics, &hash);
    address = NextNamespace(pages, debug, address);
  }
  return hash.value();
}

}  // namespace sonde
