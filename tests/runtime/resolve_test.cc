// SPDX-License-Identifier: Apache-2.0
#include "agent/runtime/resolve.h"

#include <dlfcn.h>
#include <elf.h>
#include <gtest/gtest.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include <random>
#include <string>
#include <vector>

namespace sonde::runtime {
namespace {

// The last object of the list, opened by the test: nothing comes behind it.
const link_map* Load(const char* path) {
  void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  EXPECT_NE(handle, nullptr) << dlerror();
  link_map* object = nullptr;
  EXPECT_EQ(dlinfo(handle, RTLD_DI_LINKMAP, &object), 0);
  return object;
}

void* Find(const link_map* object, const char* name, const char* version = nullptr) {
  SymbolRequest request = {.name = name, .version = version};
  ResolveFrom(object, {&request, 1});
  return request.address;
}

int Call(void* function) { return reinterpret_cast<int (*)()>(function)(); }

uint64_t DynamicValue(const link_map* object, int64_t tag) {
  for (const ElfW(Dyn)* entry = object->l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == tag) return entry->d_un.d_val;
  }
  return 0;
}

// Names of every function that libc defines, by its own table.
std::vector<std::string> NamesInLibc() {
  const link_map* libc = Load("libc.so.6");
  const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(DynamicValue(libc, DT_SYMTAB));
  const auto* strings = reinterpret_cast<const char*>(DynamicValue(libc, DT_STRTAB));
  std::vector<std::string> names;
  // The string table follows the symbol table in every libc.
  for (const ElfW(Sym)* symbol = symbols + 1; static_cast<const void*>(symbol) < strings;
       ++symbol) {
    const int type = ELF64_ST_TYPE(symbol->st_info);
    if (symbol->st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_GNU_IFUNC)) continue;
    names.emplace_back(strings + symbol->st_name);
  }
  return names;
}

TEST(Resolve, AgreesWithDlsymOnEveryFunctionOfLibc) {
  const std::vector<std::string> names = NamesInLibc();
  ASSERT_GT(names.size(), 2000u);
  for (const std::string& name : names) {
    EXPECT_EQ(NextSymbol(name.c_str()), dlsym(RTLD_NEXT, name.c_str())) << name;
  }
}

TEST(Resolve, FindsNothingThatIsNotThere) {
  EXPECT_EQ(NextSymbol("sonde_no_such_symbol"), nullptr);
  EXPECT_EQ(NextSymbol("poll", "GLIBC_9.9"), nullptr);
}

// In libc itself: a sanitizer's runtime would come first.
TEST(Resolve, TakesTheDefaultVersionUnlessToldOtherwise) {
  const link_map* libc = Load("libc.so.6");
  void* handle = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
  void* current = dlvsym(handle, "pthread_cond_wait", "GLIBC_2.3.2");
  void* old = dlvsym(handle, "pthread_cond_wait", "GLIBC_2.2.5");
  ASSERT_NE(current, nullptr);
  ASSERT_NE(current, old);
  EXPECT_EQ(Find(libc, "pthread_cond_wait"), current);
  EXPECT_EQ(Find(libc, "pthread_cond_wait", "GLIBC_2.3.2"), current);
  EXPECT_EQ(Find(libc, "pthread_cond_wait", "GLIBC_2.2.5"), old);
}

TEST(Resolve, FindsManySymbolsInOnePassAndLeavesWhatIsSet) {
  int mine = 0;
  SymbolRequest requests[] = {{.name = "read"},
                              {.name = "sonde_no_such_symbol"},
                              {.name = "write", .address = &mine},
                              {.name = "close"}};
  ResolveNext(requests);
  EXPECT_EQ(requests[0].address, dlsym(RTLD_NEXT, "read"));
  EXPECT_EQ(requests[1].address, nullptr);
  EXPECT_EQ(requests[2].address, &mine);
  EXPECT_EQ(requests[3].address, dlsym(RTLD_NEXT, "close"));
}

std::string HashStyle(const testing::TestParamInfo<const char*>& info) {
  return info.index == 0 ? "gnu" : "sysv";
}

class FixtureTest : public testing::TestWithParam<const char*> {};

TEST_P(FixtureTest, VersionsKindsAndIndirectFunctions) {
  const link_map* object = Load(GetParam());
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(Call(Find(object, "fixture_call")), 2);
  EXPECT_EQ(Call(Find(object, "fixture_call", "FIXTURE_1")), 1);
  EXPECT_EQ(Call(Find(object, "fixture_call", "FIXTURE_2")), 2);
  EXPECT_EQ(Find(object, "fixture_gone"), nullptr) << "only a hidden version exists";
  EXPECT_EQ(Call(Find(object, "fixture_gone", "FIXTURE_1")), 3);
  EXPECT_EQ(Call(Find(object, "fixture_indirect")), 9);
  EXPECT_EQ(*static_cast<int*>(Find(object, "fixture_data")), 7);
  EXPECT_EQ(Find(object, "fixture_tls"), nullptr) << "an offset is no address";
}

INSTANTIATE_TEST_SUITE_P(HashStyles, FixtureTest, testing::Values(FIXTURE_GNU, FIXTURE_SYSV),
                         HashStyle);

TEST(Resolve, FindsInAnObjectWithoutVersions) {
  const link_map* object = Load(FIXTURE_UNVERSIONED);
  EXPECT_EQ(Call(Find(object, "fixture_call")), 2);
  EXPECT_EQ(Find(object, "fixture_call", "FIXTURE_1"), nullptr);
}

// A copy of a loaded object whose tables can be damaged, with an inaccessible page on either side.
class DamagedCopy {
 public:
  explicit DamagedCopy(const link_map* original) : bytes_(MappedBytes(original)) {
    char* area = static_cast<char*>(mmap(nullptr, bytes_ + 2 * kPage, PROT_NONE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    start_ = area + kPage;
    mprotect(start_, bytes_, PROT_READ | PROT_WRITE);
    memcpy(start_, reinterpret_cast<void*>(original->l_addr), bytes_);
    object_ = *original;
    object_.l_addr = reinterpret_cast<uintptr_t>(start_);
    object_.l_ld =
        reinterpret_cast<ElfW(Dyn)*>(Moved(original, reinterpret_cast<uintptr_t>(original->l_ld)));
    object_.l_next = nullptr;
    for (ElfW(Dyn)* entry = object_.l_ld; entry->d_tag != DT_NULL; ++entry) {
      const uintptr_t value = entry->d_un.d_ptr;
      if (value - original->l_addr < bytes_) entry->d_un.d_ptr = Moved(original, value);
    }
    pristine_.assign(start_, start_ + bytes_);
  }
  ~DamagedCopy() { munmap(start_ - kPage, bytes_ + 2 * kPage); }

  void Repair() { memcpy(start_, pristine_.data(), bytes_); }
  const link_map* object() const { return &object_; }
  // The loader turns most of these values into addresses, and leaves DT_VERDEF as it is in the
  // file.
  char* Table(int64_t tag) const {
    const uint64_t value = DynamicValue(&object_, tag);
    return value != 0 && value < bytes_ ? start_ + value : reinterpret_cast<char*>(value);
  }

 private:
  static constexpr size_t kPage = 4096;

  static size_t MappedBytes(const link_map* object) {
    const auto* header = reinterpret_cast<const ElfW(Ehdr)*>(object->l_addr);
    const auto* segment = reinterpret_cast<const ElfW(Phdr)*>(object->l_addr + header->e_phoff);
    size_t end = 0;
    for (int i = 0; i < header->e_phnum; ++i, ++segment) {
      if (segment->p_type == PT_LOAD) end = segment->p_vaddr + segment->p_memsz;
    }
    return (end + kPage - 1) & ~(kPage - 1);
  }
  uintptr_t Moved(const link_map* original, uintptr_t address) const {
    return address - original->l_addr + reinterpret_cast<uintptr_t>(start_);
  }

  size_t bytes_;
  char* start_;
  link_map object_;
  std::vector<char> pristine_;
};

class DamageTest : public testing::TestWithParam<const char*> {};

TEST_P(DamageTest, NeverReadsOutsideTheObject) {
  DamagedCopy copy(Load(GetParam()));
  ASSERT_NE(Find(copy.object(), "fixture_data", "FIXTURE_2"), nullptr) << "the copy is understood";
  const int64_t hash = copy.Table(DT_GNU_HASH) != nullptr ? DT_GNU_HASH : DT_HASH;
  std::mt19937_64 random(7);
  int unfound = 0;
  for (int round = 0; round < 30'000; ++round) {
    copy.Repair();
    const int64_t tags[] = {hash, hash, DT_STRTAB, DT_VERSYM, DT_VERDEF};
    for (uint64_t change = random() % 4; change != UINT64_MAX; --change) {
      char* table = copy.Table(tags[random() % 5]);
      const uint32_t value =
          static_cast<uint32_t>(random() % 2 == 0 ? random() : UINT32_MAX - random() % 40);
      memcpy(table + random() % 16 * 4, &value, sizeof(value));
    }
    unfound += Find(copy.object(), "fixture_data", "FIXTURE_2") == nullptr;
    unfound += Find(copy.object(), "fixture_data") == nullptr;
  }
  EXPECT_GT(unfound, 1000) << "the damage reached the tables";
}

TEST_P(DamageTest, IgnoresTablesThatLieOutside) {
  DamagedCopy copy(Load(GetParam()));
  for (const int64_t tag :
       {DT_GNU_HASH, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_VERSYM, DT_VERDEF, DT_STRSZ}) {
    copy.Repair();
    for (ElfW(Dyn)* entry = copy.object()->l_ld; entry->d_tag != DT_NULL; ++entry) {
      if (entry->d_tag == tag) entry->d_un.d_val = UINTPTR_MAX - 15;
    }
    if (DynamicValue(copy.object(), tag) == 0) continue;
    EXPECT_EQ(Find(copy.object(), "fixture_data", "FIXTURE_2"), nullptr) << "tag " << tag;
  }
}

INSTANTIATE_TEST_SUITE_P(HashStyles, DamageTest, testing::Values(FIXTURE_GNU, FIXTURE_SYSV),
                         HashStyle);

}  // namespace
}  // namespace sonde::runtime
