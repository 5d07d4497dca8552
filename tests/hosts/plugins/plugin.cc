// SPDX-License-Identifier: Apache-2.0
// A plug-in that host_loader opens and closes: C++ inside, allocates, throws and frees what another
// gave it.
#include <cstdlib>
#include <stdexcept>
#include <string>

extern "C" int PluginValue(int value) {
  try {
    if (value < 0) throw std::invalid_argument(std::string(300, 'x'));
    return value + 1;
  } catch (const std::invalid_argument& error) {
    return static_cast<int>(std::string(error.what()).size());
  }
}

extern "C" void PluginFree(void* block) { free(block); }
extern "C" void* PluginAllocate(size_t size) { return malloc(size); }
