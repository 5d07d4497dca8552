// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints/frame_names.h"

#include <algorithm>

#include "agent/endpoints/cpu_profile.h"
#include "agent/endpoints/text_util.h"
#include "profile/frame_text.h"

namespace sonde {

FrameNames::FrameNames(Context* context, int pid, const std::vector<Mapping>* remembered)
    : symbols_(&context->Symbols()), pid_(pid) {
  const AgentStatus status = context->sources->Status();
  if (pid_ == 0) pid_ = status.pid;
  mappings_ = MappingsOf(pid_, status, context->sources);
  if (mappings_.empty() && remembered != nullptr) mappings_ = *remembered;
  // A child that has ended had what its parent has, mostly.
  if (mappings_.empty()) mappings_ = MappingsOf(status.pid, status, context->sources);
  std::sort(mappings_.begin(), mappings_.end(),
            [](const Mapping& a, const Mapping& b) { return a.start < b.start; });
}

const Mapping* FrameNames::MappingAt(uint64_t address) const {
  const auto after =
      std::upper_bound(mappings_.begin(), mappings_.end(), address,
                       [](uint64_t at, const Mapping& mapping) { return at < mapping.start; });
  if (after == mappings_.begin() || !std::prev(after)->Contains(address)) return nullptr;
  return &*std::prev(after);
}

void FrameNames::Announce(const std::vector<uint64_t>& frames) {
  for (size_t i = 0; i < frames.size(); ++i) {
    const Mapping* mapping = MappingAt(InstructionOf(frames, i));
    if (mapping != nullptr && mapping->IsGenerated())
      generated_.push_back(InstructionOf(frames, i));
  }
}

void FrameNames::ReadPerfMap() {
  std::sort(generated_.begin(), generated_.end());
  generated_.erase(std::unique(generated_.begin(), generated_.end()), generated_.end());
  symbols_->ReadPerfMap(pid_, generated_);
  generated_.clear();
}

const NamedFrame& FrameNames::Of(uint64_t address) {
  const auto [place, is_new] = known_.try_emplace(address);
  NamedFrame& frame = place->second;
  if (!is_new) return frame;
  frame.text = HexText(address);
  const Mapping* const found = MappingAt(address);
  if (found == nullptr) return frame;
  const Mapping& mapping = *found;
  frame.module = mapping.path.substr(mapping.path.rfind('/') + 1);
  const Symbol symbol = symbols_->Lookup(mapping, address);
  frame.function = ValidUtf8(symbol.name);
  frame.offset = FrameOffset(symbol, mapping, address);
  frame.text = ValidUtf8(FrameText(symbol, mapping, address));
  return frame;
}

std::vector<std::string_view> FrameNames::Functions(const std::vector<uint64_t>& frames,
                                                    size_t count) {
  std::vector<std::string_view> names;
  for (size_t i = 0; i < std::min(count, frames.size()); ++i) {
    names.push_back(Of(InstructionOf(frames, i)).function);
  }
  return names;
}

}  // namespace sonde
