// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/endpoints.h"

#include <string_view>

#include "agent/endpoints/endpoint_table.h"
#include "collectors/safe/sys.h"

namespace sonde {
namespace {

constexpr std::string_view kPprof = "/debug/pprof/";

struct Match {
  const Endpoint* endpoint = nullptr;
  std::string allowed_methods;  // of the path; empty: no such path
};

Match FindEndpoint(std::string_view method, std::string_view path) {
  Match match;
  for (const Endpoint& endpoint : EndpointTable()) {
    if (!IsPathOf(endpoint, path)) continue;
    match.allowed_methods += match.allowed_methods.empty() ? "" : ", ";
    match.allowed_methods += endpoint.method == "GET" ? "GET, HEAD" : endpoint.method;
    const bool is_head = method == "HEAD" && endpoint.method == "GET";
    if (endpoint.method == method || is_head) match.endpoint = &endpoint;
  }
  return match;
}

http::Response WrongMethod(const std::string& method, const std::string& allowed) {
  http::Response response =
      http::Response::Text(405, method + " is not possible here; expected " + allowed + "\n");
  response.headers.emplace_back("Allow", allowed);
  return response;
}

http::Response NotFound(std::string_view path) {
  if (!path.starts_with(kPprof))
    return http::Response::Text(404, "404 page not found; / lists what is here\n");
  return PprofError(404, "Unknown profile\n");
}

}  // namespace

http::Response PprofError(int status, std::string text) {
  http::Response response = http::Response::Text(status, std::move(text));
  response.headers.emplace_back("X-Go-Pprof", "1");
  return response;
}

http::Answer Endpoints::Handle(const http::Request& request) {
  const Match match = FindEndpoint(request.method, request.path);
  // Strangers are told nothing, not even which paths exist.
  const http::AccessPolicy policy = {
      .inside_container = context_->inside_container,
      .allowed_hosts = context_->config->current().allow_hosts.view(),
      .own_uid = sys::Call(SYS_geteuid),
  };
  const http::Need need = match.endpoint != nullptr ? match.endpoint->need : http::Need::kRead;
  auto refusal = http::CheckAccess(request, need, policy, &context_->token);
  if (refusal) return {std::move(*refusal), nullptr};
  if (match.endpoint != nullptr) return match.endpoint->handle(*context_, request);
  if (match.allowed_methods.empty()) return {NotFound(request.path), nullptr};
  return {WrongMethod(request.method, match.allowed_methods), nullptr};
}

void Endpoints::CountResponse(const std::string& path, int status) {
  // Only paths of the table become labels, so that clients cannot make up series.
  std::string_view label = "other";
  for (const Endpoint& endpoint : EndpointTable()) {
    if (IsPathOf(endpoint, path)) label = endpoint.path;
  }
  ++context_->responses[{std::string(label), status}];
}

}  // namespace sonde
