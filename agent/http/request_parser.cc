// SPDX-License-Identifier: Apache-2.0
#include "agent/http/request_parser.h"

namespace sonde::http {
namespace {

constexpr int kStop = -1;  // any non-zero value stops http_parser

RequestParser* Self(http_parser* parser) { return static_cast<RequestParser*>(parser->data); }

void AppendLower(std::string* out, std::string_view text) {
  for (char c : text) out->push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
}

bool SameWord(std::string_view a, std::string_view lower) {
  std::string text;
  AppendLower(&text, a);
  return text == lower;
}

}  // namespace

RequestParser::RequestParser(const ParserLimits& limits) : limits_(limits) { Reset(); }

void RequestParser::Reset() {
  http_parser_init(&parser_, HTTP_REQUEST);
  parser_.data = this;
  request_ = Request();
  refusal_ = Response();
  url_.clear();
  total_bytes_ = 0;
  head_complete_ = complete_ = value_began_ = wants_continue_ = false;
}

const http_parser_settings* RequestParser::Callbacks() {
  static constexpr http_parser_settings kCallbacks = {
      .on_message_begin = nullptr,
      .on_url =
          [](http_parser* p, const char* at, size_t size) {
            Self(p)->url_.append(at, size);
            return 0;
          },
      .on_status = nullptr,
      .on_header_field =
          [](http_parser* p, const char* at, size_t size) {
            return Self(p)->OnHeaderField({at, size});
          },
      .on_header_value =
          [](http_parser* p, const char* at, size_t size) {
            return Self(p)->OnHeaderValue({at, size});
          },
      .on_headers_complete = [](http_parser* p) { return Self(p)->OnHeadersComplete(); },
      .on_body =
          [](http_parser* p, const char* at, size_t size) {
            return Self(p)->OnBody({at, size});
          },
      .on_message_complete =
          [](http_parser* p) {
            Self(p)->complete_ = true;
            http_parser_pause(p, 1);  // what follows belongs to the next request
            return 0;
          },
      .on_chunk_header = nullptr,
      .on_chunk_complete = nullptr,
  };
  return &kCallbacks;
}

RequestParser::State RequestParser::Feed(std::string_view bytes, size_t* used) {
  // A head gets only its limit's bytes to see; of the rest http_parser and OnBody bound every part.
  if (!head_complete_) bytes = bytes.substr(0, limits_.max_head_bytes - total_bytes_);
  *used = http_parser_execute(&parser_, Callbacks(), bytes.data(), bytes.size());
  total_bytes_ += *used;
  if (refusal_.status == 200 && !complete_) CheckProgress();
  if (refusal_.status != 200) return State::kRefused;
  return complete_ ? State::kDone : State::kMore;
}

void RequestParser::CheckProgress() {
  const http_errno error = HTTP_PARSER_ERRNO(&parser_);
  if (error == HPE_HEADER_OVERFLOW ||
      total_bytes_ > limits_.max_head_bytes + 2 * limits_.max_body_bytes) {
    Refuse(413, "too many bytes of chunk headers and trailers");
  } else if (error != HPE_OK) {
    Refuse(400, std::string("not an HTTP/1.1 request: ") + http_errno_description(error));
  } else if (!head_complete_ && total_bytes_ >= limits_.max_head_bytes) {
    Refuse(431, "request line and headers may have at most " +
                    std::to_string(limits_.max_head_bytes) + " bytes");
  }
}

int RequestParser::Refuse(int status, std::string text) {
  refusal_ = Response::Text(status, std::move(text) + "\n");
  refusal_.close = true;
  return kStop;
}

int RequestParser::OnHeaderField(std::string_view part) {
  if (head_complete_) return 0;  // trailers of a chunked body say nothing to us
  if (request_.headers.empty() || value_began_) {
    if (request_.headers.size() >= limits_.max_headers) {
      return Refuse(431,
                    "at most " + std::to_string(limits_.max_headers) + " headers are accepted");
    }
    request_.headers.emplace_back();
    value_began_ = false;
  }
  AppendLower(&request_.headers.back().first, part);
  return 0;
}

int RequestParser::OnHeaderValue(std::string_view part) {
  if (head_complete_) return 0;
  value_began_ = true;
  request_.headers.back().second.append(part);
  return 0;
}

int RequestParser::OnHeadersComplete() {
  head_complete_ = true;
  if (parser_.http_major != 1) return Refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
  request_.method = http_method_str(static_cast<http_method>(parser_.method));
  request_.minor_version = parser_.http_minor;
  request_.keep_alive = http_should_keep_alive(&parser_) != 0;
  const bool has_length = (parser_.flags & F_CONTENTLENGTH) != 0;
  if (has_length && parser_.content_length > limits_.max_body_bytes) {
    return Refuse(413,
                  "a body may have at most " + std::to_string(limits_.max_body_bytes) + " bytes");
  }
  if (parser_.method == HTTP_CONNECT) return Refuse(405, "CONNECT is not served");
  if (SplitUrl() != 0) return kStop;
  return CheckExpect();
}

int RequestParser::SplitUrl() {
  http_parser_url parts;
  http_parser_url_init(&parts);
  if (url_ == "*") url_ = "/*";  // OPTIONS *: a path that no endpoint has
  if (http_parser_parse_url(url_.data(), url_.size(), 0, &parts) != 0) {
    return Refuse(400, "the request's target is not a URL path");
  }
  const auto part = [&](http_parser_url_fields field) {
    const bool is_set = (parts.field_set & (1 << field)) != 0;
    return is_set ? url_.substr(parts.field_data[field].off, parts.field_data[field].len)
                  : std::string();
  };
  request_.path = part(UF_PATH).empty() ? "/" : part(UF_PATH);
  request_.query = part(UF_QUERY);
  return 0;
}

int RequestParser::CheckExpect() {
  const std::string* expect = request_.Header("expect");
  if (expect == nullptr || request_.minor_version == 0) return 0;
  if (!SameWord(*expect, "100-continue")) {
    return Refuse(417, "the only expectation that can be met is 100-continue");
  }
  wants_continue_ = (parser_.flags & F_CHUNKED) != 0 ||
                    ((parser_.flags & F_CONTENTLENGTH) != 0 && parser_.content_length > 0);
  return 0;
}

int RequestParser::OnBody(std::string_view part) {
  wants_continue_ = false;  // the client did not wait
  if (request_.body.size() + part.size() > limits_.max_body_bytes) {
    return Refuse(413,
                  "a body may have at most " + std::to_string(limits_.max_body_bytes) + " bytes");
  }
  request_.body.append(part);
  return 0;
}

bool RequestParser::TakeContinueWish() { return std::exchange(wants_continue_, false); }

}  // namespace sonde::http
