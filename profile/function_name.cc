// SPDX-License-Identifier: Apache-2.0
#include "profile/function_name.h"

namespace sonde {
namespace {

// "operator()", "operator<" and the like hold brackets that open nothing.
size_t OperatorLength(std::string_view rest) {
  constexpr std::string_view kWord = "operator";
  if (!rest.starts_with(kWord)) return 0;
  for (std::string_view symbol :
       {"()", "<<=", ">>=", "<=>", "<<", ">>", "<=", ">=", "->", "<", ">"})
    if (rest.substr(kWord.size()).starts_with(symbol)) return kWord.size() + symbol.size();
  return 0;
}

constexpr std::string_view kAnonymous = "(anonymous namespace)";

// Go's "(*Server)" in "http.(*Server).Serve".
size_t GoReceiverLength(std::string_view before, std::string_view rest) {
  if (!rest.starts_with("(*") || !before.ends_with('.')) return 0;
  const size_t close = rest.find(')');
  return close == std::string_view::npos ? 0 : close + 1;
}

// Drops "<...>" and everything from the parameter list on.
std::string WithoutArguments(std::string_view name) {
  std::string result;
  int depth = 0;
  for (size_t i = 0; i < name.size();) {
    const std::string_view rest = name.substr(i);
    const size_t receiver = GoReceiverLength(result, rest);
    const size_t whole = receiver > 0                   ? receiver
                         : rest.starts_with(kAnonymous) ? kAnonymous.size()
                                                        : OperatorLength(rest);
    if (whole > 0) {
      if (depth == 0) result += rest.substr(0, whole);
      i += whole;
      continue;
    }
    const char c = rest[0];
    if (c == '(' && depth == 0) break;
    if (c == '<') ++depth;
    if (depth == 0) result += c;
    if (c == '>' && depth > 0) --depth;
    ++i;
  }
  return result;
}

}  // namespace

std::string ShortFunctionName(std::string_view name) {
  if (name.starts_with("[")) return std::string(name);  // "[signal blocked]" is no C++ name
  if (name.starts_with("<")) return std::string(name);  // Rust's "<u64>::wrapping_add"
  // "LazyCompile:*burn /srv/app.js:2:19": a JIT compiler's name and place.
  const size_t place = name.rfind(' ');
  if (place != std::string_view::npos && name.find(':', place) != std::string_view::npos &&
      name.find_first_of("(<") == std::string_view::npos)
    return std::string(name);
  name = name.substr(0, name.find(" [clone "));
  std::string result = WithoutArguments(name);
  result.erase(result.find_last_not_of(' ') + 1);
  // What is left of a blank is a return type, which demangled templates have.
  if (result.find("operator") == std::string::npos) {
    const size_t anonymous = result.rfind(kAnonymous);
    const size_t from = anonymous == std::string::npos ? 0 : anonymous + kAnonymous.size();
    const size_t blank = result.rfind(' ');
    if (blank != std::string::npos && blank >= from) result.erase(0, blank + 1);
  }
  return result.empty() ? std::string(name) : result;
}

}  // namespace sonde
