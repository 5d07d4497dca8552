// SPDX-License-Identifier: Apache-2.0
// What cold code returns when it may fail: a value, or one sentence that says what was expected,
// what was found and where. Used by all of profile/ and its callers; plain values, no shared state.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace sonde {

struct Error {
  std::string message;
};

// value() only when ok(), error() only when not: anything else throws std::bad_variant_access.
template <class T>
class [[nodiscard]] Result {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): returned as it is
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  // NOLINTNEXTLINE(google-explicit-constructor): returned as it is
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() { return std::get<0>(state_); }
  const T& value() const { return std::get<0>(state_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const std::string& error() const { return std::get<1>(state_).message; }

 private:
  std::variant<T, Error> state_;
};

}  // namespace sonde
