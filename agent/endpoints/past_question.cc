// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/past_question.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/config/schema.h"
#include "agent/endpoints/endpoint_table.h"
#include "profile/time_text.h"

namespace sonde {
namespace {

constexpr int64_t kMaxLastMs = 24 * 3600 * 1000;

std::optional<int64_t> TakeTime(const http::Parameters& parameters, std::string_view name,
                                PastQuestion* question) {
  const std::string* text = http::FindParameter(parameters, name);
  if (text == nullptr) return std::nullopt;
  question->asked = true;
  const auto time = ParseTime(*text);
  if (!time) question->error += std::string(name) + ": expected a time, as " + kTimeForms + "\n";
  return time;
}

std::string Listed(std::span<const char* const> names) {
  std::string text;
  for (const char* name : names) text += (text.empty() ? "" : " and ") + std::string(name);
  return text;
}

}  // namespace

PastQuestion TakePast(const http::Parameters& parameters, int64_t now_ns,
                      std::span<const char* const> of_now) {
  PastQuestion question;
  const std::string* last = http::FindParameter(parameters, "last");
  const auto from = TakeTime(parameters, "from", &question);
  const auto to = TakeTime(parameters, "to", &question);
  if (last != nullptr && question.asked) {
    question.error = "expected either last, or from and to\n";
  } else if (last != nullptr) {
    const auto length_ms = ParseDuration(*last, 1000, kMaxLastMs);
    if (!length_ms) question.error = "last: expected a duration from 1s to 24h, as 30s, 5m or 1h\n";
    question.asked = true;
    question.to_ns = now_ns;
    question.from_ns = now_ns - length_ms.value_or(0) * 1'000'000;
  } else if (question.asked && question.error.empty()) {
    question.to_ns = to.value_or(now_ns);
    question.from_ns = from.value_or(0);
    if (!from) question.error = "to: needs from\n";
    if (from && question.to_ns <= question.from_ns)
      question.error = "from: expected a time before to\n";
  }
  const bool mixed = std::ranges::any_of(
      of_now, [&](const char* name) { return http::FindParameter(parameters, name) != nullptr; });
  if (question.asked && mixed && question.error.empty())
    question.error =
        "expected either " + Listed(of_now) + " for a capture, or last, or from and to\n";
  return question;
}

http::Answer NothingRecorded(const PastQuestion& question, const CpuWindow& window) {
  return {PprofError(404, "nothing was recorded from " + FormatTime(question.from_ns) + " to " +
                              FormatTime(question.to_ns) +
                              (window.begins_late.empty() ? "" : ": " + window.begins_late) + "\n"),
          nullptr};
}

void AddWindowHeader(const CpuWindow& window, std::span<const std::string> notes,
                     http::Response* response) {
  std::string text = "from=" + FormatTime(window.from_unix_ns) +
                     "; to=" + FormatTime(window.to_unix_ns) +
                     "; covered=" + FormatLength(window.covered_ns);
  for (const std::string& note : notes) text += "; " + note;
  response->headers.emplace_back("X-Sonde-Window", std::move(text));
}

}  // namespace sonde
