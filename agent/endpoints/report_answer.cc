// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/report_answer.h"

#include <utility>

#include "agent/http/query.h"

namespace sonde {

http::Answer AnswerInFormat(const http::Request& request, const std::function<std::string()>& text,
                            const std::function<std::string()>& json) {
  const auto parameters = http::ParseParameters(request.query);
  const std::string* format = http::FindParameter(parameters, "format");
  if (format != nullptr && *format == "text") return {http::Response::Text(200, text()), nullptr};
  if (format != nullptr && *format != "json")
    return {http::Response::Text(400, "format: expected json or text\n"), nullptr};
  http::Response response = http::Response::Text(200, json());
  response.content_type = "application/json";
  return {std::move(response), nullptr};
}

http::Answer AnswerReport(const http::Request& request,
                          const std::function<void(ReportWriter*)>& write) {
  const auto written = [&write](ReportWriter&& out) {
    write(&out);
    return out.Take();
  };
  return AnswerInFormat(
      request, [&] { return written(TextWriter()); }, [&] { return written(JsonWriter()); });
}

}  // namespace sonde
