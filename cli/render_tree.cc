// SPDX-License-Identifier: Apache-2.0
#include "cli/render_tree.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "cli/render_report.h"
#include "cli/tree_choice.h"

namespace sonde::cli {
namespace {

constexpr size_t kValueWidth = 11;
constexpr size_t kPercentWidth = 7;
constexpr size_t kDeepestIndent = 40;

std::string NameOf(const pprof::Frame& frame, const std::string& by) {
  const std::string name = ShortFrameName(frame, by);
  const std::string place = by == "line" ? PlaceOf(frame.file, frame.line) : "";
  return place.empty() ? name : name + "  " + place;
}

struct Pending {
  uint32_t node;
  size_t indent;
  bool is_one_of_several;  // its caller calls others too
};

class TreePrinter {
 public:
  TreePrinter(std::ostream& out, const Terminal& terminal, const ProfileView& view)
      : out_(out), terminal_(terminal), view_(view), tree_(view.Tree()) {
    const size_t top = view.question().top;
    chosen_ = ChooseHeaviest(tree_, top == 0 ? kDefaultTreeLines : top);
    has_values_ = view.value().unit != "nanoseconds";
  }

  void Print() {
    if (has_values_) out_ << PadLeft("cum", kValueWidth);
    out_ << PadLeft(has_values_ ? "" : "cum", kPercentWidth) << PadLeft("flat", kPercentWidth + 2)
         << "   call tree\n";
    std::vector<Pending> stack;
    Push({0, 0, false}, &stack);
    size_t shown = 0;
    for (; !stack.empty(); ++shown) {
      const Pending next = stack.back();
      stack.pop_back();
      Line(tree_.nodes[next.node], next.indent);
      Push(next, &stack);
    }
    const size_t all = tree_.nodes.size() - 1;
    if (shown < all) out_ << "… " << all - shown << " more nodes: --top " << shown * 5 << "\n";
  }

 private:
  std::vector<uint32_t> ShownChildren(uint32_t node) const {
    std::vector<uint32_t> shown;
    for (const uint32_t child : tree_.nodes[node].children)
      if (chosen_[child]) shown.push_back(child);
    return shown;
  }

  // The heaviest last, so that it is printed next. Where a caller calls several, each of them
  // begins a block, and what it calls is one step further in.
  void Push(const Pending& caller, std::vector<Pending>* stack) const {
    const std::vector<uint32_t> children = ShownChildren(caller.node);
    const bool several = children.size() > 1;
    const bool deeper = caller.node != 0 && (several || caller.is_one_of_several);
    const size_t indent = std::min(caller.indent + (deeper ? 1 : 0), kDeepestIndent);
    for (auto child = children.rbegin(); child != children.rend(); ++child)
      stack->push_back({*child, indent, several});
  }

  void Line(const pprof::CallNode& node, size_t indent) {
    const double cumulative = static_cast<double>(node.cumulative) * view_.value().scale;
    const double flat = static_cast<double>(node.flat) * view_.value().scale;
    if (has_values_) out_ << PadLeft(FormatValue(cumulative, view_.value().unit), kValueWidth);
    const auto share = [&](double part) {
      return (part < 0 ? "-" : "") + Percent(std::abs(part), view_.total());
    };
    out_ << PadLeft(share(cumulative), kPercentWidth)
         << PadLeft(flat == 0 ? "" : share(flat), kPercentWidth + 2) << "   "
         << std::string(2 * indent, ' ');
    const size_t used = 2 * kPercentWidth + 5 + 2 * indent + (has_values_ ? kValueWidth : 0);
    const size_t room = terminal_.width > used + 20 ? terminal_.width - used : 20;
    out_ << Ellipsis(Printable(NameOf(tree_.FrameOf(node), view_.question().by)), room) << "\n";
  }

  std::ostream& out_;
  const Terminal& terminal_;
  const ProfileView& view_;
  const pprof::CallTree tree_;
  std::vector<bool> chosen_;
  bool has_values_ = false;
};

// Deep trees: no recursion, so children are filled in before they are put into their caller.
class TreeJson {
 public:
  explicit TreeJson(const ProfileView& view) : view_(view), tree_(view.Tree()) {
    const size_t top = view.question().top;
    chosen_ = ChooseHeaviest(tree_, top == 0 ? kDefaultTreeLines : top);
  }

  nlohmann::json Make() {
    std::vector<uint32_t> order = {0};
    for (size_t i = 0; i < order.size(); ++i)
      for (const uint32_t child : tree_.nodes[order[i]].children)
        if (chosen_[child]) order.push_back(child);
    std::vector<nlohmann::json> made(tree_.nodes.size());
    for (auto node = order.rbegin(); node != order.rend(); ++node) {
      nlohmann::json& json = made[*node] = Node(tree_.nodes[*node]);
      for (const uint32_t child : tree_.nodes[*node].children)
        if (chosen_[child]) json["children"].push_back(std::move(made[child]));
    }
    made[0]["left_out"] = tree_.nodes.size() - order.size();
    return std::move(made[0]);
  }

 private:
  nlohmann::json Node(const pprof::CallNode& node) const {
    const pprof::Frame& frame = tree_.FrameOf(node);
    return {{"name", frame.name},
            {"place", PlaceOf(frame.file, frame.line)},
            {"module", frame.mapping},
            {"flat", static_cast<double>(node.flat) * view_.value().scale},
            {"cumulative", static_cast<double>(node.cumulative) * view_.value().scale},
            {"children", nlohmann::json::array()}};
  }

  const ProfileView& view_;
  const pprof::CallTree tree_;
  std::vector<bool> chosen_;
};

}  // namespace

void RenderTree(std::ostream& out, const Terminal& terminal, const ProfileView& view) {
  TreePrinter(out, terminal, view).Print();
}

nlohmann::json TreeToJson(const ProfileView& view) { return TreeJson(view).Make(); }

}  // namespace sonde::cli
