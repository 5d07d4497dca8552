// SPDX-License-Identifier: Apache-2.0
// Exports what gperftools' tcmalloc does, as far as the agent looks at it, and serves malloc by
// glibc's own. It says that it samples, and has one sample of 7 bytes. With one of WRONG_*
// something is not as it should be, and to ask for the sample ends the process.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <new>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);

void* malloc(size_t size) { return __libc_malloc(size); }
void* calloc(size_t count, size_t size) { return __libc_calloc(count, size); }
void* realloc(void* block, size_t size) { return __libc_realloc(block, size); }
void* memalign(size_t alignment, size_t size) { return __libc_memalign(alignment, size); }
void* aligned_alloc(size_t alignment, size_t size) { return __libc_memalign(alignment, size); }
void free(void* block) { __libc_free(block); }

size_t tc_malloc_size(void* /*block*/) { return 5 * sizeof(uint64_t); }
size_t tc_nallocx(size_t size, int /*flags*/) { return size; }
void tc_deletearray(void* block) { __libc_free(block); }
void* tc_malloc(size_t size) { return __libc_malloc(size); }
void* tc_newarray(size_t size) { return __libc_malloc(size); }
void* tc_newarray_nothrow(size_t size, const std::nothrow_t& /*unused*/) {
  return __libc_malloc(size);
}
void MallocExtension_MarkThreadIdle() {}

int MallocExtension_GetNumericProperty(const char* name, size_t* value) {
  if (strcmp(name, "generic.current_allocated_bytes") != 0) return 0;
  *value = 7;
  return 1;
}

int GetStackTrace(void** /*frames*/, int /*depth*/, int /*skip*/) asm("_Z13GetStackTracePPvii");
int GetStackTrace(void** /*frames*/, int /*depth*/, int /*skip*/) { return 0; }
int64_t sample_parameter asm(
    "_ZN61FLAG__namespace_do_not_use_directly_use_DECLARE_int64_instead31FLAGS_tcmalloc_sample_"
    "parameterE") = 1;

void* BaseRead(void*, int*) asm("_ZN15MallocExtension15ReadStackTracesEPi");
void* BaseRead(void* /*self*/, int* /*period*/) { return nullptr; }

void* Read(void* /*self*/, int* period) {
#ifndef WRONG_NONE
  abort();
#endif
  *period = 1;
  static constexpr uint64_t kTraces[] = {1, 7, 1, 0x1234, 0};
  return memcpy(__libc_malloc(sizeof(kTraces)), kTraces, sizeof(kTraces));
}
#ifdef WRONG_RESOLVER
using ReadFunction = void*(void*, int*);
ReadFunction* ResolveRead() { return &Read; }
void* IndirectRead(void*, int*) asm("_ZN22TCMallocImplementation15ReadStackTracesEPi")
    __attribute__((ifunc("ResolveRead")));
#define READ IndirectRead
#else
void* NamedRead(void*, int*) asm("_ZN22TCMallocImplementation15ReadStackTracesEPi");
void* NamedRead(void* self, int* period) { return Read(self, period); }
#define READ NamedRead
#endif
}  // extern "C"

#ifdef WRONG_NEW
void* operator new[](size_t size) { return __libc_malloc(size + 0); }
#else
void* NewArray(size_t) asm("_Znam") __attribute__((alias("tc_newarray")));
#endif
void* NewArrayNothrow(size_t, const std::nothrow_t&) asm("_ZnamRKSt9nothrow_t")
    __attribute__((alias("tc_newarray_nothrow")));

#ifdef WRONG_WRITABLE
#define TABLE const void*
#else
#define TABLE const void* const
#endif

// Two words of head, two functions.
extern "C" {
void Other() {}
extern const void* const base_table[4] asm("_ZTV15MallocExtension");
extern TABLE table[] asm("_ZTV22TCMallocImplementation");
#define FUNCTION(name) reinterpret_cast<const void*>(&name)
#ifdef WRONG_ELSEWHERE
const void* const base_table[4] = {nullptr, nullptr, FUNCTION(BaseRead), FUNCTION(Other)};
#else
const void* const base_table[4] = {nullptr, nullptr, FUNCTION(Other), FUNCTION(BaseRead)};
#endif
#if defined(WRONG_TWICE)
TABLE table[] = {nullptr, nullptr, FUNCTION(READ), FUNCTION(READ)};
#elif defined(WRONG_SHORT)
TABLE table[] = {nullptr, nullptr, FUNCTION(Other)};
#else
TABLE table[] = {nullptr, nullptr, FUNCTION(Other), FUNCTION(READ)};
#endif

#ifdef WRONG_FOREIGN
const void* const* g_extension = base_table + 2;
#else
const void* const* g_extension = table + 2;
#endif
void* Instance() asm("_ZN15MallocExtension8instanceEv");
void* Instance() { return &g_extension; }
}
