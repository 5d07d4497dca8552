// SPDX-License-Identifier: Apache-2.0
#include "profile/encode.h"

#include "profile/gzip.h"
#include "profile/proto_fields.h"
#include "profile/wire.h"

namespace sonde::pprof {
namespace {

using wire::Writer;

// kNone becomes 0, which is profile.proto's "none".
uint64_t Id(uint32_t index) { return index == kNone ? 0 : uint64_t{index} + 1; }

void Write(const ValueType& type, Writer* out) {
  out->Uint(field::kType, type.type);
  out->Uint(field::kUnit, type.unit);
}

void Write(const Label& label, Writer* out) {
  out->Uint(field::kLabelKey, label.key);
  out->Uint(field::kLabelText, label.text);
  out->Int(field::kLabelNumber, label.number);
  out->Uint(field::kLabelUnit, label.unit);
}

void Write(const Line& line, Writer* out) {
  out->Uint(field::kLineFunction, Id(line.function));
  out->Int(field::kLineNumber, line.line);
}

void Write(const Mapping& mapping, Writer* out) {
  out->Uint(field::kMemoryStart, mapping.start);
  out->Uint(field::kMemoryLimit, mapping.limit);
  out->Uint(field::kFileOffset, mapping.offset);
  out->Uint(field::kFile, mapping.file);
  out->Uint(field::kBuildId, mapping.build_id);
  out->Bool(field::kHasFunctions, mapping.has_functions);
  out->Bool(field::kHasFilenames, mapping.has_filenames);
  out->Bool(field::kHasLineNumbers, mapping.has_line_numbers);
  out->Bool(field::kHasInlineFrames, mapping.has_inline_frames);
}

void Write(const Location& location, Writer* out) {
  out->Uint(field::kLocationMapping, Id(location.mapping));
  out->Uint(field::kAddress, location.address);
  Writer part;
  for (const Line& line : location.lines) {
    part.Clear();
    Write(line, &part);
    out->BytesAlways(field::kLine, part.bytes());
  }
  out->Bool(field::kIsFolded, location.is_folded);
}

void Write(const Function& function, Writer* out) {
  out->Uint(field::kName, function.name);
  out->Uint(field::kSystemName, function.system_name);
  out->Uint(field::kFunctionFile, function.file);
  out->Int(field::kStartLine, function.start_line);
}

// Messages without an id of their own.
template <class Item>
void WriteAll(uint32_t field, const std::vector<Item>& items, Writer* out) {
  Writer part;
  for (const Item& item : items) {
    part.Clear();
    Write(item, &part);
    out->BytesAlways(field, part.bytes());
  }
}

// Messages whose first field is their id: index + 1.
template <class Item>
void WriteNumbered(uint32_t field, const std::vector<Item>& items, Writer* out) {
  Writer part;
  for (size_t i = 0; i < items.size(); ++i) {
    part.Clear();
    part.Uint(1, i + 1);
    Write(items[i], &part);
    out->BytesAlways(field, part.bytes());
  }
}

}  // namespace

Encoder::Encoder(const std::vector<ValueType>& sample_types) {
  WriteAll(field::kSampleType, sample_types, &out_);
}

void Encoder::Add(const Sample& sample) {
  part_.Clear();
  part_.Packed(field::kLocationId, sample.locations, 1);
  part_.Packed(field::kValue, sample.values);
  for (const Label& label : sample.labels) {
    label_.Clear();
    Write(label, &label_);
    part_.BytesAlways(field::kLabel, label_.bytes());
  }
  out_.BytesAlways(field::kSample, part_.bytes());
}

std::string Encoder::Finish(const Profile& rest) {
  WriteNumbered(field::kMapping, rest.mappings, &out_);
  WriteNumbered(field::kLocation, rest.locations, &out_);
  WriteNumbered(field::kFunction, rest.functions, &out_);
  for (const std::string& text : rest.strings) out_.BytesAlways(field::kStringTable, text);
  out_.Uint(field::kDropFrames, rest.drop_frames);
  out_.Uint(field::kKeepFrames, rest.keep_frames);
  out_.Int(field::kTimeNanos, rest.time_nanos);
  out_.Int(field::kDurationNanos, rest.duration_nanos);
  if (rest.period_type != ValueType()) {
    WriteAll(field::kPeriodType, std::vector<ValueType>{rest.period_type}, &out_);
  }
  out_.Int(field::kPeriod, rest.period);
  out_.Packed(field::kComment, rest.comments);
  out_.Uint(field::kDefaultSampleType, rest.default_sample_type);
  return out_.Take();
}

std::string Encoder::FinishGz(const Profile& rest) { return Gzip(Finish(rest)); }

std::string Encode(const Profile& profile) {
  Encoder encoder(profile.sample_types);
  for (const Sample& sample : profile.samples) encoder.Add(sample);
  return encoder.Finish(profile);
}

std::string EncodeGz(const Profile& profile) { return Gzip(Encode(profile)); }

}  // namespace sonde::pprof
