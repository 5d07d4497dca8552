// SPDX-License-Identifier: Apache-2.0
#include "cli/export.h"

#include <unistd.h>

#include <fstream>
#include <iostream>
#include <sstream>

#include "cli/flame_page.h"
#include "cli/flame_svg.h"
#include "cli/folded.h"
#include "cli/outcome.h"
#include "cli/render_report.h"
#include "cli/speedscope.h"
#include "profile/encode.h"

namespace sonde::cli {
namespace {

std::string AsText(const ProfileView& view, const std::string& title) {
  std::ostringstream out;
  const Terminal plain{false, false, size_t{1} << 20};
  Page page(out, plain);
  page.Title(title);
  RenderReport(out, plain, view);
  RenderReportEvidence(&page, view);
  return out.str();
}

}  // namespace

std::string ExportView(const ProfileView& view, ReportFormat format, const std::string& title) {
  switch (format) {
    case ReportFormat::kPprof:
      return pprof::EncodeGz(view.profile());
    case ReportFormat::kSvg:
      return FlameSvg(view, title);
    case ReportFormat::kHtml:
      return FlamePage(view, title);
    case ReportFormat::kFolded:
      return FoldedStacks(view);
    case ReportFormat::kSpeedscope:
      return Speedscope(view, title);
    case ReportFormat::kJson:
      return ReportToJson(view).dump(2, ' ', false, kReplaceBadUtf8) + "\n";
    case ReportFormat::kText:
      break;
  }
  return AsText(view, title);
}

void SaveDocument(const std::string& path, const std::string& document, bool binary) {
  if (path == "-") {
    if (binary && isatty(STDOUT_FILENO) == 1)
      throw UsageError("a profile is binary: redirect it, or give -o FILE");
    std::cout << document << std::flush;
    if (!std::cout) throw Failure("cannot write the profile to stdout");
    return;
  }
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << document << std::flush;
  if (!file) throw Failure("cannot write the profile to " + path);
}

bool ExportReport(const ProfileView& view, const ReportOptions& options, const std::string& title,
                  const std::string& original) {
  if (options.output.empty() && options.format.empty()) return false;
  const ReportFormat format = options.OutputFormat();
  const ReportQuestion& question = view.question();
  const bool whole = question.focus.empty() && question.ignore.empty() && question.only_pid == 0;
  const bool binary = format == ReportFormat::kPprof;
  const std::string path = options.OnlyDocument() ? "-" : options.output;
  if (binary && whole && !original.empty())
    SaveDocument(path, original, true);
  else
    SaveDocument(path, ExportView(view, format, title), binary);
  return options.OnlyDocument();
}

}  // namespace sonde::cli
