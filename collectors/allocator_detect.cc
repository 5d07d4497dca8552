// SPDX-License-Identifier: Apache-2.0
#include "collectors/allocator_detect.h"

#include <algorithm>
#include <array>
#include <optional>

namespace sonde {
namespace {

// A function by which an allocator can be told, and perhaps asked.
struct Mark {
  AllocatorKind kind;
  std::string_view symbol;
  bool is_statistics;
};
constexpr std::array kMarks = {
    Mark{AllocatorKind::kJemalloc, "mallctl", true},
    Mark{AllocatorKind::kJemalloc, "je_mallctl", true},
    Mark{AllocatorKind::kJemalloc, "_rjem_mallctl", true},
    Mark{AllocatorKind::kGperftools, "MallocExtension_GetNumericProperty", true},
    Mark{AllocatorKind::kGperftools, "tc_malloc", false},
    Mark{AllocatorKind::kGoogleTcmalloc, "MallocExtension_Internal_GetNumericProperty", true},
    Mark{AllocatorKind::kGoogleTcmalloc, "TCMalloc_Internal_GetStats", false},
    Mark{AllocatorKind::kMimalloc, "mi_process_info", true},
    Mark{AllocatorKind::kMimalloc, "mi_malloc", false},
    Mark{AllocatorKind::kGlibc, "__libc_malloc", false},
};

DetectedAllocator Ours(const LinkedObject& object) {
  DetectedAllocator found;
  found.kind = AllocatorKind::kOurs;
  found.object = object.name;
  found.serves_malloc = true;
  return found;
}

std::string NameOf(const LinkedObject& object) {
  return object.name.empty() ? "the program" : object.name;
}

// gperftools stands in for glibc's own names too, so __libc_malloc decides only where nothing else
// does, and never in the program: one that has glibc in it loads no library.
std::optional<DetectedAllocator> LookInto(const LinkedObjects& objects,
                                          const LinkedObject& object) {
  for (const Mark& mark : kMarks) {
    if (mark.kind == AllocatorKind::kGlibc && object.name.empty()) continue;
    const auto address = objects.Find(object, mark.symbol);
    if (!address) continue;
    DetectedAllocator found;
    found.kind = mark.kind;
    found.object = NameOf(object);
    if (mark.is_statistics) found.statistics = *address;
    return found;
  }
  return std::nullopt;
}

void AddHidden(const std::vector<AllocatorKind>& kinds, std::vector<DetectedAllocator>* all) {
  for (const AllocatorKind kind : kinds) {
    const auto same = std::find_if(all->begin(), all->end(), [kind](const DetectedAllocator& one) {
      return one.object == "the program" && (one.kind == kind || one.kind == AllocatorKind::kOther);
    });
    if (same == all->end()) {
      DetectedAllocator hidden;
      hidden.kind = kind;
      hidden.object = "the program";
      hidden.hidden = true;
      all->push_back(hidden);
    } else if (same->kind == AllocatorKind::kOther) {
      same->kind = kind;
      same->hidden = true;
    }
  }
}

}  // namespace

std::string_view AllocatorKindName(AllocatorKind kind) {
  switch (kind) {
    case AllocatorKind::kGlibc:
      return "glibc";
    case AllocatorKind::kJemalloc:
      return "jemalloc";
    case AllocatorKind::kGperftools:
      return "tcmalloc (gperftools)";
    case AllocatorKind::kGoogleTcmalloc:
      return "tcmalloc (google)";
    case AllocatorKind::kMimalloc:
      return "mimalloc";
    case AllocatorKind::kOurs:
      return "sonde-tcmalloc";
    case AllocatorKind::kOther:
      break;
  }
  return "an unknown allocator";
}

DetectedAllocators AllocatorDetector::Detect() {
  DetectedAllocators out;
  const LinkedObjects objects(memory_);
  bool served = false, seen_ours = false;
  for (const LinkedObject& object : objects.objects()) {
    seen_ours |= object.is_ours;
    const bool defines = objects.Find(object, "malloc").has_value();
    if (object.is_ours) {
      out.hooked = defines;
      if (ours_serves_) out.all.push_back(Ours(object));
      served |= ours_serves_;
      continue;
    }
    // The loader has a malloc of its own, for the time before libc's.
    auto found = LookInto(objects, object);
    if (!found && defines && object.name.find("/ld-linux") == std::string::npos) {
      found.emplace();
      found->object = NameOf(object);
    }
    if (!found) continue;
    found->serves_malloc = defines && !served;
    if (found->serves_malloc) out.hooks_bypassed = !seen_ours;
    served |= defines;
    out.all.push_back(*found);
  }
  AddHidden(HiddenInProgram(), &out.all);
  std::stable_sort(out.all.begin(), out.all.end(),
                   [](const DetectedAllocator& a, const DetectedAllocator& b) {
                     return a.serves_malloc > b.serves_malloc;
                   });
  return out;
}

const LinkedObject* ObjectOf(const LinkedObjects& objects, const DetectedAllocator& allocator) {
  return objects.Named(allocator.object == kTheProgram ? std::string_view() : allocator.object);
}

std::string Describe(const DetectedAllocator& allocator) {
  std::string text(AllocatorKindName(allocator.kind));
  text += " in " + allocator.object;
  if (allocator.serves_malloc) text += ", serves malloc";
  if (allocator.hidden) text += ", its own functions hidden";
  return text;
}

std::vector<std::string> NotCoveredSentences(const DetectedAllocators& detected) {
  std::vector<std::string> sentences;
  for (const DetectedAllocator& one : detected.all) {
    if (one.samples_unseen) {
      sentences.push_back(Describe(one) +
                          ": the hooks do not see its calls; the heap profile has its own samples, "
                          "without ages, peak and the last minutes");
      continue;
    }
    const std::string name(AllocatorKindName(one.kind));
    if (one.serves_malloc && detected.hooks_bypassed) {
      sentences.push_back("malloc goes to " + name + " in " + one.object +
                          ", which the loader searches before libsonde.so: allocations are not " +
                          (one.object == kTheProgram ? "seen"
                                                     : "seen; name libsonde.so first in "
                                                       "LD_PRELOAD") +
                          (one.samples_why_not.empty() ? "" : "; " + one.samples_why_not));
    }
    if (one.hidden) {
      sentences.push_back(name +
                          " is linked into the program and exports none of its functions, as it "
                          "would with -rdynamic: what it holds is not covered");
    }
  }
  return sentences;
}

}  // namespace sonde
