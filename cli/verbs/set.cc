// SPDX-License-Identifier: Apache-2.0
// set, off and on: everything that changes a running agent.
#include <iostream>
#include <memory>

#include "cli/connection.h"
#include "cli/duration.h"
#include "cli/preload.h"
#include "cli/render.h"
#include "cli/token_options.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

struct Options {
  TargetOptions target;
  std::vector<std::string> assignments;
  std::string for_duration;
  bool json = false;
};

std::shared_ptr<Options> DeclareCommon(CLI::App* verb) {
  const auto options = std::make_shared<Options>();
  AddTargetOptions(verb, &options->target);
  AddTokenOptions(verb, &options->target);
  verb->add_flag("--json", options->json, "Answer in JSON");
  return options;
}

std::string FormEncoded(const std::string& text) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
  std::string encoded;
  for (const char c : text) {
    char escaped[4] = {c, '\0'};
    if (kPlain.find(c) == std::string_view::npos)
      snprintf(escaped, sizeof escaped, "%%%02X", static_cast<unsigned char>(c));
    encoded += escaped;
  }
  return encoded;
}

void RequireAgent(const Connection& connection) {
  if (!connection.is_agent())
    throw NotCovered(connection.description() +
                     " is a plain Go pprof endpoint: only an agent has settings");
}

void Report(const Connection& connection, const nlohmann::json& answer, const std::string& sentence,
            bool json) {
  if (json)
    std::cout << nlohmann::json{{"target", connection.description()}, {"done", answer}}.dump(2)
              << "\n";
  else
    std::cout << connection.description() << ": " << sentence << "\n";
}

// How long, for the query and for the sentence; both empty without --for.
struct Limit {
  std::string query;
  std::string words;
};

Limit ParseLimit(const std::string& text) {
  if (text.empty()) return {};
  const auto duration = ParseDuration(text);
  return {"?for=" + std::to_string(duration.count()) + "ms",
          " for " + Seconds(std::chrono::duration<double>(duration).count()) + ", then as before"};
}

ExitCode Set(const Options& options) {
  nlohmann::json changes = nlohmann::json::object();
  std::string body;
  std::string list;
  for (const std::string& assignment : options.assignments) {
    const auto [name, value] = SplitAssignment(assignment);
    changes[name] = value;
    body += (body.empty() ? "" : "&") + FormEncoded(name) + "=" + FormEncoded(value);
    list += (list.empty() ? "" : ", ") + name + " = " + value;
  }
  const Limit limit = ParseLimit(options.for_duration);
  Connection connection = Connection::Open(options.target);
  RequireAgent(connection);
  connection.Post("/debug/sonde/config" + limit.query, body);
  Report(connection, changes, list + limit.words, options.json);
  return ExitCode::kClean;
}

ExitCode SwitchOff(const Options& options) {
  const Limit limit = ParseLimit(options.for_duration);
  Connection connection = Connection::Open(options.target);
  RequireAgent(connection);
  connection.Post("/debug/sonde/off" + limit.query, "");
  const std::string until = limit.words.empty() ? " until `sonde on` or a restart" : limit.words;
  Report(connection, "off", "off" + until, options.json);
  return ExitCode::kClean;
}

ExitCode SwitchOn(const Options& options) {
  Connection connection = Connection::Open(options.target);
  RequireAgent(connection);
  connection.Post("/debug/sonde/on", "");
  Report(connection, "on", "on again", options.json);
  return ExitCode::kClean;
}

void DeclareFor(CLI::App* verb, Options* options) {
  verb->add_option("--for", options->for_duration, "Go back after this time: 30s, 15m, 1h")
      ->type_name("DURATION");
}

}  // namespace

Action DeclareSet(CLI::App* verb) {
  const auto options = DeclareCommon(verb);
  verb->add_option("SETTING", options->assignments, "What to change, as in cpu_hz=200")
      ->type_name("NAME=VALUE")
      ->required();
  DeclareFor(verb, options.get());
  return [options] { return Set(*options); };
}

Action DeclareOff(CLI::App* verb) {
  const auto options = DeclareCommon(verb);
  DeclareFor(verb, options.get());
  return [options] { return SwitchOff(*options); };
}

Action DeclareOn(CLI::App* verb) {
  const auto options = DeclareCommon(verb);
  return [options] { return SwitchOn(*options); };
}

}  // namespace sonde::cli
