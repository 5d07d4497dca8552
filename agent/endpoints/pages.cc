// SPDX-License-Identifier: Apache-2.0
// The two pages for people: what is here, and which profiles there are.
#include <string>

#include "agent/endpoints/endpoint_table.h"
#include "agent/endpoints/text_util.h"

namespace sonde {
namespace {

constexpr std::string_view kStyle =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<style>body{font:15px/1.5 sans-serif;margin:2em;max-width:60em}"
    "td{padding:.1em 1em .1em 0;vertical-align:top}</style>";

http::Answer Page(const std::string& title, const std::string& content) {
  http::Response response;
  response.content_type = "text/html; charset=utf-8";
  // Nothing on the page may load or run anything.
  response.headers.emplace_back("Content-Security-Policy",
                                "default-src 'none'; style-src 'unsafe-inline'");
  response.body = std::string(kStyle) + "<title>" + EscapeHtml(title) +
                  "</title></head><body>\n<h1>" + EscapeHtml(title) + "</h1>\n" + content +
                  "</body></html>\n";
  return {std::move(response), nullptr};
}

std::string Link(std::string_view path) {
  return "<a href=\"" + EscapeHtml(path) + "\">" + EscapeHtml(path) + "</a>";
}

std::string Row(const std::string& first, std::string_view second, std::string_view third) {
  return "<tr><td>" + first + "</td><td>" + EscapeHtml(second) + "</td><td>" + EscapeHtml(third) +
         "</td></tr>\n";
}

}  // namespace

http::Answer ServeFrontPage(Context& context, const http::Request&) {
  const AgentStatus status = context.sources->Status();
  std::string content = "<p>" + EscapeHtml(status.executable) + ", pid " +
                        std::to_string(status.pid) + ": " + EscapeHtml(status.state) +
                        "</p>\n<table>\n";
  for (const Endpoint& endpoint : EndpointTable()) {
    const bool is_link = endpoint.method == "GET";
    content += Row(is_link ? Link(endpoint.path) : "POST " + EscapeHtml(endpoint.path),
                   endpoint.parameters, endpoint.help);
  }
  return Page("Sonde " + status.version, content + "</table>\n");
}

http::Answer ServePprofIndex(Context& context, const http::Request&) {
  const AgentStatus status = context.sources->Status();
  std::string content = "<table>\n";
  content += Row("<a href=\"profile?seconds=30\">profile</a>",
                 std::to_string(status.cpu_samples) + " samples",
                 "CPU profile; seconds=N and hz=N may be given");
  content += Row("<a href=\"threads?debug=1\">threads</a>", std::to_string(status.threads.size()),
                 "where every thread stands; debug=2: one by one");
  content += Row("<a href=\"wall?seconds=10\">wall</a>", "",
                 "where the time of every thread goes, running and waiting");
  content += Row("<a href=\"threadcreate?debug=1\">threadcreate</a>", "",
                 "who made the threads that live now");
  content += Row("<a href=\"mutex?debug=1\">mutex</a>", "",
                 "who held locks that others waited for; needs SONDE_LOCKS=on");
  content += Row("<a href=\"block?debug=1\">block</a>", "", "who waited for them; the same");
  content += Row("<a href=\"heap\">heap</a>", "", "who holds the heap");
  content += Row("<a href=\"allocs\">allocs</a>", "", "who allocates");
  content += Row("<a href=\"cmdline\">cmdline</a>", "", "command line");
  content += Row("<a href=\"symbol\">symbol</a>", "", "function names of addresses");
  content += "</table>\n<p>Not covered in this process:</p>\n<ul>\n";
  for (const std::string& line : status.not_covered)
    content += "<li>" + EscapeHtml(line) + "</li>\n";
  return Page("/debug/pprof/",
              content + "</ul>\n<p>Full state: " + Link("/debug/sonde/status") + "</p>\n");
}

http::Answer RedirectToPprofIndex(Context&, const http::Request&) {
  http::Response response = http::Response::Text(301, "see /debug/pprof/\n");
  response.headers.emplace_back("Location", "/debug/pprof/");
  return {std::move(response), nullptr};
}

http::Answer ServeHealth(Context&, const http::Request&) {
  return {http::Response::Text(200, "ok\n"), nullptr};
}

}  // namespace sonde
