// SPDX-License-Identifier: Apache-2.0
#include "cli/report_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iterator>

#include "cli/outcome.h"
#include "cli/verbs/verbs.h"

namespace sonde::cli {
namespace {

struct NamedFormat {
  const char* name;
  ReportFormat format;
};

constexpr NamedFormat kFormats[] = {{"text", ReportFormat::kText},
                                    {"json", ReportFormat::kJson},
                                    {"pprof", ReportFormat::kPprof},
                                    {"svg", ReportFormat::kSvg},
                                    {"html", ReportFormat::kHtml},
                                    {"folded", ReportFormat::kFolded},
                                    {"speedscope", ReportFormat::kSpeedscope}};

struct Ending {
  std::string_view text;
  ReportFormat format;
};

// The longer ending first.
constexpr Ending kEndings[] = {{".speedscope.json", ReportFormat::kSpeedscope},
                               {".json", ReportFormat::kJson},
                               {".pb.gz", ReportFormat::kPprof},
                               {".pprof", ReportFormat::kPprof},
                               {".prof", ReportFormat::kPprof},
                               {".pb", ReportFormat::kPprof},
                               {".svg", ReportFormat::kSvg},
                               {".html", ReportFormat::kHtml},
                               {".folded", ReportFormat::kFolded},
                               {".txt", ReportFormat::kText}};

std::vector<std::string> FormatNames() {
  std::vector<std::string> names;
  for (const NamedFormat& format : kFormats) names.emplace_back(format.name);
  return names;
}

ReportFormat FormatOfName(const std::string& path) {
  const std::string file = path.substr(path.rfind('/') + 1);
  for (const Ending& ending : kEndings)
    if (file.ends_with(ending.text)) return ending.format;
  if (path == "-" || file.find('.') == std::string::npos) return ReportFormat::kPprof;
  throw UsageError("-o " + path +
                   ": expected a name that ends in .pb.gz, .svg, .html, .folded, "
                   ".speedscope.json, .json or .txt, or -f FORMAT beside it");
}

}  // namespace

ReportFormat ReportOptions::OutputFormat() const {
  if (format.empty()) return FormatOfName(output);
  const auto* found = std::find_if(std::begin(kFormats), std::end(kFormats),
                                   [&](const NamedFormat& f) { return format == f.name; });
  return found == std::end(kFormats) ? FormatOfName(output) : found->format;
}

bool ReportOptions::OnlyDocument() const {
  return output == "-" || (output.empty() && !format.empty());
}

void AddReportOptions(CLI::App* verb, ReportOptions* options) {
  ReportQuestion& question = options->question;
  verb->add_option("-t,--top", question.top,
                   "How many rows, or lines of the tree (default 10, of a tree 40)")
      ->check(InRange(1, 100'000))
      ->type_name("N");
  verb->add_flag("--tree", question.tree, "The call tree, from the outermost callers down");
  verb->add_option("--by", question.by, "What a row is")
      ->check(OneOf(kGroupings))
      ->type_name("function|line|module|thread")
      ->capture_default_str();
  verb->add_option("--focus", question.focus,
                   "Only stacks with a function, source file or binary that matches")
      ->type_name("REGEX");
  verb->add_option("--ignore", question.ignore, "No stacks with one that matches")
      ->type_name("REGEX");
  verb->add_option("-o,--output", options->output,
                   "Save as .pb.gz (pprof), .svg, .html (flame graphs), .folded, .speedscope.json, "
                   ".json or .txt; - is stdout, and nothing else")
      ->type_name("FILE");
  verb->add_option("-f,--format", options->format,
                   "Format of the output, whatever its name; without -o it goes to stdout")
      ->check(OneOf(FormatNames()))
      ->type_name("text|json|pprof|svg|html|folded|speedscope");
  AddLineOptions(verb, &options->lines);
  verb->add_flag("--json", options->json, "Answer in JSON");
}

}  // namespace sonde::cli
