// SPDX-License-Identifier: Apache-2.0
#include "cli/http_client.h"

#include <curl/curl.h>
#include <strings.h>

#include <utility>

#include "cli/interrupt.h"

namespace sonde::cli {
namespace {

constexpr std::chrono::milliseconds kConnectTimeout{5'000};

struct Exchange {
  const Request* request;
  Response response;
  bool too_big = false;
};

size_t OnBody(char* data, size_t size, size_t count, void* user) {
  auto* exchange = static_cast<Exchange*>(user);
  const size_t bytes = size * count;
  if (exchange->response.body.size() + bytes > exchange->request->max_bytes) {
    exchange->too_big = true;
    return 0;
  }
  exchange->response.body.append(data, bytes);
  return bytes;
}

int OnProgress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  if (PendingInterrupt() != 0) return 1;
  const auto* exchange = static_cast<Exchange*>(user);
  if (exchange->request->on_tick) exchange->request->on_tick();
  return 0;
}

TransportError::Kind KindOf(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_CONNECT:
      return TransportError::Kind::kRefused;
    case CURLE_OPERATION_TIMEDOUT:
      return TransportError::Kind::kTimeout;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_PARTIAL_FILE:
      return TransportError::Kind::kCut;
    default:
      return TransportError::Kind::kOther;
  }
}

struct HeaderList {
  curl_slist* list = nullptr;
  ~HeaderList() { curl_slist_free_all(list); }
  void Add(const std::string& line) { list = curl_slist_append(list, line.c_str()); }
};

void SetAddress(CURL* curl, const Address& address, const std::string& path) {
  const bool tcp = address.kind == Address::Kind::kTcp;
  const std::string url = "http://" + (tcp ? address.where : std::string("localhost")) + path;
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  if (address.kind == Address::Kind::kUnixPath)
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, address.where.c_str());
  if (address.kind == Address::Kind::kAbstract)
    curl_easy_setopt(curl, CURLOPT_ABSTRACT_UNIX_SOCKET, address.where.c_str());
}

void SetRules(CURL* curl, const Request& request) {
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");  // a profile never goes through somebody's proxy
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(kConnectTimeout.count()));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  if (request.method == "GET") return;
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, request.body.c_str());
}

void SetCallbacks(CURL* curl, Exchange* exchange) {
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, OnProgress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, exchange);
}

}  // namespace

std::string Address::Short() const { return kind == Kind::kAbstract ? "@" + where : where; }

std::string Address::Describe() const {
  return kind == Kind::kTcp ? where : "unix socket " + Short();
}

struct HttpClient::Handle {
  CURL* curl = curl_easy_init();
  char error[CURL_ERROR_SIZE] = "";
  ~Handle() { curl_easy_cleanup(curl); }
};

HttpClient::HttpClient(Address address)
    : address_(std::move(address)), handle_(std::make_unique<Handle>()) {
  if (handle_->curl == nullptr) throw Failure("cannot set up libcurl: out of memory");
}

HttpClient::~HttpClient() = default;

Response HttpClient::Send(const Request& request) {
  CURL* curl = handle_->curl;
  curl_easy_reset(curl);  // keeps the live connection
  Exchange exchange{&request, {}};
  HeaderList headers;
  headers.Add("Expect:");
  if (!request.bearer_token.empty()) headers.Add("Authorization: Bearer " + request.bearer_token);
  SetAddress(curl, address_, request.path);
  SetRules(curl, request);
  SetCallbacks(curl, &exchange);
  if (request.only_once) curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.list);
  handle_->error[0] = '\0';
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, handle_->error);

  const CURLcode code = curl_easy_perform(curl);
  ThrowIfInterrupted();
  if (exchange.too_big) {
    throw Failure(address_.Describe() + " sent more than the " +
                  std::to_string(request.max_bytes >> 20) + " MiB expected of " + request.path);
  }
  if (code != CURLE_OK) {
    const char* why = handle_->error[0] != '\0' ? handle_->error : curl_easy_strerror(code);
    throw TransportError(KindOf(code), address_.Describe() + ": " + why);
  }
  long status = 0;
  char* type = nullptr;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
  exchange.response.status = static_cast<int>(status);
  exchange.response.content_type = type != nullptr ? type : "";
  curl_header* window = nullptr;
  if (curl_easy_header(curl, "X-Sonde-Window", 0, CURLH_HEADER, -1, &window) == CURLHE_OK)
    exchange.response.window = window->value;
  return std::move(exchange.response);
}

}  // namespace sonde::cli
