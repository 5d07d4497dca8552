// SPDX-License-Identifier: Apache-2.0
// POST /debug/sonde/release: free memory of the allocator goes back to the system.
#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/memory_source.h"
#include "agent/endpoints/report_writer.h"
#include "agent/http/query.h"

namespace sonde {

http::Answer ReleaseMemory(Context& context, const http::Request& request) {
  const auto parameters = http::ParseParameters(request.query);
  const std::string* force = http::FindParameter(parameters, "force");
  if (force != nullptr && *force != "0" && *force != "1")
    return {
        http::Response::Text(400, "force: expected 1, to do it even if the service waits, or 0\n"),
        nullptr};
  const MemoryRelease release =
      context.sources->Memory().Release(force != nullptr && *force == "1");
  if (!release.done) return {http::Response::Text(409, release.text + "\n"), nullptr};
  JsonWriter out;
  out.BeginObject("");
  out.Add("text", release.text);
  out.Add("rss_before_bytes", release.rss_before);
  out.Add("rss_after_bytes", release.rss_after);
  out.Add("took_ms", release.took_ms);
  out.EndObject();
  http::Response response = http::Response::Text(200, out.Take());
  response.content_type = "application/json";
  return {std::move(response), nullptr};
}

}  // namespace sonde
