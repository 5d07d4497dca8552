// SPDX-License-Identifier: Apache-2.0
#include "collectors/safe/region_ring.h"

namespace sonde {
namespace {

// A record: mark | bytes, position, start, end, checksum, payload. The position tells a record from
// what an earlier lap left in its place.
constexpr uint64_t kMark = 0x53544550;  // "PETS" in memory
constexpr uint32_t kHeadWords = 5;

// Part of the section, walked modulo its length.
struct Words {
  Shared<uint64_t>* base;
  uint64_t count;
  // Cold path only.
  Shared<uint64_t>& At(uint64_t position) const { return base[position % count]; }
};

// Cold path only.
Words RingOf(const Region& region) {
  return {region.ring, region.counts.ring_bytes / sizeof(uint64_t)};
}

// Cold path only.
Words OpenCopy(const Region& region, uint32_t sequence) {
  const uint64_t words = region.counts.open_step_bytes / sizeof(uint64_t);
  return {region.open_steps + (sequence & 1) * words, words};
}

// Cold path only.
uint64_t WordsFor(uint32_t bytes) { return kHeadWords + (uint64_t{bytes} + 7) / 8; }

// Cold path only. The i-th eight bytes of a payload, zeros behind its end.
uint64_t PayloadWord(const unsigned char* bytes, uint32_t size, uint64_t i) {
  uint64_t word = 0;
  for (uint64_t j = 0; j < 8 && i * 8 + j < size; ++j) {
    word |= uint64_t{bytes[i * 8 + j]} << (j * 8);
  }
  return word;
}

// Cold path only. Not against an attacker: the reader trusts nothing that a payload says either.
uint64_t Mix(uint64_t sum, uint64_t word) {
  sum = (sum ^ word) * 0x9e3779b97f4a7c15;
  return sum ^ (sum >> 29);
}

// Cold path only.
uint64_t Checksum(uint64_t position, const RingStep& step, const unsigned char* bytes) {
  uint64_t sum = Mix(Mix(Mix(Mix(0, position), step.start_ns), step.end_ns), step.bytes);
  for (uint64_t i = 0; i * 8 < step.bytes; ++i) sum = Mix(sum, PayloadWord(bytes, step.bytes, i));
  return sum;
}

// Cold path only.
void WriteRecord(const Words& words, uint64_t position, const RingStep& step,
                 const unsigned char* bytes) {
  words.At(position).Store(kMark << 32 | step.bytes);
  words.At(position + 1).Store(position);
  words.At(position + 2).Store(step.start_ns);
  words.At(position + 3).Store(step.end_ns);
  words.At(position + 4).Store(Checksum(position, step, bytes));
  for (uint64_t i = 0; i * 8 < step.bytes; ++i) {
    words.At(position + kHeadWords + i).Store(PayloadWord(bytes, step.bytes, i));
  }
}

// Cold path only. The length that a record claims; false: it is none.
bool ReadClaim(const Words& words, uint64_t position, uint32_t max_bytes, RingStep* step) {
  const uint64_t first = words.At(position).Load();
  step->bytes = static_cast<uint32_t>(first);
  return first >> 32 == kMark && step->bytes <= max_bytes &&
         words.At(position + 1).Load() == position;
}

// Cold path only. What was claimed. False: it is not what was written.
bool ReadRecord(const Words& words, uint64_t position, RingStep* step, unsigned char* bytes) {
  step->start_ns = words.At(position + 2).Load();
  step->end_ns = words.At(position + 3).Load();
  for (uint64_t i = 0; i < step->bytes; ++i) {
    const uint64_t word = words.At(position + kHeadWords + i / 8).Load();
    bytes[i] = static_cast<unsigned char>(word >> (i % 8 * 8));
  }
  return words.At(position + 4).Load() == Checksum(position, *step, bytes);
}

// Cold path only. Frees words at the tail until `needed` fit behind `head`. What is no record there
// can only come from outside: then everything goes.
void MakeRoom(const Region& region, const Words& ring, uint64_t head, uint64_t needed) {
  uint64_t tail = region.header->ring_tail.Load();
  while (head + needed - tail > ring.count) {
    RingStep oldest;
    const bool known = ReadClaim(ring, tail, MaxStepBytes(region), &oldest) &&
                       WordsFor(oldest.bytes) <= head - tail;
    tail = known ? tail + WordsFor(oldest.bytes) : head;
    region.header->ring_tail.Store(tail);
  }
}

}  // namespace

uint32_t MaxStepBytes(const Region& region) {
  const uint32_t open = region.counts.open_step_bytes;
  const uint32_t share = region.counts.ring_bytes / 2;
  return (open < share ? open : share) - kHeadWords * uint32_t{sizeof(uint64_t)} - 8;
}

bool AppendStep(const Region& region, const RingStep& step, const void* bytes) {
  if (step.bytes > MaxStepBytes(region)) return false;
  const Words ring = RingOf(region);
  const uint64_t head = region.header->ring_head.Load();
  MakeRoom(region, ring, head, WordsFor(step.bytes));
  WriteRecord(ring, head, step, static_cast<const unsigned char*>(bytes));
  region.header->ring_head.Store(head + WordsFor(step.bytes));
  return true;
}

bool StoreOpenStep(const Region& region, const RingStep& step, const void* bytes) {
  if (step.bytes > MaxStepBytes(region)) return false;
  const uint32_t sequence = region.header->open_step_active.Load() + 1;
  WriteRecord(OpenCopy(region, sequence), 0, step, static_cast<const unsigned char*>(bytes));
  region.header->open_step_active.Store(sequence);
  return true;
}

RingCursor OldestStep(const Region& region) {
  const uint64_t tail = region.header->ring_tail.Load();
  const uint64_t head = region.header->ring_head.Load();
  const uint64_t words = region.counts.ring_bytes / sizeof(uint64_t);
  // Else it is hostile: a ring never holds more than itself.
  if (head < tail || head - tail > words) return {};
  return {tail, head};
}

RingRead ReadStep(const Region& region, RingCursor* cursor, RingStep* step, void* bytes) {
  if (cursor->at >= cursor->end) return RingRead::kEnd;
  const Words ring = RingOf(region);
  if (!ReadClaim(ring, cursor->at, MaxStepBytes(region), step) ||
      WordsFor(step->bytes) > cursor->end - cursor->at) {
    cursor->at = cursor->end;  // nobody knows where the next one begins
    return RingRead::kDamaged;
  }
  const bool whole = ReadRecord(ring, cursor->at, step, static_cast<unsigned char*>(bytes));
  cursor->at += WordsFor(step->bytes);
  return whole ? RingRead::kStep : RingRead::kDamaged;
}

bool ReadOpenStep(const Region& region, RingStep* step, void* bytes) {
  const Words copy = OpenCopy(region, region.header->open_step_active.Load());
  if (!ReadClaim(copy, 0, MaxStepBytes(region), step)) return false;
  return ReadRecord(copy, 0, step, static_cast<unsigned char*>(bytes)) && step->bytes != 0;
}

}  // namespace sonde
