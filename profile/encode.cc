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

void Write(const Sample& sample, Writer* out) {
  out->Packed(field::kLocationId, sample.locations, 1);
  out->Packed(field::kValue, sample.values);
  Writer part;
  for (const Label& label : sample.labels) {
    part.Clear();
    Write(label, &part);
    out->BytesAlways(field::kLabel, part.bytes());
  }
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

std::string Encode(const Profile& profile) {
  Writer out;
  WriteAll(field::kSampleType, profile.sample_types, &out);
  WriteAll(field::kSample, profile.samples, &out);
  WriteNumbered(field::kMapping, profile.mappings, &out);
  WriteNumbered(field::kLocation, profile.locations, &out);
  WriteNumbered(field::kFunction, profile.functions, &out);
  for (const std::string& text : profile.strings) out.BytesAlways(field::kStringTable, text);
  out.Uint(field::kDropFrames, profile.drop_frames);
  out.Uint(field::kKeepFrames, profile.keep_frames);
  out.Int(field::kTimeNanos, profile.time_nanos);
  out.Int(field::kDurationNanos, profile.duration_nanos);
  if (profile.period_type != ValueType()) {
    WriteAll(field::kPeriodType, std::vector<ValueType>{profile.period_type}, &out);
  }
  out.Int(field::kPeriod, profile.period);
  out.Packed(field::kComment, profile.comments);
  out.Uint(field::kDefaultSampleType, profile.default_sample_type);
  return out.Take();
}

std::string EncodeGz(const Profile& profile) { return Gzip(Encode(profile)); }

}  // namespace sonde::pprof
