// SPDX-License-Identifier: Apache-2.0
#include "cli/flame_svg.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cli/render.h"
#include "cli/render_report.h"
#include "cli/tree_choice.h"

namespace sonde::cli {
namespace {

constexpr double kWidth = 1200;
constexpr double kMargin = 10;
constexpr double kTop = 56;
constexpr double kRow = 18;
constexpr double kNarrowestBox = 0.5;
constexpr double kLetter = 6.6;       // of 11 px monospace
constexpr double kTitleSize = 15;     // at most, in pixels
constexpr double kLetterShare = 0.6;  // a letter's mean width, of that
constexpr size_t kMaxBoxes = 50'000;
constexpr size_t kMaxDepth = 1'000;

constexpr const char* kStyle =
    "<style>text{font:11px ui-monospace,Menlo,Consolas,monospace;fill:#222}"
    ".t{font:600 15px system-ui,sans-serif}.s{font:12px system-ui,sans-serif;fill:#666}"
    "rect:hover{stroke:#222;stroke-width:1}</style>\n";

uint32_t HashOf(const std::string& text) {
  uint32_t hash = 2166136261u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

// One hue a binary, so that libraries are told apart; its lightness varies by function. What stands
// for a loss is grey.
std::string ColourOf(const pprof::Frame& frame) {
  if (frame.name.starts_with("[")) return "hsl(0,0%,78%)";
  const uint32_t hue = (HashOf(frame.mapping) % 24) * 15;
  const uint32_t lightness = 68 + HashOf(frame.name) % 12;
  return "hsl(" + std::to_string(hue) + ",68%," + std::to_string(lightness) + "%)";
}

// What a text in the box can hold; empty when not even three letters fit.
std::string Label(const std::string& name, double width) {
  const double letters = (width - 6) / kLetter;
  return letters < 3 ? "" : Ellipsis(name, static_cast<size_t>(letters));
}

class Drawing {
 public:
  Drawing(const ProfileView& view, const std::string& title)
      : view_(view), tree_(view.Tree()), title_(title) {
    const auto root = static_cast<double>(tree_.nodes[0].cumulative);
    per_unit_ = root > 0 ? (kWidth - 2 * kMargin) / root : 0;
    const auto least = static_cast<int64_t>(per_unit_ > 0 ? kNarrowestBox / per_unit_ : 0);
    placed_ = PlaceNodes(tree_, ChooseHeaviest(tree_, kMaxBoxes), least);
    std::erase_if(placed_, [](const PlacedNode& n) { return n.depth == 0 || n.depth > kMaxDepth; });
  }

  std::string Draw() {
    Head();
    for (const PlacedNode& node : placed_) Box(node);
    return std::move(out_) + "</svg>\n";
  }

 private:
  void Head() {
    uint32_t deepest = 0;
    for (const PlacedNode& node : placed_) deepest = std::max(deepest, node.depth);
    const std::string height = Fixed(kTop + deepest * kRow + kMargin, 0);
    out_ = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + Fixed(kWidth, 0) +
           "\" height=\"" + height + "\" viewBox=\"0 0 " + Fixed(kWidth, 0) + " " + height +
           "\">\n" + kStyle + "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
    // A long title gets smaller letters rather than none at its end.
    const double letter = (kWidth - 2 * kMargin) / static_cast<double>(title_.size() + 1);
    const double size = std::clamp(letter / kLetterShare, 8.0, kTitleSize);
    Text(kMargin, 22, "class=\"t\" style=\"font-size:" + Fixed(size, 1) + "px\"", title_);
    Text(kMargin, 42, "class=\"s\"",
         view_.value().type + ": " + FormatValue(view_.shown(), view_.value().unit) + ", " +
             Percent(view_.shown(), view_.total()) + " of all; callers above what they call");
  }

  void Text(double x, double y, const std::string& attributes, const std::string& text) {
    out_ += "<text x=\"" + Fixed(x, 1) + "\" y=\"" + Fixed(y, 1) + "\" " + attributes + ">" +
            EscapeMarkup(text) + "</text>\n";
  }

  std::string Tip(const pprof::CallNode& node, const pprof::Frame& frame) const {
    const double scale = view_.value().scale;
    const double cumulative = static_cast<double>(node.cumulative) * scale;
    const double flat = static_cast<double>(node.flat) * scale;
    const std::string& unit = view_.value().unit;
    std::string tip = frame.name;
    const std::string place = PlaceOf(frame.file, frame.line);
    if (!place.empty()) tip += "\n" + place;
    if (!frame.mapping.empty()) tip += "\n" + frame.mapping;
    return tip + "\n" + FormatValue(cumulative, unit) + ", " + Percent(cumulative, view_.total()) +
           "; itself " + FormatValue(flat, unit) + ", " + Percent(flat, view_.total());
  }

  void Box(const PlacedNode& placed) {
    const pprof::CallNode& node = tree_.nodes[placed.node];
    const pprof::Frame& frame = tree_.FrameOf(node);
    const double x = kMargin + static_cast<double>(placed.start) * per_unit_;
    const double width = static_cast<double>(node.cumulative) * per_unit_;
    const double y = kTop + (placed.depth - 1) * kRow;
    out_ += "<g><title>" + EscapeMarkup(Tip(node, frame)) + "</title><rect x=\"" + Fixed(x, 2) +
            "\" y=\"" + Fixed(y, 0) + "\" width=\"" + Fixed(std::max(width - 0.5, 0.3), 2) +
            "\" height=\"" + Fixed(kRow - 1, 0) + "\" rx=\"1.5\" fill=\"" + ColourOf(frame) +
            "\"/>";
    const std::string label = Label(ShortFrameName(frame, view_.question().by), width);
    if (!label.empty()) Text(x + 3, y + 12.5, "pointer-events=\"none\"", label);
    out_ += "</g>\n";
  }

  const ProfileView& view_;
  const pprof::CallTree tree_;
  const std::string title_;
  double per_unit_ = 0;
  std::vector<PlacedNode> placed_;
  std::string out_;
};

// Length of the UTF-8 sequence that starts here, 0 when it is none.
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t length = byte(0) < 0x80   ? 1
                        : byte(0) < 0xc2 ? 0
                        : byte(0) < 0xe0 ? 2
                        : byte(0) < 0xf0 ? 3
                        : byte(0) < 0xf5 ? 4
                                         : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  if (byte(0) == 0xe0 && byte(1) < 0xa0) return 0;
  if (byte(0) == 0xed && byte(1) > 0x9f) return 0;  // surrogates
  if (byte(0) == 0xf0 && byte(1) < 0x90) return 0;
  if (byte(0) == 0xf4 && byte(1) > 0x8f) return 0;
  return length;
}

}  // namespace

std::string EscapeMarkup(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    const char c = text[0];
    const bool forbidden = static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t';
    if (length == 0 || forbidden)
      out += '?';
    else if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else
      out += text.substr(0, length);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

std::string FlameSvg(const ProfileView& view, const std::string& title) {
  return Drawing(view, title).Draw();
}

}  // namespace sonde::cli
