// SPDX-License-Identifier: Apache-2.0
#include "cli/past_options.h"

#include <optional>

#include "cli/duration.h"
#include "cli/outcome.h"
#include "profile/time_text.h"

namespace sonde::cli {
namespace {

std::optional<int64_t> TimeOf(const char* option, const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto time = ParseTime(text);
  if (!time)
    throw UsageError(std::string(option) + ": '" + text + "' is no time: expected " + kTimeForms);
  return time;
}

}  // namespace

void AddPastOptions(CLI::App* verb, std::initializer_list<const char*> of_now, PastOptions* past) {
  auto* last = verb->add_option("--last", past->last, "From the recording: the last 30s, 5m, 1h")
                   ->type_name("DURATION");
  auto* from =
      verb->add_option("--from", past->from, std::string("From the recording, since ") + kTimeForms)
          ->type_name("TIME")
          ->excludes(last);
  verb->add_option("--to", past->to, "Up to that time (default: now)")
      ->type_name("TIME")
      ->needs(from);
  for (const char* option : of_now) {
    verb->get_option(option)->excludes(last);
    verb->get_option(option)->excludes(from);
  }
}

PastQuestion ParsePast(const PastOptions& past) {
  PastQuestion question;
  if (!past.last.empty()) question.last = ParseDuration(past.last);
  question.from_ns = TimeOf("--from", past.from);
  question.to_ns = TimeOf("--to", past.to);
  return question;
}

std::string PastQuery(const PastQuestion& past) {
  if (past.last) return "?last=" + std::to_string(past.last->count()) + "ms";
  std::string query = "?from=" + FormatTime(past.from_ns.value_or(0));
  if (past.to_ns) query += "&to=" + FormatTime(*past.to_ns);
  return query;
}

}  // namespace sonde::cli
