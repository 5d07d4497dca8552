// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "agent/endpoints/metrics.h"
#include "agent/endpoints/report_writer.h"
#include "agent/endpoints/text_util.h"

namespace sonde {
namespace {

void WriteSample(ReportWriter* out) {
  out->BeginObject("");
  out->Add("text", "quote \" slash \\ tab \t bad \xff");
  out->Add("number", -5);
  out->Add("real", 1.5);
  out->Add("flag", true);
  out->BeginArray("rows");
  out->BeginObject("");
  out->Add("a", 1);
  out->Add("b", "x");
  out->EndObject();
  out->BeginObject("");
  out->EndObject();
  out->EndArray();
  out->BeginArray("empty");
  out->EndArray();
  AddLines("lines", "one\ntwo\n", out);
  out->EndObject();
}

TEST(ReportWriter, JsonIsWellFormed) {
  JsonWriter out;
  WriteSample(&out);
  EXPECT_EQ(
      out.Take(),
      "{\n \"text\": \"quote \\\" slash \\\\ tab \\u0009 bad \xef\xbf\xbd\",\n \"number\": -5,\n"
      " \"real\": 1.500,\n \"flag\": true,\n \"rows\": [\n  {\n   \"a\": 1,\n   \"b\": \"x\"},\n  "
      "{}],\n"
      " \"empty\": [],\n \"lines\": [\n  \"one\",\n  \"two\"]}\n");
}

TEST(ReportWriter, TextHasOneLineARow) {
  TextWriter out;
  WriteSample(&out);
  const std::string text = out.Take();
  EXPECT_NE(text.find("number: -5\nreal: 1.500\nflag: true\nrows:\n  a=1  b=x\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("lines:\n  one\n  two\n"), std::string::npos) << text;
}

TEST(TextUtil, OnlyWellFormedUtf8Passes) {
  EXPECT_EQ(ValidUtf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
            "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  for (const char* bad : {"\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xff", "\xe2\x82", "\xc3"}) {
    EXPECT_NE(ValidUtf8(bad).find("\xef\xbf\xbd"), std::string::npos);
  }
  EXPECT_EQ(EscapeHtml("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
}

TEST(TextUtil, DecimalsAreRoundedAndSigned) {
  EXPECT_EQ(FormatDecimal(0), "0.000");
  EXPECT_EQ(FormatDecimal(1.0005), "1.001");
  EXPECT_EQ(FormatDecimal(-2.25), "-2.250");
  EXPECT_EQ(FormatDecimal(-0.0001), "0.000");
  EXPECT_EQ(FormatDecimal(1e300), "0");
  EXPECT_EQ(FormatDecimal(0.0 / 0.0), "0");
}

TEST(FormatMetrics, HelpAndLabelsAreEscaped) {
  prometheus::MetricFamily family;
  family.name = "m";
  family.help = "two\nlines \\ here";
  family.type = prometheus::MetricType::Gauge;
  family.metric.resize(1);
  family.metric[0].label = {{"l", "a\"b\\c\nd"}};
  EXPECT_EQ(FormatMetrics({family}),
            "# HELP m two\\nlines \\\\ here\n# TYPE m gauge\nm{l=\"a\\\"b\\\\c\\nd\"} 0\n");
}

}  // namespace
}  // namespace sonde
