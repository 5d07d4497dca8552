// SPDX-License-Identifier: Apache-2.0
#include "agent/http/access.h"

#include "agent/config/address.h"
#include "agent/http/tcp_peer.h"

namespace sonde::http {
namespace {

using Refusal = std::optional<Response>;

Response Forbidden(std::string text) { return Response::Text(403, std::move(text) + "\n"); }

bool SameIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

// "name:port", "[v6]:port" → the host part, brackets removed.
std::string_view HostWithoutPort(std::string_view host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

bool IsListed(std::string_view host, std::string_view list) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    std::string_view name = list.substr(0, end);
    while (name.starts_with(' ')) name.remove_prefix(1);
    while (name.ends_with(' ')) name.remove_suffix(1);
    if (!name.empty() && SameIgnoringCase(host, name)) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

// A page in the user's browser may send requests here; it cannot hide that it is a page.
Refusal CheckBrowser(const Request& request) {
  const std::string* site = request.Header("sec-fetch-site");
  if (site != nullptr && *site != "same-origin" && *site != "none") {
    return Forbidden("requests from other web sites are refused (Sec-Fetch-Site: " + *site + ")");
  }
  const std::string* origin = request.Header("origin");
  if (origin == nullptr) return {};
  const std::string* host = request.Header("host");
  if (host != nullptr && SameIgnoringCase(*origin, "http://" + *host)) return {};
  return Forbidden("requests from other web sites are refused (Origin: " + *origin + ")");
}

Refusal CheckHost(const Request& request, const AccessPolicy& policy) {
  const size_t count = request.CountHeaders("host");
  if (count > 1 || (count == 0 && request.minor_version >= 1)) {
    return Response::Text(400, "expected exactly one Host header\n");
  }
  const bool rebinding_matters =
      request.peer.door == Door::kLocalTcp || request.peer.door == Door::kRemoteTcp;
  if (count == 0 || !rebinding_matters) return {};
  const std::string& host = *request.Header("host");
  if (IsTrustedHost(host, policy.allowed_hosts)) return {};
  return Forbidden(
      "Host \"" + host +
      "\" is refused: expected an IP address, localhost or a name in SONDE_ALLOW_HOSTS");
}

bool HasToken(const Request& request, TokenFile* token) {
  static constexpr std::string_view kScheme = "bearer ";
  const std::string* header = request.Header("authorization");
  if (header == nullptr || header->size() < kScheme.size()) return false;
  const std::string_view value = *header;
  return SameIgnoringCase(value.substr(0, kScheme.size()), kScheme) &&
         token->Matches(value.substr(kScheme.size()));
}

bool IsUs(int64_t uid, const AccessPolicy& policy) { return uid == policy.own_uid || uid == 0; }

Response TokenNeeded(TokenFile* token, std::string_view what) {
  if (!token->configured()) {
    return Forbidden(
        std::string(what) +
        ": set SONDE_TOKEN_FILE, or use the unix socket as the service's user or root");
  }
  if (!token->error().empty()) return Forbidden(std::string(what) + ": " + token->error());
  Response response = Response::Text(
      401, std::string(what) +
               ": expected \"Authorization: Bearer TOKEN\" with the token of SONDE_TOKEN_FILE\n");
  response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"sonde\"");
  return response;
}

Refusal CheckRead(const Request& request, const AccessPolicy& policy, TokenFile* token) {
  const Peer& peer = request.peer;
  if (peer.door == Door::kUnix && IsUs(peer.uid, policy)) return {};
  if (peer.door == Door::kLocalTcp && policy.inside_container) return {};
  if (HasToken(request, token)) return {};
  if (peer.door == Door::kLocalTcp && IsUs(TcpPeerUid(peer.fd), policy)) return {};
  return TokenNeeded(token, "only the service's user, root or a holder of the token may read this");
}

Refusal CheckChange(const Request& request, const AccessPolicy& policy, TokenFile* token) {
  if (request.peer.door == Door::kUnix && IsUs(request.peer.uid, policy)) return {};
  if (HasToken(request, token)) return {};
  return TokenNeeded(token, "changes need the token or the unix socket");
}

}  // namespace

bool IsTrustedHost(std::string_view host, std::string_view allowed_hosts) {
  const std::string_view name = HostWithoutPort(host);
  uint8_t ip6[16];
  if (host.starts_with('[')) return host.find(']') != host.npos && ParseIp6(name, ip6);
  return ParseIp4(name).has_value() || SameIgnoringCase(name, "localhost") ||
         IsListed(name, allowed_hosts);
}

std::optional<Response> CheckAccess(const Request& request, Need need, const AccessPolicy& policy,
                                    TokenFile* token) {
  if (auto refusal = CheckHost(request, policy)) return refusal;
  if (auto refusal = CheckBrowser(request)) return refusal;
  if (request.peer.door == Door::kMetrics) {
    if (need == Need::kHealth) return {};
    return Response::Text(404, "this listener serves only /metrics and /healthz\n");
  }
  return need == Need::kChange ? CheckChange(request, policy, token)
                               : CheckRead(request, policy, token);
}

}  // namespace sonde::http
