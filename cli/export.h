// SPDX-License-Identifier: Apache-2.0
// A ProfileView as a document: pprof, flame graph, folded stacks, speedscope. Used by every verb
// that shows a profile. Memory: the document, once.
#pragma once

#include <string>

#include "cli/profile_view.h"
#include "cli/report_options.h"

namespace sonde::cli {

// The document in that format; `title` is shown in pictures. Of kPprof: what the question leaves.
std::string ExportView(const ProfileView& view, ReportFormat format, const std::string& title);

// Writes what --output and --format ask for; nothing without them. True: the answer is on stdout
// and nothing else may follow. `original` is written instead of kPprof when the question leaves
// everything, so that a saved profile is what was captured; it may be empty.
bool ExportReport(const ProfileView& view, const ReportOptions& options, const std::string& title,
                  const std::string& original = "");

// "-" is stdout, which must not be a terminal when the document is binary. Throws CliError.
void SaveDocument(const std::string& path, const std::string& document, bool binary);

}  // namespace sonde::cli
