// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/report_writer.h"

#include <algorithm>
#include <utility>

#include "agent/endpoints/text_util.h"

namespace sonde {
namespace {

void AppendEscaped(std::string* out, char c) {
  static constexpr char kHex[] = "0123456789abcdef";
  if (c == '\n') {
    *out += "\\n";
  } else if (c == '"' || c == '\\') {
    out->push_back('\\');
    out->push_back(c);
  } else if (static_cast<unsigned char>(c) < 0x20) {
    *out += "\\u00";
    out->push_back(kHex[c >> 4]);
    out->push_back(kHex[c & 15]);
  } else {
    out->push_back(c);
  }
}

}  // namespace

void ReportWriter::Add(std::string_view key, double value) {
  Scalar(key, FormatDecimal(value), false);
}

void JsonWriter::Separate(std::string_view key) {
  if (needs_comma_) out_ += ",";
  if (depth_ > 0) out_ += "\n" + std::string(static_cast<size_t>(depth_), ' ');
  if (!key.empty()) {
    Quote(key);
    out_ += ": ";
  }
}

void JsonWriter::Begin(std::string_view key, char bracket) {
  Separate(key);
  out_.push_back(bracket);
  ++depth_;
  needs_comma_ = false;
}

void JsonWriter::End(char bracket) {
  --depth_;
  out_.push_back(bracket);
  needs_comma_ = true;
}

void JsonWriter::Quote(std::string_view text) {
  out_.push_back('"');
  for (char c : ValidUtf8(text)) AppendEscaped(&out_, c);
  out_.push_back('"');
}

void JsonWriter::Scalar(std::string_view key, std::string_view text, bool is_string) {
  Separate(key);
  if (is_string) {
    Quote(text);
  } else {
    out_ += text;
  }
  needs_comma_ = true;
}

std::string JsonWriter::Take() {
  out_ += "\n";
  return std::move(out_);
}

void TextWriter::BeginObject(std::string_view key) {
  if (depth_ > 0) {
    in_row_ = true;
    out_ += std::string(2 * static_cast<size_t>(depth_), ' ');
    return;
  }
  if (!key.empty()) out_ += std::string(key) + ":\n";
  ++depth_;
}

void TextWriter::EndObject() {
  if (in_row_) {
    in_row_ = false;
    out_ += "\n";
  } else {
    --depth_;
  }
}

void TextWriter::BeginArray(std::string_view key) {
  out_ += std::string(key) + ":\n";
  ++depth_;
}

void TextWriter::EndArray() { --depth_; }

void TextWriter::Scalar(std::string_view key, std::string_view text, bool) {
  if (in_row_) {
    if (out_.back() != ' ') out_ += "  ";
    out_ += std::string(key) + "=" + ValidUtf8(text);
    return;
  }
  if (depth_ > 0) out_ += std::string(2 * static_cast<size_t>(depth_), ' ');
  if (!key.empty()) out_ += std::string(key) + ": ";
  out_ += ValidUtf8(text) + "\n";
}

void AddLines(std::string_view key, std::string_view text, ReportWriter* out) {
  out->BeginArray(key);
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    out->Add("", text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  out->EndArray();
}

}  // namespace sonde
