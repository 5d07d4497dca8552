// SPDX-License-Identifier: Apache-2.0
// /debug/sonde/config, off and on: reading and changing settings while the service runs.
#include <optional>
#include <string>
#include <vector>

#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/report_writer.h"
#include "agent/http/query.h"
#include "agent/http/socket.h"

namespace sonde {
namespace {

constexpr int64_t kLongestOverrideMs = 7 * 24 * 3600 * int64_t{1000};

const char* SourceText(ConfigStore::Source source) {
  switch (source) {
    case ConfigStore::Source::kDefault:
      return "default";
    case ConfigStore::Source::kEnvironment:
      return "environment";
    case ConfigStore::Source::kFile:
      return "file";
    case ConfigStore::Source::kRequest:
      break;
  }
  return "request";
}

void WriteSetting(const ConfigStore& config, const Setting& setting, ReportWriter* out) {
  out->BeginObject("");
  out->Add("name", setting.name);
  out->Add("value", FormatValue(setting, config.current()).view());
  out->Add("default", FormatValue(setting, Settings()).view());
  out->Add("source", SourceText(config.source(setting)));
  const int64_t remaining_ms = config.remaining_ms(setting, http::NowMs());
  if (remaining_ms != 0) out->Add("remaining_seconds", static_cast<double>(remaining_ms) / 1000);
  out->Add("changeable", setting.when == When::RunTime);
  out->Add("expected", Expected(setting).view());
  out->Add("help", setting.help);
  out->EndObject();
}

http::Answer BadRequest(std::string text) {
  return {http::Response::Text(400, std::move(text)), nullptr};
}

// A duration on its own, with the schema's spelling: the row of a setting serves as its grammar.
std::optional<int64_t> ParseFor(std::string_view text) {
  static constexpr Setting kFor = {"for",
                                   ValueKind::Duration,
                                   offsetof(Settings, max_profile_ms),
                                   1000,
                                   kLongestOverrideMs,
                                   "",
                                   When::RunTime,
                                   ""};
  Settings scratch;
  if (!ParseValue(kFor, text, &scratch)) return std::nullopt;
  return scratch.max_profile_ms;
}

// Parameters of the query and of the body; a body may also have one "name = value" a line.
http::Parameters AllParameters(const http::Request& request) {
  http::Parameters all = http::ParseParameters(request.query);
  std::string body = request.body;
  for (char& c : body) {
    if (c == '\n') c = '&';
  }
  for (auto& parameter : http::ParseParameters(body)) all.push_back(std::move(parameter));
  for (auto& [name, value] : all) {
    while (!name.empty() && name.back() == ' ') name.pop_back();
    value.erase(0, std::min(value.find_first_not_of(' '), value.size()));
    while (!value.empty() && (value.back() == ' ' || value.back() == '\r')) value.pop_back();
  }
  return all;
}

// Applies the parameters (but for "for") and what `extra` says; the refusal, or empty.
std::string ApplyAll(Context& context, const http::Request& request,
                     std::vector<ConfigChange> changes) {
  int64_t for_ms = 0;
  for (auto& [name, value] : AllParameters(request)) {
    if (name != "for") {
      changes.push_back({std::move(name), std::move(value)});
      continue;
    }
    const auto parsed = ParseFor(value);
    if (!parsed) return "for: expected a duration from 1s to 168h, as 30s, 10m or 1h\n";
    for_ms = *parsed;
  }
  if (changes.empty()) return "expected name=value, as cpu_hz=200; GET this path lists the names\n";
  return context.config->Apply(changes, for_ms, http::NowMs());
}

}  // namespace

http::Answer ServeConfig(Context& context, const http::Request&) {
  JsonWriter out;
  out.BeginObject("");
  out.BeginArray("settings");
  for (const Setting& setting : Schema()) WriteSetting(*context.config, setting, &out);
  out.EndArray();
  AddLines("problems", context.config->problems(), &out);
  out.EndObject();
  http::Response response = http::Response::Text(200, out.Take());
  response.content_type = "application/json";
  return {std::move(response), nullptr};
}

http::Answer ChangeConfig(Context& context, const http::Request& request) {
  std::string refused = ApplyAll(context, request, {});
  if (!refused.empty()) return BadRequest(std::move(refused));
  return ServeConfig(context, request);
}

// For a while it is a setting that comes back by itself; for good it is the agent's own switch.
http::Answer SwitchOff(Context& context, const http::Request& request) {
  if (AllParameters(request).empty()) {
    context.sources->Off();
    return {http::Response::Text(200, "off: nothing is sampled until POST /debug/sonde/on\n"),
            nullptr};
  }
  std::string refused = ApplyAll(context, request, {{"enable", "off"}});
  if (!refused.empty()) return BadRequest(std::move(refused));
  return {http::Response::Text(200, "off: nothing is sampled until the given time has passed\n"),
          nullptr};
}

// A former request to be off is forgotten; what the file or the environment says is overridden, and
// said.
http::Answer SwitchOn(Context& context, const http::Request&) {
  const Setting& enable = *FindSetting("enable");
  context.config->Forget(enable);
  std::string text = "on\n";
  if (!context.config->current().enable) {
    text = std::string("on, although the ") + SourceText(context.config->source(enable)) +
           " says SONDE_ENABLE = off\n";
    const ConfigChange on[] = {{"enable", "on"}};
    std::string refused = context.config->Apply(on, 0, http::NowMs());
    if (!refused.empty()) return BadRequest(std::move(refused));
  }
  context.sources->On();
  return {http::Response::Text(200, std::move(text)), nullptr};
}

}  // namespace sonde
