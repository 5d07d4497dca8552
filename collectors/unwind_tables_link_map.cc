// SPDX-License-Identifier: Apache-2.0
#include "collectors/unwind_tables_link_map.h"

#include <link.h>

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

uint64_t Address(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

// A list that is being changed may have a loop: the mark, moved ever less often, is met again.
void WalkNamespace(const ProcessMemory& memory, uint64_t first, std::vector<uint64_t>* dynamics,
                   WordHash* hash) {
  uint64_t mark = 0;
  int next_mark = 1;
  uint64_t at = first;
  for (int count = 0; at != 0 && at != mark && count < kMaxObjects; ++count) {
    Node node;
    if (!memory.ReadObject(at, &node)) break;
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
uint64_t NextNamespace(const ProcessMemory& memory, const r_debug& debug, uint64_t address) {
  uint64_t next = 0;
  if (debug.r_version < kFirstVersionWithNamespaces) return 0;
  return memory.ReadObject(address + sizeof(r_debug), &next) ? next : 0;
}

}  // namespace

uint64_t ReadLinkMaps(const ProcessMemory& memory, std::vector<uint64_t>* dynamics) {
  WordHash hash;
  uint64_t address = Address(&_r_debug);
  for (int count = 0; address != 0 && count < kMaxNamespaces; ++count) {
    r_debug debug;
    if (!memory.ReadObject(address, &debug)) break;
    WalkNamespace(memory, Address(debug.r_map), dynamics, &hash);
    address = NextNamespace(memory, debug, address);
  }
  return hash.value();
}

}  // namespace sonde
