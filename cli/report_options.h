// SPDX-License-Identifier: Apache-2.0
// The options that every verb with a profile has, and in which format the profile is wanted.
// Parsing only; plain values.
#pragma once

#include <optional>
#include <string>

#include "cli/add_lines.h"
#include "cli/profile_view.h"

namespace CLI {
class App;
}

namespace sonde::cli {

enum class ReportFormat { kText, kJson, kPprof, kSvg, kHtml, kFolded, kSpeedscope };

struct ReportOptions {
  ReportQuestion question;
  std::string output;  // a path; "-" is stdout; empty: none
  std::string format;  // as typed; empty: by the output's name
  bool json = false;
  LineOptions lines;

  // What to write to `output`; throws a usage error that lists the formats.
  ReportFormat OutputFormat() const;
  // The answer is a document on stdout, and nothing else may be there.
  bool OnlyDocument() const;
};

// --top --tree --by --focus --ignore -o -f --json --lines --debug-dir; *options must outlive the
// parse.
void AddReportOptions(CLI::App* verb, ReportOptions* options);

}  // namespace sonde::cli
