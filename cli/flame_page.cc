// SPDX-License-Identifier: Apache-2.0
#include "cli/flame_page.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "cli/flame_svg.h"
#include "cli/render_report.h"
#include "cli/tree_choice.h"

namespace sonde::cli {
namespace {

using nlohmann::json;

constexpr const char kPage[] =
#include "cli/flame_page.inc"
    ;

// Inside <script> only "</" could end it; as an escape it means the same to JSON.
std::string InScript(const json& data) {
  std::string text = data.dump(-1, ' ', false, json::error_handler_t::replace);
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) {
    if (c == '<')
      safe += "\\u003c";
    else
      safe += c;
  }
  return safe;
}

// [label, full name, place, binary]
json FrameToJson(const pprof::Frame& frame, const std::string& by) {
  return {ShortFrameName(frame, by), frame.name, PlaceOf(frame.file, frame.line), frame.mapping};
}

// parent, frame, cumulative, flat; parents come first.
json NodesToJson(const pprof::CallTree& tree, const std::vector<PlacedNode>& placed) {
  json nodes = json::array();
  for (const PlacedNode& at : placed) {
    const pprof::CallNode& node = tree.nodes[at.node];
    nodes.push_back(at.parent);
    nodes.push_back(node.frame);
    nodes.push_back(node.cumulative);
    nodes.push_back(node.flat);
  }
  return nodes;
}

void Replace(const std::string& mark, const std::string& with, std::string* page) {
  const size_t at = page->find(mark);
  if (at != std::string::npos) page->replace(at, mark.size(), with);
}

}  // namespace

std::string FlamePage(const ProfileView& view, const std::string& title) {
  const pprof::CallTree tree = view.Tree();
  const auto placed = PlaceNodes(tree, ChooseHeaviest(tree, kMaxPageNodes), 1);
  json frames = json::array();
  for (const pprof::Frame& frame : tree.frames)
    frames.push_back(FrameToJson(frame, view.question().by));
  const json data = {{"type", view.value().type},
                     {"unit", view.value().unit},
                     {"scale", view.value().scale},
                     {"total", view.total()},
                     {"left_out", tree.nodes.size() - placed.size()},
                     {"frames", std::move(frames)},
                     {"nodes", NodesToJson(tree, placed)}};
  std::string page = kPage;
  Replace("@TITLE@", EscapeMarkup(title), &page);
  Replace("@HEADING@", EscapeMarkup(title), &page);
  Replace("@DATA@", InScript(data), &page);  // last: data may hold anything
  return page;
}

}  // namespace sonde::cli
