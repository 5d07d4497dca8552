// SPDX-License-Identifier: Apache-2.0
// /debug/pprof/cmdline and /debug/pprof/symbol, as Go's net/http/pprof answers them.
#include <algorithm>
#include <string>

#include "agent/endpoints/cpu_profile.h"
#include "agent/endpoints/endpoint_table.h"
#include "agent/http/query.h"

namespace sonde {
namespace {

std::string Redact(const std::string& command_line) {
  return command_line.substr(0, command_line.find('\0')) + std::string(1, '\0') + "[redacted]";
}

const Mapping* FindMapping(const std::vector<Mapping>& mappings, uint64_t address) {
  const auto found = std::find_if(mappings.begin(), mappings.end(),
                                  [&](const Mapping& m) { return m.Contains(address); });
  return found == mappings.end() ? nullptr : &*found;
}

// "0x1f name\n", or nothing for an address without a name, as Go does.
std::string SymbolLine(std::string_view text, const std::vector<Mapping>& mappings,
                       Symbolizer* symbols) {
  const auto address = http::ParseHex(text);
  const Mapping* mapping = address ? FindMapping(mappings, *address) : nullptr;
  if (mapping == nullptr) return {};
  const Symbol symbol = symbols->Lookup(*mapping, *address);
  return symbol.name.empty() ? std::string() : std::string(text) + " " + symbol.name + "\n";
}

// One pass over the perf map for all of them.
void ReadPerfMap(std::string_view text, const std::vector<Mapping>& mappings, Symbolizer* symbols) {
  std::vector<uint64_t> addresses;
  int pid = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("+\r\n "), text.size());
    const auto address = http::ParseHex(text.substr(0, end));
    const Mapping* mapping = address ? FindMapping(mappings, *address) : nullptr;
    if (mapping != nullptr && mapping->IsGenerated()) {
      pid = mapping->pid;
      addresses.push_back(*address);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  std::sort(addresses.begin(), addresses.end());
  if (!addresses.empty()) symbols->ReadPerfMap(pid, addresses);
}

}  // namespace

http::Answer ServeCommandLine(Context& context, const http::Request&) {
  std::string text = context.sources->CommandLine();
  if (!text.empty() && text.back() == '\0') text.pop_back();
  const bool redact = context.config->current().redact_cmdline && text.find('\0') != text.npos;
  return {http::Response::Text(200, redact ? Redact(text) : text), nullptr};
}

http::Answer ServeSymbols(Context& context, const http::Request& request) {
  std::string_view addresses = request.method == "POST" ? request.body : request.query;
  // Go counts no symbols: any number but 0 tells pprof that it may ask.
  std::string text = "num_symbols: 1\n";
  if (addresses.empty()) return {http::Response::Text(200, text), nullptr};
  const AgentStatus status = context.sources->Status();
  const std::vector<Mapping> mappings = MappingsOf(status.pid, status, context.sources);
  ReadPerfMap(addresses, mappings, &context.Symbols());
  while (!addresses.empty()) {
    const size_t end = std::min(addresses.find_first_of("+\r\n "), addresses.size());
    text += SymbolLine(addresses.substr(0, end), mappings, &context.Symbols());
    addresses.remove_prefix(std::min(end + 1, addresses.size()));
  }
  return {http::Response::Text(200, text), nullptr};
}

}  // namespace sonde
