// SPDX-License-Identifier: Apache-2.0
// Objects whose file is not what was loaded, and objects without the usual tables: real ones, made
// with the tools that make them.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "profile/mappings.h"
#include "profile/symbolizer.h"

namespace sonde {
namespace {

namespace fs = std::filesystem;

MemoryReader OwnMemory() {
  const int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  return [fd](uint64_t address, void* out, size_t size) {
    return pread(fd, out, size, static_cast<off_t>(address)) == static_cast<ssize_t>(size);
  };
}

class OddObjects : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/sonde-odd-XXXXXX";
    dir_ = mkdtemp(path);
  }
  void TearDown() override { fs::remove_all(dir_); }

  void Shell(const std::string& command) {
    ASSERT_EQ(system(("cd " + dir_ + " && " + command).c_str()), 0) << command;
  }

  // A library with two exported functions and a local one between them.
  void MakeLibrary(const std::string& name, const std::string& prefix, const std::string& flags) {
    std::ofstream(dir_ + "/" + name + ".c")
        << "__attribute__((noinline)) int " << prefix << "_first(int x) { return x * 3; }\n"
        << "__attribute__((noinline)) static int " << prefix
        << "_hidden(int x) { asm volatile(\"\"); return x * 7; }\n"
        << "int " << prefix << "_second(int x) { return " << prefix << "_hidden(x) + 1; }\n"
        << "void* " << prefix << "_where(void) { return (void*)" << prefix << "_hidden; }\n";
    Shell("cc -O1 -shared -fPIC " + flags + " -o " + name + " " + name + ".c");
  }

  struct Loaded {
    uint64_t first = 0;
    uint64_t hidden = 0;
    std::vector<Mapping> mappings;
  };
  Loaded Load(const std::string& name, const std::string& prefix) {
    void* library = dlopen((dir_ + "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library, nullptr) << dlerror();
    Loaded loaded;
    loaded.first = reinterpret_cast<uint64_t>(dlsym(library, (prefix + "_first").c_str()));
    auto where = reinterpret_cast<void* (*)()>(dlsym(library, (prefix + "_where").c_str()));
    loaded.hidden = reinterpret_cast<uint64_t>(where());
    return loaded;
  }
  static std::vector<Mapping> MappingsNow() {
    std::vector<Mapping> mappings = ReadMapsOfPid(getpid())->mappings;
    SetOwner(getpid(), &mappings);
    AddBuildIds(OwnMemory(), &mappings);
    return mappings;
  }
  static std::string NameOf(uint64_t address, bool map_files = false) {
    SymbolizerOptions options;
    options.memory = OwnMemory();
    // Without the capability map_files is closed: another pid's memory is not read, so say so.
    options.memory_pid = getpid();
    Symbolizer symbolizer(std::move(options));
    for (Mapping mapping : MappingsNow()) {
      if (!mapping.Contains(address)) continue;
      if (!map_files) mapping.limit -= 1;  // no such entry in map_files
      return symbolizer.Lookup(mapping, address).name;
    }
    return "not mapped";
  }

  std::string dir_;
};

TEST_F(OddObjects, ADeletedLibraryIsNamedFromMemory) {
  MakeLibrary("libgone.so", "gone", "-Wl,--build-id");
  const Loaded loaded = Load("libgone.so", "gone");
  EXPECT_EQ(NameOf(loaded.hidden), "gone_hidden");
  fs::remove(dir_ + "/libgone.so");
  EXPECT_EQ(NameOf(loaded.first), "gone_first");
  EXPECT_EQ(NameOf(loaded.hidden), "");  // only dynamic symbols are in memory
  if (geteuid() == 0) {
    EXPECT_EQ(NameOf(loaded.hidden, true), "gone_hidden");
  }
}

TEST_F(OddObjects, AReplacedLibraryNeverGivesTheNewFilesNames) {
  MakeLibrary("libold.so", "old", "-Wl,--build-id");
  const Loaded loaded = Load("libold.so", "old");
  MakeLibrary("libnew.so", "new", "-Wl,--build-id");
  fs::rename(dir_ + "/libnew.so", dir_ + "/libold.so");
  EXPECT_EQ(NameOf(loaded.first), "old_first");
  EXPECT_EQ(NameOf(loaded.hidden), "");
}

TEST_F(OddObjects, WithoutBuildIdAReplacedLibraryNeverGivesTheNewFilesNames) {
  MakeLibrary("libplain.so", "plain", "-Wl,--build-id=none");
  const Loaded loaded = Load("libplain.so", "plain");
  MakeLibrary("libother.so", "other", "-Wl,--build-id=none");
  fs::rename(dir_ + "/libother.so", dir_ + "/libplain.so");
  EXPECT_EQ(NameOf(loaded.first), "plain_first");
}

TEST_F(OddObjects, MiniDebugInfoNamesWhatWasStripped) {
  MakeLibrary("libmini.so", "mini", "-g -Wl,--build-id");
  // As Fedora's find-debuginfo does it: the symbols that the dynamic table lacks, packed by xz.
  Shell(
      "nm -D libmini.so --format=posix --defined-only | awk '{print $1}' | sort > dynamic && "
      "nm libmini.so --format=posix --defined-only | awk '$2==\"T\"||$2==\"t\"{print $1}' | sort > "
      "all && comm -13 dynamic all > keep && objcopy --only-keep-debug libmini.so debug && "
      "objcopy -S --remove-section .gdb_index --keep-symbols=keep debug mini && xz mini && "
      "strip --strip-all -R .comment libmini.so && "
      "objcopy --add-section .gnu_debugdata=mini.xz libmini.so");
  const Loaded loaded = Load("libmini.so", "mini");
  EXPECT_EQ(NameOf(loaded.hidden), "mini_hidden");
  EXPECT_EQ(NameOf(loaded.first), "mini_first");
}

TEST_F(OddObjects, WithoutSectionHeadersTheDynamicSegmentHasTheNames) {
  for (const char* hash : {"gnu", "sysv"}) {
    const std::string prefix = std::string("bare") + hash;
    const std::string name = "lib" + prefix + ".so";
    MakeLibrary(name, prefix, "-Wl,--hash-style=" + std::string(hash));
    std::fstream file(dir_ + "/" + name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(0x28);  // e_shoff
    file.write("\0\0\0\0\0\0\0\0", 8);
    file.seekp(0x3c);  // e_shnum, e_shstrndx
    file.write("\0\0\0\0", 4);
    file.close();
    const Loaded loaded = Load(name, prefix);
    EXPECT_EQ(NameOf(loaded.first), prefix + "_first");
    EXPECT_EQ(NameOf(loaded.hidden), "");
  }
}

TEST(MoveMainFirst, FindsTheProgramByAnAddress) {
  std::vector<Mapping> mappings(3);
  mappings[0].start = 0x1000;
  mappings[0].limit = 0x2000;
  mappings[0].path = "/lib/ld.so";
  mappings[1].start = 0x5000;
  mappings[1].limit = 0x6000;
  mappings[1].path = "/srv/app";
  mappings[1].image_start = 0x4000;
  mappings[1].image_limit = 0x9000;
  EXPECT_FALSE(MoveMainFirst(0x3000, &mappings));
  EXPECT_TRUE(MoveMainFirst(0x4040, &mappings));
  EXPECT_EQ(mappings[0].path, "/srv/app");
  EXPECT_EQ(mappings[1].path, "/lib/ld.so");
}

}  // namespace
}  // namespace sonde
