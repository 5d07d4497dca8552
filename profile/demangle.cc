// SPDX-License-Identifier: Apache-2.0
#include "profile/demangle.h"

#include <cxxabi.h>
#include <stdlib.h>

#include <memory>

#include "profile/demangle_rust.h"
#include "profile/hex.h"

namespace sonde {
namespace {

struct Free {
  void operator()(char* p) const { free(p); }
};

constexpr size_t kRustHashBytes = 19;  // "::h" and 16 hex digits

bool EndsWithRustHash(std::string_view name) {
  if (name.size() <= kRustHashBytes) return false;
  const std::string_view hash = name.substr(name.size() - kRustHashBytes);
  return hash.substr(0, 3) == "::h" && ParseHex(hash.substr(3)).has_value();
}

struct Escape {
  std::string_view code;
  std::string_view text;
};

constexpr Escape kRustEscapes[] = {{"$SP$", "@"}, {"$BP$", "*"}, {"$RF$", "&"}, {"$LT$", "<"},
                                   {"$GT$", ">"}, {"$LP$", "("}, {"$RP$", ")"}, {"$C$", ","}};

// "$u7b$" is the character with that hex number; rustc writes only ASCII ones so.
size_t UnescapeNumber(std::string_view rest, std::string* out) {
  const size_t end = rest.find('$', 2);
  if (rest.substr(0, 2) != "$u" || end == std::string_view::npos || end > 4) return 0;
  const auto code = ParseHex(rest.substr(2, end - 2));
  if (!code || *code < 0x20 || *code > 0x7e) return 0;
  out->push_back(static_cast<char>(*code));
  return end + 1;
}

// Appends what `rest` begins with, returns the bytes it took.
size_t UnescapeOne(std::string_view rest, std::string* out) {
  for (const Escape& escape : kRustEscapes) {
    if (rest.substr(0, escape.code.size()) != escape.code) continue;
    out->append(escape.text);
    return escape.code.size();
  }
  if (const size_t used = UnescapeNumber(rest, out)) return used;
  if (rest.substr(0, 2) == "..") {
    out->append("::");
    return 2;
  }
  out->push_back(rest[0]);
  return 1;
}

std::string UnescapeRust(std::string_view name) {
  std::string out;
  out.reserve(name.size());
  while (!name.empty()) {
    // A path element that would begin with an escape is written "_$LT$…".
    const bool element = out.empty() || (out.size() > 1 && out.substr(out.size() - 2) == "::");
    if (element && name.substr(0, 2) == "_$") name.remove_prefix(1);
    name.remove_prefix(UnescapeOne(name, &out));
  }
  return out;
}

}  // namespace

std::string Demangle(const std::string& name) {
  if (name.size() > kMaxMangledBytes) return name;
  if (name.compare(0, 2, "_R") == 0) return DemangleRust(name).value_or(name);
  if (name.compare(0, 2, "_Z") != 0) return name;
  int status = 0;
  const std::unique_ptr<char, Free> text(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status));
  if (status != 0 || text == nullptr) return name;
  const std::string_view plain(text.get());
  if (!EndsWithRustHash(plain)) return std::string(plain);
  return UnescapeRust(plain.substr(0, plain.size() - kRustHashBytes));
}

}  // namespace sonde
