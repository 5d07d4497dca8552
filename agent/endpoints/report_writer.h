// SPDX-License-Identifier: Apache-2.0
// One description, two looks: JSON for programs and indented text for people. The same calls make
// both. Not thread-safe; grows with what is written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace sonde {

class ReportWriter {
 public:
  virtual ~ReportWriter() = default;
  // `key` is empty for members of an array.
  virtual void BeginObject(std::string_view key) = 0;
  virtual void EndObject() = 0;
  virtual void BeginArray(std::string_view key) = 0;
  virtual void EndArray() = 0;
  void Add(std::string_view key, std::string_view value) { Scalar(key, value, true); }
  void Add(std::string_view key, const char* value) { Scalar(key, value, true); }
  void Add(std::string_view key, const std::string& value) { Scalar(key, value, true); }
  template <typename T>
  requires std::is_integral_v<T>
  void Add(std::string_view key, T value) {
    if constexpr (std::is_same_v<T, bool>) {
      Scalar(key, value ? "true" : "false", false);
    } else {
      Scalar(key, std::to_string(value), false);
    }
  }
  void Add(std::string_view key, double value);  // three decimals
  // The finished text.
  virtual std::string Take() = 0;

 private:
  virtual void Scalar(std::string_view key, std::string_view text, bool is_string) = 0;
};

class JsonWriter final : public ReportWriter {
 public:
  void BeginObject(std::string_view key) override { Begin(key, '{'); }
  void EndObject() override { End('}'); }
  void BeginArray(std::string_view key) override { Begin(key, '['); }
  void EndArray() override { End(']'); }
  std::string Take() override;

 private:
  void Begin(std::string_view key, char bracket);
  void End(char bracket);
  void Separate(std::string_view key);
  void Quote(std::string_view text);
  void Scalar(std::string_view key, std::string_view text, bool is_string) override;

  std::string out_;
  int depth_ = 0;
  bool needs_comma_ = false;
};

class TextWriter final : public ReportWriter {
 public:
  void BeginObject(std::string_view key) override;
  void EndObject() override;
  void BeginArray(std::string_view key) override;
  void EndArray() override;
  std::string Take() override { return std::move(out_); }

 private:
  void Scalar(std::string_view key, std::string_view text, bool is_string) override;
  std::string out_;
  int depth_ = -1;       // the outermost object is not indented
  bool in_row_ = false;  // an object inside an array is one line
};

// An array with one member for each line of `text`.
void AddLines(std::string_view key, std::string_view text, ReportWriter* out);

}  // namespace sonde
