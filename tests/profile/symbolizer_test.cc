// SPDX-License-Identifier: Apache-2.0
// The oracles are binutils: nm for names and sizes, addr2line for addresses, objdump for the PLT.
#include "profile/symbolizer.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "profile/demangle.h"
#include "profile/hex.h"
#include "tests/profile/test_util.h"

namespace sonde {
namespace {

constexpr char kLibc[] = "/usr/lib/x86_64-linux-gnu/libc.so.6";
constexpr char kLibstdcxx[] = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6";

bool ReadOwnMemory(uint64_t address, void* out, size_t size) {
  memcpy(out, reinterpret_cast<const void*>(address), size);
  return true;
}

// The code segment of an object, as if it were loaded `bias` above its link-time addresses.
Mapping MapAsLoaded(const std::string& path, uint64_t bias) {
  auto elf = ElfFile::Open(std::move(*OpenFile(path)));
  Mapping mapping;
  mapping.path = path;
  for (const ElfSegment& segment : (*elf)->segments()) {
    if (!segment.executable) continue;
    mapping.start = bias + segment.address;
    mapping.limit = mapping.start + segment.file_size;
    mapping.offset = segment.offset;
  }
  return mapping;
}

struct NmSymbol {
  uint64_t address = 0;
  uint64_t size = 0;
  char type = ' ';
  std::string name;
};

// Functions with a size; `flags` chooses the table (-D: dynamic).
std::vector<NmSymbol> Nm(const std::string& flags, const std::string& path) {
  std::vector<NmSymbol> symbols;
  for (const std::string& line :
       SplitLines(RunCommand("nm -S --defined-only " + flags + " " + path))) {
    std::istringstream in(line);
    std::string address, size, type, name;
    in >> address >> size >> type >> name;
    if (name.empty() || std::string("tTwWiuV").find(type) == std::string::npos) continue;
    name = name.substr(0, name.find('@'));
    symbols.push_back({*ParseHex(address), *ParseHex(size), type[0], name});
  }
  return symbols;
}

// Every address of every function must be given a name that nm knows for exactly that place.
void ExpectNamesOfNm(const std::string& flags, const std::string& path, size_t at_least) {
  constexpr uint64_t kBias = 0x7f1200000000;
  const Mapping mapping = MapAsLoaded(path, kBias);
  std::map<uint64_t, std::set<std::string>> names;
  const auto symbols = Nm(flags, path);
  for (const NmSymbol& s : symbols) names[s.address].insert(Demangle(s.name));
  Symbolizer symbolizer({});
  size_t checked = 0;
  for (const NmSymbol& s : symbols) {
    if (!mapping.Contains(kBias + s.address) || s.size == 0) continue;
    for (const uint64_t at : {s.address, s.address + s.size / 2, s.address + s.size - 1}) {
      const Symbol got = symbolizer.Lookup(mapping, kBias + at);
      ASSERT_FALSE(got.name.empty()) << s.name << " " << Hex(at);
      EXPECT_EQ(got.module_address, at);
      EXPECT_LE(got.start, kBias + at);
      EXPECT_GT(got.start + got.size, kBias + at);
      EXPECT_TRUE(names[got.start - kBias].count(got.name)) << got.name << " for " << s.name;
    }
    ++checked;
  }
  EXPECT_GE(checked, at_least);
}

TEST(Symbolizer, AgreesWithNmOnEveryFunctionOfLibc) { ExpectNamesOfNm("-D", kLibc, 2000); }
TEST(Symbolizer, AgreesWithNmOnEveryFunctionOfLibstdcxx) {
  ExpectNamesOfNm("-D", kLibstdcxx, 4000);
}
TEST(Symbolizer, AgreesWithNmOnAPie) { ExpectNamesOfNm("", SAMPLE_PIE, 8); }
TEST(Symbolizer, AgreesWithNmOnAProgramThatIsNoPie) { ExpectNamesOfNm("", SAMPLE_NO_PIE, 8); }

// Every 7th byte of every function through both; only what addr2line can name counts. Without debug
// information, or addr2line would tell the inlined function, which has no symbol.
void ExpectNamesOfAddr2line(const std::string& path) {
  const Mapping mapping = MapAsLoaded(path, 0);
  std::string input;
  std::vector<uint64_t> addresses;
  const auto symbols = Nm("", path);
  for (const NmSymbol& s : symbols) {
    if (!mapping.Contains(s.address)) continue;
    for (uint64_t at = s.address; at < s.address + s.size; at += 7) addresses.push_back(at);
  }
  for (const uint64_t at : addresses) input += Hex(at) + "\n";
  const TempFile file(input);
  const TempFile plain("");
  RunCommand("strip -g -o " + plain.path() + " " + path);
  const auto lines =
      SplitLines(RunCommand("addr2line -f -e " + plain.path() + " < " + file.path()));
  ASSERT_EQ(lines.size(), 2 * addresses.size());
  Symbolizer symbolizer({});
  size_t equal = 0;
  for (size_t i = 0; i < addresses.size(); ++i) {
    const std::string want = Demangle(lines[2 * i]);
    if (want == "??") continue;
    const std::string got = symbolizer.Lookup(mapping, addresses[i]).name;
    // Both aliases of one function are right.
    EXPECT_TRUE(got == want || (got == "public_name" && want == "__internal_name")) << got << want;
    equal += got == want ? 1 : 0;
  }
  EXPECT_GT(equal, 50u);
}

TEST(Symbolizer, AgreesWithAddr2lineOnAPie) { ExpectNamesOfAddr2line(SAMPLE_PIE); }
TEST(Symbolizer, AgreesWithAddr2lineOnAProgramThatIsNoPie) {
  ExpectNamesOfAddr2line(SAMPLE_NO_PIE);
}

class SampleProgram : public testing::Test {
 protected:
  uint64_t AddressOf(const std::string& name) {
    for (const std::string& line : SplitLines(RunCommand("nm " + path_))) {
      if (line.size() > 19 && line.substr(19) == name) return *ParseHex(line.substr(0, 16));
    }
    throw std::runtime_error("nm does not know " + name);
  }
  Symbol At(uint64_t address) { return symbolizer_.Lookup(mapping_, address); }

  const std::string path_ = SAMPLE_PIE;
  const Mapping mapping_ = MapAsLoaded(path_, 0);
  Symbolizer symbolizer_{{}};
};

TEST_F(SampleProgram, TheGlobalNameWithFewestUnderscoresWins) {
  ASSERT_EQ(AddressOf("public_name"), AddressOf("__internal_name"));
  EXPECT_EQ(At(AddressOf("public_name") + 1).name, "public_name");
}

TEST_F(SampleProgram, CxxNamesAreDemangled) {
  EXPECT_EQ(At(AddressOf("main")).name, "main");
  const Symbol handle = At(
      AddressOf("_ZN4shop6Router6HandleERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"));
  EXPECT_EQ(handle.name.find("shop::Router::Handle("), 0u) << handle.name;
}

TEST_F(SampleProgram, AssemblyWithoutSizeReachesToTheNextSymbol) {
  const uint64_t label = AddressOf("plain_label");
  const uint64_t typed = AddressOf("typed_without_size");
  EXPECT_EQ(At(label).name, "plain_label");
  EXPECT_EQ(At(typed - 1).name, "plain_label");
  EXPECT_EQ(At(label).size, typed - label);
  EXPECT_EQ(At(typed + 4).name, "typed_without_size");
}

TEST_F(SampleProgram, AnAddressBehindAFunctionIsNotTakenForIt) {
  // Padding between two sized functions belongs to neither.
  auto functions = Nm("", path_);
  std::sort(functions.begin(), functions.end(),
            [](const NmSymbol& a, const NmSymbol& b) { return a.address < b.address; });
  size_t gaps = 0;
  for (size_t i = 0; i + 1 < functions.size(); ++i) {
    const uint64_t end = functions[i].address + functions[i].size;
    if (functions[i].size == 0 || functions[i + 1].address <= end || functions[i + 1].size == 0)
      continue;
    if (functions[i].name == "_start" || functions[i].name == "_init") continue;
    const Symbol got = At(end);
    EXPECT_NE(got.name, Demangle(functions[i].name));
    ++gaps;
  }
  EXPECT_GT(gaps, 0u);
}

TEST_F(SampleProgram, PltEntriesHaveTheNamesThatObjdumpGivesThem) {
  size_t checked = 0;
  for (const std::string& line : SplitLines(RunCommand("objdump -d " + path_))) {
    const size_t open = line.find('<');
    const size_t at = line.find("@plt>:");
    if (open == std::string::npos || at == std::string::npos || line[0] == ' ') continue;
    const uint64_t address = *ParseHex(line.substr(0, line.find(' ')));
    EXPECT_EQ(At(address + 5).name, Demangle(line.substr(open + 1, at - open - 1)) + "@plt");
    ++checked;
  }
  EXPECT_GE(checked, 5u);
}

TEST_F(SampleProgram, TheRunTimeStartIsThatOfTheLoadedFunction) {
  const Mapping loaded = MapAsLoaded(path_, 0x555500000000);
  const uint64_t main = 0x555500000000 + AddressOf("main");
  const Symbol symbol = symbolizer_.Lookup(loaded, main + 3);
  EXPECT_EQ(symbol.start, main);
  EXPECT_EQ(symbol.module_address, AddressOf("main") + 3);
  EXPECT_EQ(symbol.module, path_);
}

TEST(Symbolizer, NamesTheCodeOfThisVeryProcess) {
  Symbolizer symbolizer({});
  const auto mappings = ReadMapsOfPid(getpid())->mappings;
  const auto name = [&](uint64_t address) {
    for (const Mapping& m : mappings) {
      if (m.Contains(address)) return symbolizer.Lookup(m, address).name;
    }
    return std::string("unmapped");
  };
  EXPECT_EQ(name(reinterpret_cast<uint64_t>(dlsym(RTLD_DEFAULT, "qsort"))), "qsort");
  EXPECT_EQ(name(reinterpret_cast<uint64_t>(dlsym(RTLD_DEFAULT, "malloc"))), "malloc");
  EXPECT_EQ(name(reinterpret_cast<uint64_t>(&RunCommand)).find("sonde::RunCommand("), 0u);
}

TEST(Symbolizer, NamesTheVdsoFromMemory) {
  SymbolizerOptions options;
  options.memory = ReadOwnMemory;
  Symbolizer symbolizer(std::move(options));
  const auto table = ReadMapsOfPid(getpid());
  for (const Mapping& m : table->mappings) {
    if (m.path != "[vdso]") continue;
    std::set<std::string> names;
    for (uint64_t at = m.start; at < m.limit; at += 4) names.insert(symbolizer.Lookup(m, at).name);
    EXPECT_TRUE(names.count("clock_gettime") || names.count("__vdso_clock_gettime"));
    return;
  }
  FAIL() << "no vdso";
}

TEST(Symbolizer, UnknownPlacesHaveNoNameButTheirModule) {
  Symbolizer symbolizer({});
  Mapping mapping = MapAsLoaded(kLibc, 0);
  const Symbol outside = symbolizer.Lookup(mapping, mapping.limit + 10);
  EXPECT_TRUE(outside.name.empty());
  EXPECT_EQ(outside.module, kLibc);
  mapping.path = "/no/such/file";
  EXPECT_TRUE(symbolizer.Lookup(mapping, mapping.start).name.empty());
  ASSERT_EQ(symbolizer.problems().size(), 1u);
  EXPECT_EQ(symbolizer.problems()[0], "/no/such/file: cannot open: no such file");
}

TEST(Symbolizer, AFileWithAnotherBuildIdThanTheLoadedOneIsNotUsed) {
  Symbolizer symbolizer({});
  Mapping mapping = MapAsLoaded(kLibc, 0);
  mapping.build_id = "0123";
  EXPECT_TRUE(symbolizer.Lookup(mapping, mapping.start + 4096).name.empty());
  ASSERT_EQ(symbolizer.problems().size(), 1u);
  EXPECT_NE(symbolizer.problems()[0].find("loaded 0123: not used"), std::string::npos);
}

TEST(Symbolizer, ADeletedFileIsNotMistakenForTheOneInItsPlace) {
  Symbolizer symbolizer({});
  Mapping mapping = MapAsLoaded(kLibc, 0);
  mapping.deleted = true;
  EXPECT_TRUE(symbolizer.Lookup(mapping, mapping.start + 4096).name.empty());
}

TEST(Symbolizer, TheCallerMayBringTheBytesOfADeletedFile) {
  SymbolizerOptions options;
  options.open = [](const Mapping&) { return OpenFile(SAMPLE_PIE); };
  Symbolizer symbolizer(std::move(options));
  Mapping mapping = MapAsLoaded(SAMPLE_PIE, 0);
  mapping.path = "/gone";
  mapping.deleted = true;
  size_t named = 0;
  for (uint64_t at = mapping.start; at < mapping.limit; at += 16) {
    named += symbolizer.Lookup(mapping, at).name.empty() ? 0 : 1;
  }
  EXPECT_GT(named, 10u);
}

TEST(Symbolizer, SeparateDebugFilesAreFoundByBuildId) {
  char directory[] = "/tmp/sonde_debug_XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string root = directory;
  auto elf = ElfFile::Open(std::move(*OpenFile(SAMPLE_PIE)));
  const std::string id = (*elf)->build_id();
  RunCommand("mkdir -p " + root + "/d/" + id.substr(0, 2) + " && objcopy --only-keep-debug " +
             SAMPLE_PIE + " " + root + "/d/" + id.substr(0, 2) + "/" + id.substr(2) + ".debug" +
             " && strip -o " + root + "/stripped " + SAMPLE_PIE);
  const uint64_t main = [] {
    for (const NmSymbol& s : Nm("", SAMPLE_PIE)) {
      if (s.name == "main") return s.address;
    }
    return uint64_t{0};
  }();
  const Mapping mapping = MapAsLoaded(root + "/stripped", 0);
  SymbolizerOptions options;
  options.debug_root = "";
  EXPECT_EQ(Symbolizer(options).Lookup(mapping, main).name, "");
  options.debug_root = root + "/d";
  EXPECT_EQ(Symbolizer(options).Lookup(mapping, main).name, "main");
  RunCommand("rm -r " + root);
}

// A table of 64 entries must give the same answers as one that holds everything, only more slowly.
TEST(Symbolizer, ATableThatIsTooSmallMovesItsWindowAndGivesTheSameNames) {
  auto elf = ElfFile::Open(std::move(*OpenFile(kLibstdcxx)));
  SymbolIndex large(**elf, 1000000);
  SymbolIndex small(**elf, 700);
  const Mapping mapping = MapAsLoaded(kLibstdcxx, 0);
  size_t named = 0;
  for (uint64_t at = mapping.start; at < mapping.limit; at += 1009) {
    const auto want = large.Find(at);
    const auto got = small.Find(at);
    ASSERT_EQ(want.has_value(), got.has_value()) << Hex(at);
    if (!want) continue;
    EXPECT_EQ(want->address, got->address);
    EXPECT_EQ(large.Name(*want), small.Name(*got));
    ++named;
  }
  EXPECT_GT(named, 500u);
  EXPECT_GT(large.entry_count(), 4000u);
  EXPECT_LE(small.entry_count(), 700u);
}

TEST(Symbolizer, StaysWithinItsMemoryAndGoesOnAnswering) {
  SymbolizerOptions options;
  options.max_index_bytes = 64 << 10;
  options.max_name_bytes = 8 << 10;
  options.max_objects = 2;
  Symbolizer symbolizer(options);
  size_t named = 0;
  for (int round = 0; round < 3; ++round) {
    for (const char* path : {kLibc, kLibstdcxx, SAMPLE_PIE, SAMPLE_NO_PIE}) {
      const Mapping mapping = MapAsLoaded(path, 0);
      for (const NmSymbol& s : Nm(path[1] == 'u' ? "-D" : "", path)) {
        if (s.address % 5 != 0 || !mapping.Contains(s.address)) continue;
        named += symbolizer.Lookup(mapping, s.address).name.empty() ? 0 : 1;
        ASSERT_LE(symbolizer.memory_bytes(), options.max_index_bytes + options.max_name_bytes);
      }
    }
  }
  EXPECT_GT(named, 1000u);
  symbolizer.Forget();
  EXPECT_EQ(symbolizer.memory_bytes(), 0u);
}

}  // namespace
}  // namespace sonde
