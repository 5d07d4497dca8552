// SPDX-License-Identifier: Apache-2.0
// Parts of an agent's JSON, of which nothing is taken for granted: what is missing or of another
// type reads as empty. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace sonde::cli {

inline const nlohmann::json& ListIn(const nlohmann::json& object, const char* name) {
  static const nlohmann::json kEmpty = nlohmann::json::array();
  if (!object.is_object()) return kEmpty;
  const auto it = object.find(name);
  return it != object.end() && it->is_array() ? *it : kEmpty;
}

inline std::string TextIn(const nlohmann::json& object, const char* name) {
  if (!object.is_object()) return "";
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

inline double NumberIn(const nlohmann::json& object, const char* name, double fallback) {
  if (!object.is_object()) return fallback;
  const auto it = object.find(name);
  return it != object.end() && it->is_number() ? it->get<double>() : fallback;
}

}  // namespace sonde::cli
