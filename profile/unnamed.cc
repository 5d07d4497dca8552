// SPDX-License-Identifier: Apache-2.0
#include "profile/unnamed.h"

#include "profile/hex.h"

namespace sonde {
namespace {

constexpr std::string_view kPlus = "+0x";

}  // namespace

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string UnnamedFunction(std::string_view path, uint64_t address) {
  return std::string(BaseName(path)).append(kPlus).append(Hex(address));
}

bool IsUnnamedFunction(std::string_view name, std::string_view path) {
  const std::string_view base = BaseName(path);
  if (!name.starts_with(base) || !name.substr(base.size()).starts_with(kPlus)) return false;
  const std::string_view digits = name.substr(base.size() + kPlus.size());
  return !digits.empty() && digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace sonde
