// SPDX-License-Identifier: Apache-2.0
#include "cli/reference.h"

namespace sonde::cli {
namespace {

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) escaped += c == '|' ? "\\|" : std::string(1, c);
  return escaped;
}

// "-s, --seconds SECONDS"
std::string NameOf(const CLI::Option& option) {
  if (option.get_positional()) return option.get_name(true);
  std::string name;
  for (const std::string& letter : option.get_snames()) name += "-" + letter + ", ";
  for (const std::string& word : option.get_lnames()) name += "--" + word + ", ";
  name.resize(name.size() - 2);
  if (option.get_items_expected_max() == 0) return name;
  const std::string type = option.get_type_name();
  return name + " " + type.substr(0, type.find(':'));
}

std::string RowOf(const CLI::Option& option) {
  std::string help = option.get_description();
  if (option.get_required()) help += " (required)";
  if (!option.get_default_str().empty()) help += " (default " + option.get_default_str() + ")";
  return "| `" + Escaped(NameOf(option)) + "` | " + Escaped(help) + " |\n";
}

std::string TableOf(const CLI::App& app) {
  std::string rows;
  for (const CLI::Option* option : app.get_options())
    if (option != app.get_help_ptr()) rows += RowOf(*option);
  return rows.empty() ? "" : "| argument | meaning |\n|---|---|\n" + rows;
}

}  // namespace

std::string ReferenceMarkdown(const CLI::App& root) {
  std::string text =
      "### sonde TARGET\n\nWhat can be said at once, and the next command.\n\n" + TableOf(root);
  for (const CLI::App* verb : root.get_subcommands([](const CLI::App*) { return true; }))
    text += "\n### sonde " + verb->get_name() + "\n\n" + verb->get_description() + ".\n\n" +
            TableOf(*verb);
  return text;
}

}  // namespace sonde::cli
