// SPDX-License-Identifier: Apache-2.0
// Starts a program again and again under several environments in turn, and prints what each run
// cost: "variant cpu_ns wall_ns".
//
//   bench_spawn <rounds> <program> <name>[,KEY=VALUE]...
//
// Each round runs every variant once and begins with another one, so that none always follows the
// same.
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "bench/programs/clocks.h"

namespace {

struct Variant {
  std::string name;
  std::vector<std::string> settings;
};

Variant ParseVariant(const std::string& text) {
  Variant variant;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    (begin == 0 ? variant.name : variant.settings.emplace_back()) = part;
    begin = end + 1;
  }
  return variant;
}

uint64_t Ns(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<uint64_t>(time.tv_usec) * 1'000;
}

bool RunOnce(const char* program, Variant* variant) {
  std::vector<char*> environment;
  for (std::string& setting : variant->settings) environment.push_back(setting.data());
  environment.push_back(nullptr);
  char* const arguments[] = {const_cast<char*>(program), nullptr};
  pid_t pid = 0;
  const uint64_t start_ns = bench::WallNs();
  if (posix_spawn(&pid, program, nullptr, nullptr, arguments, environment.data()) != 0) {
    return false;
  }
  int status = 0;
  rusage usage;
  if (wait4(pid, &status, 0, &usage) != pid || status != 0) return false;
  const uint64_t wall_ns = bench::WallNs() - start_ns;
  printf("%s %lu %lu\n", variant->name.c_str(), Ns(usage.ru_utime) + Ns(usage.ru_stime), wall_ns);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 3 ? atoi(argv[1]) : 0;
  if (rounds < 1) {
    fprintf(stderr, "usage: bench_spawn <rounds, from 1> <program> <name>[,KEY=VALUE]...\n");
    return 2;
  }
  std::vector<Variant> variants;
  for (int i = 3; i < argc; ++i) variants.push_back(ParseVariant(argv[i]));
  for (size_t round = 0; round < static_cast<size_t>(rounds); ++round) {
    for (size_t i = 0; i < variants.size(); ++i) {
      Variant& variant = variants[(round + i) % variants.size()];
      if (RunOnce(argv[2], &variant)) continue;
      fprintf(stderr, "%s as '%s' did not run to its end\n", argv[2], variant.name.c_str());
      return 1;
    }
  }
  return 0;
}
