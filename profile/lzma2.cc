// SPDX-License-Identifier: Apache-2.0
#include "profile/lzma2.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace sonde {
namespace {

using Prob = uint16_t;
constexpr Prob kEven = 1024;  // of 2048: a bit that is as often 0 as 1
constexpr uint32_t kProbBits = 11;
constexpr int kMoveBits = 5;
constexpr uint32_t kTop = 1u << 24;
constexpr size_t kPosStates = 16;
constexpr size_t kStates = 12;
constexpr size_t kLiteralProbs = 0x300;
constexpr uint32_t kShortestMatch = 2;
constexpr uint32_t kFirstModelled = 4;  // distance slots that have bits of their own
constexpr uint32_t kLastModelled = 14;

template <size_t N>
void Even(std::array<Prob, N>* probs) {
  probs->fill(kEven);
}

// The range decoder, over one chunk. A chunk that ends too early gives zeros and is no longer
// sound.
class Range {
 public:
  void Start(std::span<const uint8_t> in) {
    in_ = in;
    at_ = 0;
    range_ = UINT32_MAX;
    code_ = 0;
    sound_ = Next() == 0;
    for (int i = 0; i < 4; ++i) code_ = code_ << 8 | Next();
  }

  bool sound() const { return sound_; }
  // All of the chunk was used, and nothing is left over in the code.
  bool finished() const { return sound_ && at_ == in_.size() && code_ == 0; }

  uint32_t Bit(Prob* prob) {
    const uint32_t bound = (range_ >> kProbBits) * *prob;
    uint32_t bit = 0;
    if (code_ < bound) {
      range_ = bound;
      *prob = static_cast<Prob>(*prob + ((2048 - *prob) >> kMoveBits));
    } else {
      range_ -= bound;
      code_ -= bound;
      *prob = static_cast<Prob>(*prob - (*prob >> kMoveBits));
      bit = 1;
    }
    Normalize();
    return bit;
  }

  uint32_t Direct(uint32_t count) {
    uint32_t value = 0;
    for (; count > 0; --count) {
      range_ >>= 1;
      const uint32_t bit = code_ >= range_ ? 1 : 0;
      if (bit != 0) code_ -= range_;
      value = value << 1 | bit;
      Normalize();
    }
    return value;
  }

  uint32_t Tree(Prob* probs, uint32_t bits) {
    uint32_t symbol = 1;
    for (uint32_t i = 0; i < bits; ++i) symbol = symbol << 1 | Bit(&probs[symbol]);
    return symbol - (1u << bits);
  }

  // Lowest bit first.
  uint32_t ReverseTree(Prob* probs, uint32_t bits) {
    uint32_t symbol = 1;
    uint32_t value = 0;
    for (uint32_t i = 0; i < bits; ++i) {
      const uint32_t bit = Bit(&probs[symbol]);
      symbol = symbol << 1 | bit;
      value |= bit << i;
    }
    return value;
  }

 private:
  uint8_t Next() {
    if (at_ < in_.size()) return in_[at_++];
    sound_ = false;
    return 0;
  }
  void Normalize() {
    if (range_ >= kTop) return;
    range_ <<= 8;
    code_ = code_ << 8 | Next();
  }

  std::span<const uint8_t> in_;
  size_t at_ = 0;
  uint32_t range_ = 0;
  uint32_t code_ = 0;
  bool sound_ = false;
};

struct LengthModel {
  Prob is_middle = kEven;
  Prob is_high = kEven;
  std::array<std::array<Prob, 8>, kPosStates> low;
  std::array<std::array<Prob, 8>, kPosStates> middle;
  std::array<Prob, 256> high;

  void Reset() {
    is_middle = is_high = kEven;
    for (auto& probs : low) Even(&probs);
    for (auto& probs : middle) Even(&probs);
    Even(&high);
  }
  uint32_t Decode(Range* range, uint32_t pos_state) {
    if (range->Bit(&is_middle) == 0) return kShortestMatch + range->Tree(low[pos_state].data(), 3);
    if (range->Bit(&is_high) == 0)
      return kShortestMatch + 8 + range->Tree(middle[pos_state].data(), 3);
    return kShortestMatch + 16 + range->Tree(high.data(), 8);
  }
};

uint32_t AfterLiteral(uint32_t state) { return state < 4 ? 0 : state < 10 ? state - 3 : state - 6; }

}  // namespace

// The state that lives from chunk to chunk.
class Lzma2Decoder::Lzma {
 public:
  explicit Lzma(std::string* out) : out_(out) { ResetState(); }

  void ResetDictionary() { dictionary_ = out_->size(); }

  bool SetProperties(uint8_t byte) {
    if (byte >= 9 * 5 * 5) return false;
    literal_context_ = byte % 9;
    literal_position_ = byte / 9 % 5;
    pos_mask_ = (1u << (byte / 45)) - 1;
    return literal_context_ + literal_position_ <= 4;
  }

  void ResetState() {
    state_ = 0;
    last_.fill(0);
    for (auto& probs : is_match_) Even(&probs);
    for (auto& probs : is_long_rep_) Even(&probs);
    for (auto* probs : {&is_rep_, &is_not_rep0_, &is_not_rep1_, &is_not_rep2_}) Even(probs);
    for (auto& probs : slots_) Even(&probs);
    Even(&modelled_);
    Even(&aligned_);
    lengths_.Reset();
    rep_lengths_.Reset();
    literals_.fill(kEven);
  }

  // Exactly `size` more bytes of output from all of `in`.
  bool Decode(std::span<const uint8_t> in, size_t size) {
    range_.Start(in);
    const size_t end = out_->size() + size;
    while (range_.sound() && out_->size() < end) {
      if (!Symbol(end)) return false;
    }
    return range_.finished();
  }

 private:
  size_t Position() const { return out_->size() - dictionary_; }

  bool Symbol(size_t end) {
    const uint32_t pos_state = static_cast<uint32_t>(Position()) & pos_mask_;
    if (range_.Bit(&is_match_[state_][pos_state]) == 0) {
      Literal();
      return true;
    }
    uint32_t length = 0;
    if (range_.Bit(&is_rep_[state_]) == 0) {
      length = lengths_.Decode(&range_, pos_state);
      state_ = state_ < 7 ? 7 : 10;
      last_ = {Distance(length), last_[0], last_[1], last_[2]};
    } else {
      length = Repeat(pos_state);
    }
    return Copy(last_[0], length, end);
  }

  void Literal() {
    const uint32_t before = Position() > 0 ? static_cast<uint8_t>(out_->back()) : 0;
    const uint32_t place = static_cast<uint32_t>(Position()) & ((1u << literal_position_) - 1);
    const uint32_t context = place << literal_context_ | before >> (8 - literal_context_);
    Prob* probs = &literals_[context * kLiteralProbs];
    uint32_t symbol = 1;
    if (state_ >= 7 && last_[0] < Position()) {
      uint32_t match = static_cast<uint8_t>((*out_)[out_->size() - last_[0] - 1]);
      while (symbol < 0x100) {
        const uint32_t match_bit = match >> 7 & 1;
        match <<= 1;
        const uint32_t bit = range_.Bit(&probs[((1 + match_bit) << 8) + symbol]);
        symbol = symbol << 1 | bit;
        if (match_bit != bit) break;
      }
    }
    while (symbol < 0x100) symbol = symbol << 1 | range_.Bit(&probs[symbol]);
    out_->push_back(static_cast<char>(symbol));
    state_ = AfterLiteral(state_);
  }

  // One of the last four distances again; returns the length.
  uint32_t Repeat(uint32_t pos_state) {
    if (range_.Bit(&is_not_rep0_[state_]) == 0) {
      if (range_.Bit(&is_long_rep_[state_][pos_state]) == 0) {
        state_ = state_ < 7 ? 9 : 11;
        return 1;
      }
    } else if (range_.Bit(&is_not_rep1_[state_]) == 0) {
      last_ = {last_[1], last_[0], last_[2], last_[3]};
    } else if (range_.Bit(&is_not_rep2_[state_]) == 0) {
      last_ = {last_[2], last_[0], last_[1], last_[3]};
    } else {
      last_ = {last_[3], last_[0], last_[1], last_[2]};
    }
    state_ = state_ < 7 ? 8 : 11;
    return rep_lengths_.Decode(&range_, pos_state);
  }

  uint32_t Distance(uint32_t length) {
    const uint32_t group = std::min<uint32_t>(length - kShortestMatch, 3);
    const uint32_t slot = range_.Tree(slots_[group].data(), 6);
    if (slot < kFirstModelled) return slot;
    const uint32_t bits = (slot >> 1) - 1;
    uint32_t distance = (2 | (slot & 1)) << bits;
    if (slot < kLastModelled)
      return distance + range_.ReverseTree(&modelled_[distance - slot], bits);
    distance += range_.Direct(bits - 4) << 4;
    return distance + range_.ReverseTree(aligned_.data(), 4);
  }

  bool Copy(uint32_t distance, uint32_t length, size_t end) {
    if (distance >= Position() || length > end - out_->size()) return false;
    for (; length > 0; --length) out_->push_back((*out_)[out_->size() - distance - 1]);
    return true;
  }

  std::string* const out_;
  size_t dictionary_ = 0;  // where it begins in *out_
  Range range_;
  uint32_t literal_context_ = 0;
  uint32_t literal_position_ = 0;
  uint32_t pos_mask_ = 0;
  uint32_t state_ = 0;
  std::array<uint32_t, 4> last_;  // distances, less one
  std::array<std::array<Prob, kPosStates>, kStates> is_match_;
  std::array<std::array<Prob, kPosStates>, kStates> is_long_rep_;
  std::array<Prob, kStates> is_rep_;
  std::array<Prob, kStates> is_not_rep0_;
  std::array<Prob, kStates> is_not_rep1_;
  std::array<Prob, kStates> is_not_rep2_;
  std::array<std::array<Prob, 64>, 4> slots_;
  std::array<Prob, 128> modelled_;
  std::array<Prob, 16> aligned_;
  LengthModel lengths_;
  LengthModel rep_lengths_;
  std::array<Prob, kLiteralProbs * 16> literals_;
};

Lzma2Decoder::Lzma2Decoder(std::string* out, size_t max_bytes)
    : out_(out), max_bytes_(max_bytes), lzma_(std::make_unique<Lzma>(out)) {}
Lzma2Decoder::~Lzma2Decoder() = default;

Result<size_t> Lzma2Decoder::Decode(std::span<const uint8_t> in) {
  const Error damaged{"xz: the packed data is damaged"};
  bool may_copy = false;    // a dictionary was begun
  bool may_decode = false;  // properties are known
  size_t at = 0;
  while (at < in.size()) {
    const uint8_t control = in[at++];
    if (control == 0) return at;
    const bool packed = control >= 0x80;
    const size_t head = packed ? (control >= 0xc0 ? 5 : 4) : 2;
    if ((!packed && control > 2) || in.size() - at < head) return damaged;
    size_t size = size_t{in[at]} << 8 | in[at + 1];
    size += 1 + (packed ? size_t{control & 0x1fu} << 16 : 0);
    if (size > max_bytes_ - out_->size())
      return Error{"xz: unpacks to more than " + std::to_string(max_bytes_) + " bytes"};
    if (control == 1 || control >= 0xe0) {
      lzma_->ResetDictionary();
      may_copy = true;
    }
    if (!may_copy) return damaged;
    if (!packed) {
      at += head;
      if (in.size() - at < size) return damaged;
      out_->append(reinterpret_cast<const char*>(in.data() + at), size);
      at += size;
      continue;
    }
    const size_t packed_size = (size_t{in[at + 2]} << 8 | in[at + 3]) + 1;
    if (control >= 0xc0 && !lzma_->SetProperties(in[at + 4])) return damaged;
    may_decode = may_decode || control >= 0xc0;
    if (control >= 0xa0) lzma_->ResetState();
    at += head;
    if (!may_decode || in.size() - at < packed_size) return damaged;
    if (!lzma_->Decode(in.subspan(at, packed_size), size)) return damaged;
    at += packed_size;
  }
  return damaged;
}

}  // namespace sonde
