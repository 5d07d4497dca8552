// SPDX-License-Identifier: Apache-2.0
#include "agent/http/message.h"

#include <http_parser.h>

#include <cstdint>

namespace sonde::http {
namespace {

void AppendTwoDigits(std::string* out, int64_t value) {
  out->push_back(static_cast<char>('0' + value / 10 % 10));
  out->push_back(static_cast<char>('0' + value % 10));
}

struct Date {
  int64_t year;
  int month;  // 0-11
  int day;    // 1-31
};

// The proleptic Gregorian calendar, counted in eras of 400 years that begin in March.
Date DateOfDay(int64_t days_since_1970) {
  const int64_t day = days_since_1970 + 719468;
  const int64_t era = (day >= 0 ? day : day - 146096) / 146097;
  const int64_t of_era = day - era * 146097;
  const int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  const int64_t month = (5 * of_year + 2) / 153;  // 0 is March
  const int month_of_year = static_cast<int>(month < 10 ? month + 2 : month - 10);
  return {year + era * 400 + (month_of_year < 2), month_of_year,
          static_cast<int>(of_year - (153 * month + 2) / 5 + 1)};
}

void AppendHeader(std::string* out, std::string_view name, std::string_view value) {
  out->append(name).append(": ");
  for (char c : value) {
    if (c != '\r' && c != '\n') out->push_back(c);  // no value may begin another header
  }
  out->append("\r\n");
}

}  // namespace

const std::string* Request::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return &value;
  }
  return nullptr;
}

size_t Request::CountHeaders(std::string_view name) const {
  size_t count = 0;
  for (const auto& header : headers) count += header.first == name;
  return count;
}

Response Response::Text(int status, std::string body) {
  Response response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

std::string_view StatusText(int status) {
  return http_status_str(static_cast<http_status>(status));
}

std::string HttpDate(int64_t unix_seconds) {
  static constexpr const char* kDays[] = {"Thu, ", "Fri, ", "Sat, ", "Sun, ",
                                          "Mon, ", "Tue, ", "Wed, "};
  static constexpr const char* kMonths[] = {" Jan ", " Feb ", " Mar ", " Apr ", " May ", " Jun ",
                                            " Jul ", " Aug ", " Sep ", " Oct ", " Nov ", " Dec "};
  const int64_t second = unix_seconds % 86400;
  const Date date = DateOfDay(unix_seconds / 86400);
  std::string text = kDays[unix_seconds / 86400 % 7];
  AppendTwoDigits(&text, date.day);
  text += kMonths[date.month];
  text += std::to_string(date.year) + " ";
  AppendTwoDigits(&text, second / 3600);
  text += ":";
  AppendTwoDigits(&text, second / 60 % 60);
  text += ":";
  AppendTwoDigits(&text, second % 60);
  return text + " GMT";
}

std::string Serialize(Response response, bool keep_alive, bool head_only, int64_t unix_seconds) {
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + " ";
  out.append(StatusText(response.status)).append("\r\n");
  AppendHeader(&out, "Content-Type", response.content_type);
  AppendHeader(&out, "Content-Length", std::to_string(response.body.size()));
  AppendHeader(&out, "X-Content-Type-Options", "nosniff");
  AppendHeader(&out, "Cache-Control", "no-store");
  AppendHeader(&out, "Date", HttpDate(unix_seconds));
  AppendHeader(&out, "Connection", keep_alive && !response.close ? "keep-alive" : "close");
  for (const auto& [name, value] : response.headers) AppendHeader(&out, name, value);
  out += "\r\n";
  if (!head_only) out += response.body;
  return out;
}

}  // namespace sonde::http
