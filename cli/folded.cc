// SPDX-License-Identifier: Apache-2.0
#include "cli/folded.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cli/render_report.h"

namespace sonde::cli {
namespace {

std::string Cell(const pprof::Frame& frame, const std::string& by) {
  std::string text = frame.name;
  const std::string place = by == "line" ? PlaceOf(frame.file, frame.line) : "";
  if (!place.empty()) text += " " + place;
  for (char& c : text) {
    if (c == ';') c = ':';
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  }
  return text;
}

struct Pending {
  uint32_t node;
  std::string path;
};

}  // namespace

std::string FoldedStacks(const ProfileView& view) {
  const pprof::CallTree tree = view.Tree();
  std::vector<std::string> lines;
  std::vector<Pending> stack = {{0, ""}};
  while (!stack.empty()) {
    const Pending at = std::move(stack.back());
    stack.pop_back();
    const pprof::CallNode& node = tree.nodes[at.node];
    const std::string cell = Cell(tree.FrameOf(node), view.question().by);
    const std::string path = at.path.empty() ? cell : at.path + ";" + cell;
    if (node.flat != 0)
      lines.push_back((path.empty() ? "[no stack]" : path) + " " + std::to_string(node.flat));
    for (const uint32_t child : node.children) stack.push_back({child, path});
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace sonde::cli
