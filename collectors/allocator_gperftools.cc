// SPDX-License-Identifier: Apache-2.0
#include "collectors/allocator_gperftools.h"

#include <elf.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr std::string_view kImplementation = "_ZTV22TCMallocImplementation";
constexpr std::string_view kDebugImplementation = "_ZTV25DebugMallocImplementation";
constexpr std::string_view kBase = "_ZTV15MallocExtension";
// Ahead of a table's functions: the offset to the object's top, and the type's description.
constexpr uint64_t kTableHeadBytes = 16;
constexpr uint64_t kMaxTableBytes = 1024;
// A copy, and at most 3 + 31 words of the list. Twice: both grow by steps.
constexpr uint64_t kBytesASample = 2 * (272 + 34 * 8);
constexpr uint64_t kSpareBytes = uint64_t{4} << 20;

// The interfaces as gperftools' headers give them.
using Instance = void* (*)();
using ReadStackTraces = void** (*)(void* self, int* sample_period);
using DeleteArray = void (*)(void*);
using MallocSize = size_t (*)(void*);
using MarkIdle = void (*)();
using Allocated = size_t (*)(size_t, int);
using NumericProperty = int (*)(const char*, size_t*);

template <typename Function>
Function At(uint64_t address) {
  return reinterpret_cast<Function>(address);
}

// What may lie between the call and the sample, in a program; of a library all of its code.
constexpr std::array<std::string_view, 12> kLeafFunctions = {
    "_ZN8tcmalloc24allocate_full_malloc_oomEm",
    "_ZN8tcmalloc27allocate_full_cpp_throw_oomEm",
    "_ZN8tcmalloc29allocate_full_cpp_nothrow_oomEm",
    "tc_malloc",
    "tc_calloc",
    "tc_realloc",
    "tc_memalign",
    "tc_posix_memalign",
    "tc_new",
    "tc_newarray",
    "tc_new_aligned",
    "tc_newarray_aligned"};

// A list that must be given back, whatever its reader throws.
class TraceList {
 public:
  TraceList(void** list, DeleteArray free) : list_(list), free_(free) {}
  ~TraceList() {
    if (list_ != nullptr) free_(list_);
  }
  TraceList(const TraceList&) = delete;
  TraceList& operator=(const TraceList&) = delete;

  [[nodiscard]] std::span<const uint64_t> Words(MallocSize size) const {
    if (list_ == nullptr) return {};
    return {reinterpret_cast<const uint64_t*>(list_), size(list_) / sizeof(uint64_t)};
  }

 private:
  void** const list_;
  const DeleteArray free_;
};

// RLIMIT_AS, RLIMIT_DATA, vm.overcommit_memory and the number of mappings, all by one question.
bool HasRoomFor(uint64_t bytes) {
  const long at =
      sys::Call(SYS_mmap, 0L, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1L, 0L);
  if (sys::Failed(at)) return false;
  sys::Call(SYS_munmap, at, bytes);
  return true;
}

// noexcept: what the host's operator new might throw ends the agent's thread, and goes no further.
void** Ask(ReadStackTraces read, void* self, int* sample_period) noexcept {
  return read(self, sample_period);
}

std::string MiB(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

struct GperftoolsSampling::Wanted {
  std::string_view name;
  uint64_t Functions::*where;
};

GperftoolsSampling::GperftoolsSampling(const ProcessMemory& memory,
                                       const DetectedAllocator& allocator)
    : memory_(memory), objects_(memory), property_(allocator.statistics) {
  const LinkedObject* object = ObjectOf(objects_, allocator);
  const auto interval =
      object == nullptr ? std::nullopt : Flag(*object, "31FLAGS_tcmalloc_sample_parameter");
  if (!interval || property_ == 0) {
    why_not_ = "it does not export what its own sampling is set by";
  } else if (*interval <= 0) {
    why_not_ = objects_.Find(*object, "_Z13GetStackTracePPvii")
                   ? "its own sampling is off, which TCMALLOC_SAMPLE_PARAMETER=524288 would "
                     "switch on"
                   : "it was built without sampling, as libtcmalloc_minimal is";
  } else {
    interval_bytes_ = *interval;
    large_report_bytes_ =
        Flag(*object, "43FLAGS_tcmalloc_large_alloc_report_threshold").value_or(0);
    heap_limit_mib_ = Flag(*object, "28FLAGS_tcmalloc_heap_limit_mb").value_or(0);
    FindFunctions(*object);
    if (why_not_.empty()) CheckTables(*object);
    if (why_not_.empty()) FindOwnCode(*object);
  }
}

// int64_t was int64 before 2.16, and both are a part of the name.
std::optional<int64_t> GperftoolsSampling::Flag(const LinkedObject& object,
                                                std::string_view name) const {
  for (const char* space :
       {"_ZN61FLAG__namespace_do_not_use_directly_use_DECLARE_int64_instead",
        "_ZN63FLAG__namespace_do_not_use_directly_use_DECLARE_int64_t_instead"}) {
    const auto flag = objects_.FindSymbol(object, std::string(space) + std::string(name) + "E");
    int64_t value = 0;
    if (flag && flag->size == sizeof(value) && memory_.ReadObject(flag->address, &value))
      return value;
  }
  return std::nullopt;
}

void GperftoolsSampling::FindFunctions(const LinkedObject& object) {
  static constexpr std::array kWanted = {
      Wanted{"_ZN15MallocExtension8instanceEv", &Functions::instance},
      Wanted{"_ZN22TCMallocImplementation15ReadStackTracesEPi", &Functions::read},
      Wanted{"_ZN15MallocExtension15ReadStackTracesEPi", &Functions::base_read},
      Wanted{"tc_newarray", &Functions::new_array},
      Wanted{"tc_newarray_nothrow", &Functions::new_array_nothrow},
      Wanted{"tc_deletearray", &Functions::delete_array},
      Wanted{"tc_malloc_size", &Functions::malloc_size},
      Wanted{"MallocExtension_MarkThreadIdle", &Functions::mark_idle},
      Wanted{"tc_nallocx", &Functions::nallocx},
  };
  for (const Wanted& wanted : kWanted) {
    const auto function = objects_.FindSymbol(object, wanted.name);
    if (!function && wanted.where == &Functions::nallocx) continue;
    if (!function) {
      why_not_ = "it samples by itself, but does not export " + std::string(wanted.name);
    } else if (function->type != STT_FUNC ||
               !objects_.Holds(object, LinkedObjects::Part::kCode, function->address,
                               std::max<uint64_t>(function->size, 1))) {
      why_not_ = "it samples by itself, but its " + std::string(wanted.name) +
                 " is not a function in its code";
    } else {
      functions_.*wanted.where = function->address;
      continue;
    }
    return;
  }
  if (!HasOwnNew())
    why_not_ =
        "it samples by itself, but operator new[] is not its own: what it returns could not be "
        "freed";
}

// The list comes from operator new[], whichever the loader, or the program's linker, has found.
bool GperftoolsSampling::HasOwnNew() const {
  const auto is_first = [this](std::string_view name, uint64_t expected) {
    for (const LinkedObject& object : objects_.objects()) {
      if (const auto found = objects_.Find(object, name)) return *found == expected;
    }
    return false;
  };
  return is_first("_Znam", functions_.new_array) &&
         is_first("_ZnamRKSt9nothrow_t", functions_.new_array_nothrow);
}

std::optional<GperftoolsSampling::Table> GperftoolsSampling::ReadTable(
    const LinkedObject& object, std::string_view name) const {
  const auto symbol = objects_.FindSymbol(object, name);
  if (!symbol || symbol->size <= kTableHeadBytes || symbol->size > kMaxTableBytes ||
      symbol->size % sizeof(uint64_t) != 0 ||
      !objects_.Holds(object, LinkedObjects::Part::kConstants, symbol->address, symbol->size))
    return std::nullopt;
  Table table{symbol->address + kTableHeadBytes, {}};
  table.functions.resize((symbol->size - kTableHeadBytes) / sizeof(uint64_t));
  if (!memory_.Read(table.first, table.functions.data(), table.functions.size() * sizeof(uint64_t)))
    return std::nullopt;
  return table;
}

// The debugging flavour's class derives from the other, and may or may not be there.
void GperftoolsSampling::CheckTables(const LinkedObject& object) {
  const auto base = ReadTable(object, kBase);
  for (const std::string_view name : {kImplementation, kDebugImplementation}) {
    const auto table = ReadTable(object, name);
    if (!table || !base) continue;
    const auto& all = table->functions;
    const auto slot = std::ranges::find(all, functions_.read) - all.begin();
    const auto index = static_cast<size_t>(slot);
    if (std::ranges::count(all, functions_.read) == 1 && index < base->functions.size() &&
        base->functions[index] == functions_.base_read)
      tables_.push_back(table->first);
  }
  if (tables_.empty())
    why_not_ =
        "it samples by itself, but its tables of virtual functions are not as they are known";
}

void GperftoolsSampling::FindOwnCode(const LinkedObject& object) {
  if (!object.name.empty()) {
    own_code_.push_back(objects_.CodeAround(functions_.read));
    return;
  }
  for (const std::string_view name : kLeafFunctions) {
    const auto function = objects_.FindSymbol(object, name);
    if (function) own_code_.push_back({function->address, function->address + function->size});
  }
}

std::optional<uint64_t> GperftoolsSampling::Property(const char* name) const {
  size_t value = 0;
  if (At<NumericProperty>(property_)(name, &value) == 0) return std::nullopt;
  return value;
}

// Of the samples that there may be, before they are asked for: the expectation of a block of s
// bytes to be one is below s / interval.
std::string GperftoolsSampling::WhyNotNow() const {
  const uint64_t live = Property("generic.current_allocated_bytes").value_or(UINT64_MAX / 2);
  const auto interval = static_cast<uint64_t>(interval_bytes_);
  const uint64_t samples = live / interval;
  if (samples > kMaxSamples) {
    return "there would be about " + std::to_string(samples) +
           " of them, and its lock held too long: expected TCMALLOC_SAMPLE_PARAMETER of at least " +
           std::to_string(live / kMaxSamples + 1);
  }
  const uint64_t bytes = samples * kBytesASample + kSpareBytes;
  if (large_report_bytes_ > 0 && static_cast<uint64_t>(large_report_bytes_) <= bytes)
    return "it would report on stderr that " + MiB(bytes) + " were allocated for them";
  const uint64_t limit = static_cast<uint64_t>(heap_limit_mib_) << 20;
  if (heap_limit_mib_ > 0 && limit < Property("generic.heap_size").value_or(0) + bytes)
    return "TCMALLOC_HEAP_LIMIT_MB leaves no " + MiB(bytes) + " for them";
  if (!HasRoomFor(bytes))
    return "the process has no room for the " + MiB(bytes) + " that they need";
  return {};
}

// 0: an object of a class that is not tcmalloc's.
uint64_t GperftoolsSampling::CheckedInstance() const {
  const auto self = reinterpret_cast<uint64_t>(At<Instance>(functions_.instance)());
  uint64_t table = 0;
  if (self == 0 || !memory_.ReadObject(self, &table)) return 0;
  return std::ranges::find(tables_, table) == tables_.end() ? 0 : self;
}

// The cache that the thread gets with the first call goes back when all are over.
AllocatorSamples GperftoolsSampling::Read() const {
  AllocatorSamples out;
  const uint64_t self = why_not_.empty() ? CheckedInstance() : 0;
  if (!why_not_.empty()) {
    out.problem = why_not_;
  } else if (self == 0) {
    out.problem = "an extension of the program's own stands in tcmalloc's place";
  } else if (out.problem = WhyNotNow(); out.problem.empty()) {
    out = ReadFrom(self);
    At<MarkIdle>(functions_.mark_idle)();
  }
  return out;
}

AllocatorSamples GperftoolsSampling::ReadFrom(uint64_t self) const {
  int interval = 0;
  const TraceList list(
      Ask(At<ReadStackTraces>(functions_.read), reinterpret_cast<void*>(self), &interval),
      At<DeleteArray>(functions_.delete_array));
  if (interval <= 0) {
    AllocatorSamples none;
    none.problem = "its sampling was switched off meanwhile";
    return none;
  }
  return ParseGperftoolsTraces(
      list.Words(At<MallocSize>(functions_.malloc_size)),
      {static_cast<uint64_t>(interval), At<Allocated>(functions_.nallocx), own_code_});
}

}  // namespace sonde
