// SPDX-License-Identifier: Apache-2.0
// What is served as JSON or, with ?format=text, for reading: one place that looks at the format.
// Used by the endpoints of /debug/sonde; agent thread only.
#pragma once

#include <functional>
#include <string>

#include "agent/endpoints/report_writer.h"
#include "agent/http/handler.h"
#include "agent/http/message.h"

namespace sonde {

// Makes the body that was asked for; another format is refused.
http::Answer AnswerInFormat(const http::Request& request, const std::function<std::string()>& text,
                            const std::function<std::string()>& json);

// The same of one report, which is written once for both.
http::Answer AnswerReport(const http::Request& request,
                          const std::function<void(ReportWriter*)>& write);

}  // namespace sonde
