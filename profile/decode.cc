// SPDX-License-Identifier: Apache-2.0
// Two steps, because the fields of a message may come in any order: read what is there with the ids
// of the file, then (Resolver) replace ids by indexes and check them.
#include "profile/decode.h"

#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "profile/gzip.h"
#include "profile/proto_fields.h"
#include "profile/wire.h"

namespace sonde::pprof {
namespace {

using wire::Reader;
using wire::Type;

// What one item takes, raw and resolved form together; generous, so that the limit holds.
constexpr size_t kMessageBytes = 192;
constexpr size_t kNumberBytes = 24;

struct RawSample {
  std::vector<uint64_t> locations;
  std::vector<int64_t> values;
  std::vector<Label> labels;
  size_t at = 0;  // byte offset, for errors
};

struct RawLine {
  uint64_t function = 0;
  int64_t line = 0;
};

struct RawLocation {
  uint64_t id = 0;
  uint64_t mapping = 0;
  uint64_t address = 0;
  std::vector<RawLine> lines;
  bool is_folded = false;
};

// Reads messages into the raw form. The first error ends everything.
class Parser {
 public:
  explicit Parser(const DecodeLimits& limits) : limits_(limits) {}

  bool Parse(std::string_view bytes);
  Error error() const { return Error{"profile: " + error_}; }

  Profile profile;  // all but samples and locations; strings and functions by the file's numbers
  std::vector<RawSample> samples;
  std::vector<RawLocation> locations;
  std::vector<uint64_t> mapping_ids;
  std::vector<uint64_t> function_ids;

 private:
  // Calls one(reader) for each field of the message.
  template <class One>
  bool Message(std::string_view bytes, size_t base, const char* name, One one) {
    Reader in(bytes, base);
    while (error_.empty() && in.Next()) one(in);
    if (in.failed()) return Fail(std::string(name) + ": " + in.error());
    return error_.empty();
  }

  void TopField(Reader& in);
  void NumberField(const Reader& in);
  void ReadSample(const Reader& in);
  void ReadLocation(const Reader& in);
  void ReadMapping(const Reader& in);
  void ReadFunction(const Reader& in);
  Label ReadLabel(const Reader& in);
  RawLine ReadLine(const Reader& in);
  ValueType ReadValueType(const Reader& in);
  template <class T>
  void ReadNumbers(const Reader& in, std::vector<T>* out);

  uint64_t Number(const Reader& in);
  StringId String(const Reader& in);
  bool IsMessage(const Reader& in);
  bool Count(size_t bytes);
  bool Fail(std::string error) {
    if (error_.empty()) error_ = std::move(error);
    return false;
  }

  const DecodeLimits& limits_;
  size_t memory_ = 0;
  std::string error_;
};

std::string Where(const Reader& in) {
  return "field " + std::to_string(in.field()) + " before byte " +
         std::to_string(in.value_offset());
}

bool Parser::Count(size_t bytes) {
  memory_ += bytes;
  if (memory_ <= limits_.max_memory_bytes) return true;
  return Fail("would take more memory than the limit of " +
              std::to_string(limits_.max_memory_bytes) + " bytes");
}

uint64_t Parser::Number(const Reader& in) {
  if (in.type() == Type::kVarint) return in.number();
  Fail(Where(in) + ": expected a number");
  return 0;
}

StringId Parser::String(const Reader& in) {
  const uint64_t id = Number(in);
  if (id < kNone) return static_cast<StringId>(id);
  Fail(Where(in) + ": string number " + std::to_string(id) + " out of range");
  return 0;
}

bool Parser::IsMessage(const Reader& in) {
  if (in.type() != Type::kBytes) return Fail(Where(in) + ": expected a message or text");
  return Count(kMessageBytes + in.bytes().size());
}

// Repeated numbers may be packed or single.
template <class T>
void Parser::ReadNumbers(const Reader& in, std::vector<T>* out) {
  if (in.type() != Type::kBytes) {
    if (Count(kNumberBytes)) out->push_back(static_cast<T>(Number(in)));
    return;
  }
  Reader packed(in.bytes(), in.value_offset());
  uint64_t value;
  while (packed.NextPacked(&value)) {
    if (!Count(kNumberBytes)) return;
    out->push_back(static_cast<T>(value));
  }
  if (packed.failed()) Fail("packed numbers: " + packed.error());
}

ValueType Parser::ReadValueType(const Reader& message) {
  ValueType type;
  Message(message.bytes(), message.value_offset(), "value type", [&](const Reader& in) {
    if (in.field() == field::kType) type.type = String(in);
    if (in.field() == field::kUnit) type.unit = String(in);
  });
  return type;
}

Label Parser::ReadLabel(const Reader& message) {
  Label label;
  Message(message.bytes(), message.value_offset(), "label", [&](const Reader& in) {
    if (in.field() == field::kLabelKey) label.key = String(in);
    if (in.field() == field::kLabelText) label.text = String(in);
    if (in.field() == field::kLabelNumber) label.number = static_cast<int64_t>(Number(in));
    if (in.field() == field::kLabelUnit) label.unit = String(in);
  });
  return label;
}

void Parser::ReadSample(const Reader& message) {
  RawSample& sample = samples.emplace_back();
  sample.at = message.value_offset();
  Message(message.bytes(), message.value_offset(), "sample", [&](const Reader& in) {
    if (in.field() == field::kLocationId) ReadNumbers(in, &sample.locations);
    if (in.field() == field::kValue) ReadNumbers(in, &sample.values);
    if (in.field() == field::kLabel && IsMessage(in)) sample.labels.push_back(ReadLabel(in));
  });
}

void Parser::ReadMapping(const Reader& message) {
  Mapping& mapping = profile.mappings.emplace_back();
  uint64_t& id = mapping_ids.emplace_back();
  Message(message.bytes(), message.value_offset(), "mapping", [&](const Reader& in) {
    if (in.field() == field::kMappingId) id = Number(in);
    if (in.field() == field::kMemoryStart) mapping.start = Number(in);
    if (in.field() == field::kMemoryLimit) mapping.limit = Number(in);
    if (in.field() == field::kFileOffset) mapping.offset = Number(in);
    if (in.field() == field::kFile) mapping.file = String(in);
    if (in.field() == field::kBuildId) mapping.build_id = String(in);
    if (in.field() == field::kHasFunctions) mapping.has_functions = Number(in) != 0;
    if (in.field() == field::kHasFilenames) mapping.has_filenames = Number(in) != 0;
    if (in.field() == field::kHasLineNumbers) mapping.has_line_numbers = Number(in) != 0;
    if (in.field() == field::kHasInlineFrames) mapping.has_inline_frames = Number(in) != 0;
  });
}

RawLine Parser::ReadLine(const Reader& message) {
  RawLine line;
  Message(message.bytes(), message.value_offset(), "line", [&](const Reader& in) {
    if (in.field() == field::kLineFunction) line.function = Number(in);
    if (in.field() == field::kLineNumber) line.line = static_cast<int64_t>(Number(in));
  });
  return line;
}

void Parser::ReadLocation(const Reader& message) {
  RawLocation& location = locations.emplace_back();
  Message(message.bytes(), message.value_offset(), "location", [&](const Reader& in) {
    if (in.field() == field::kThisLocationId) location.id = Number(in);
    if (in.field() == field::kLocationMapping) location.mapping = Number(in);
    if (in.field() == field::kAddress) location.address = Number(in);
    if (in.field() == field::kLine && IsMessage(in)) location.lines.push_back(ReadLine(in));
    if (in.field() == field::kIsFolded) location.is_folded = Number(in) != 0;
  });
}

void Parser::ReadFunction(const Reader& message) {
  Function& function = profile.functions.emplace_back();
  uint64_t& id = function_ids.emplace_back();
  Message(message.bytes(), message.value_offset(), "function", [&](const Reader& in) {
    if (in.field() == field::kFunctionId) id = Number(in);
    if (in.field() == field::kName) function.name = String(in);
    if (in.field() == field::kSystemName) function.system_name = String(in);
    if (in.field() == field::kFunctionFile) function.file = String(in);
    if (in.field() == field::kStartLine) function.start_line = static_cast<int64_t>(Number(in));
  });
}

void Parser::NumberField(const Reader& in) {
  switch (in.field()) {
    case field::kDropFrames:
      profile.drop_frames = String(in);
      break;
    case field::kKeepFrames:
      profile.keep_frames = String(in);
      break;
    case field::kTimeNanos:
      profile.time_nanos = static_cast<int64_t>(Number(in));
      break;
    case field::kDurationNanos:
      profile.duration_nanos = static_cast<int64_t>(Number(in));
      break;
    case field::kPeriod:
      profile.period = static_cast<int64_t>(Number(in));
      break;
    case field::kComment:
      ReadNumbers(in, &profile.comments);
      break;
    case field::kDefaultSampleType:
      profile.default_sample_type = String(in);
      break;
    default:
      break;  // from a newer version of the format
  }
}

void Parser::TopField(Reader& in) {
  switch (in.field()) {
    case field::kSampleType:
      if (IsMessage(in)) profile.sample_types.push_back(ReadValueType(in));
      break;
    case field::kSample:
      if (IsMessage(in)) ReadSample(in);
      break;
    case field::kMapping:
      if (IsMessage(in)) ReadMapping(in);
      break;
    case field::kLocation:
      if (IsMessage(in)) ReadLocation(in);
      break;
    case field::kFunction:
      if (IsMessage(in)) ReadFunction(in);
      break;
    case field::kStringTable:
      if (IsMessage(in)) profile.strings.emplace_back(in.bytes());
      break;
    case field::kPeriodType:
      if (IsMessage(in)) profile.period_type = ReadValueType(in);
      break;
    default:
      NumberField(in);
  }
}

bool Parser::Parse(std::string_view bytes) {
  profile.strings.clear();  // the file brings its own ""
  return Message(bytes, 0, "top level", [&](Reader& in) { TopField(in); });
}

// Ids and string numbers of the file -> checked indexes.
class Resolver {
 public:
  explicit Resolver(Parser* parsed) : in_(*parsed), profile_(parsed->profile) {}

  std::optional<Error> Run() {
    if (profile_.strings.empty() || !profile_.strings[0].empty()) {
      return Error{"profile: string table: expected \"\" as its first entry"};
    }
    CheckHeaderStrings();
    NumberAll();
    for (RawLocation& location : in_.locations) AddLocation(&location);
    for (RawSample& sample : in_.samples) AddSample(&sample);
    if (error_.empty()) return std::nullopt;
    return Error{"profile: " + error_};
  }

 private:
  using Ids = std::unordered_map<uint64_t, uint32_t>;

  void CheckHeaderStrings();
  void NumberAll();
  void Number(const char* what, uint64_t id, size_t index, Ids* ids);
  uint32_t Index(const char* what, uint64_t id, const Ids& ids, const std::string& where);
  void AddLocation(RawLocation* raw);
  void AddSample(RawSample* raw);
  void Text(StringId id, const char* where) {
    if (id < profile_.strings.size()) return;
    Fail(std::string(where) + ": string number " + std::to_string(id) + ", the table has " +
         std::to_string(profile_.strings.size()));
  }
  void Fail(std::string error) {
    if (error_.empty()) error_ = std::move(error);
  }

  Parser& in_;
  Profile& profile_;
  Ids mappings_;
  Ids functions_;
  Ids locations_;
  std::string error_;
};

void Resolver::CheckHeaderStrings() {
  for (const ValueType& type : profile_.sample_types) {
    Text(type.type, "sample type");
    Text(type.unit, "sample type");
  }
  Text(profile_.period_type.type, "period type");
  Text(profile_.period_type.unit, "period type");
  Text(profile_.drop_frames, "drop_frames");
  Text(profile_.keep_frames, "keep_frames");
  Text(profile_.default_sample_type, "default sample type");
  for (const StringId comment : profile_.comments) Text(comment, "comment");
  for (const Mapping& mapping : profile_.mappings) {
    Text(mapping.file, "mapping");
    Text(mapping.build_id, "mapping");
  }
  for (const Function& function : profile_.functions) {
    Text(function.name, "function");
    Text(function.system_name, "function");
    Text(function.file, "function");
  }
}

void Resolver::Number(const char* what, uint64_t id, size_t index, Ids* ids) {
  if (id == 0) return Fail(std::string(what) + " without id: expected 1 or more");
  if (ids->try_emplace(id, static_cast<uint32_t>(index)).second) return;
  Fail(std::string(what) + " id " + std::to_string(id) + " is there twice");
}

void Resolver::NumberAll() {
  for (size_t i = 0; i < in_.mapping_ids.size(); ++i) {
    Number("mapping", in_.mapping_ids[i], i, &mappings_);
  }
  for (size_t i = 0; i < in_.function_ids.size(); ++i) {
    Number("function", in_.function_ids[i], i, &functions_);
  }
  for (size_t i = 0; i < in_.locations.size(); ++i) {
    Number("location", in_.locations[i].id, i, &locations_);
  }
}

uint32_t Resolver::Index(const char* what, uint64_t id, const Ids& ids, const std::string& where) {
  const auto found = ids.find(id);
  if (found != ids.end()) return found->second;
  Fail(where + " names " + what + " " + std::to_string(id) + ", which is not in the profile");
  return kNone;
}

void Resolver::AddLocation(RawLocation* raw) {
  if (!error_.empty()) return;
  const auto where = [&] { return "location " + std::to_string(raw->id); };
  Location location;
  location.address = raw->address;
  location.is_folded = raw->is_folded;
  if (raw->mapping != 0) location.mapping = Index("mapping", raw->mapping, mappings_, where());
  for (const RawLine& line : raw->lines) {
    const uint32_t function =
        line.function == 0 ? kNone : Index("function", line.function, functions_, where());
    location.lines.push_back({function, line.line});
  }
  raw->lines = {};
  profile_.locations.push_back(std::move(location));
}

void Resolver::AddSample(RawSample* raw) {
  if (!error_.empty()) return;
  const auto where = [&] { return "sample at byte " + std::to_string(raw->at); };
  if (raw->values.size() != profile_.sample_types.size()) {
    return Fail(where() + " has " + std::to_string(raw->values.size()) + " values, expected " +
                std::to_string(profile_.sample_types.size()) + ", one a sample type");
  }
  Sample sample;
  sample.locations.reserve(raw->locations.size());
  for (const uint64_t id : raw->locations) {
    const auto found = locations_.find(id);
    if (found == locations_.end()) return (void)Index("location", id, locations_, where());
    sample.locations.push_back(found->second);
  }
  for (const Label& label : raw->labels) {
    Text(label.key, "label");
    Text(label.text, "label");
    Text(label.unit, "label");
  }
  raw->locations = {};
  sample.values = std::move(raw->values);
  sample.labels = std::move(raw->labels);
  profile_.samples.push_back(std::move(sample));
}

Result<Profile> DecodeRaw(std::string_view bytes, const DecodeLimits& limits) {
  if (bytes.empty()) return Error{"profile: empty, expected profile.proto"};
  if (bytes.size() > limits.max_bytes) {
    return Error{"profile: " + std::to_string(bytes.size()) + " bytes, the limit is " +
                 std::to_string(limits.max_bytes)};
  }
  Parser parser(limits);
  if (!parser.Parse(bytes)) return parser.error();
  if (const auto error = Resolver(&parser).Run()) return *error;
  return std::move(parser.profile);
}

}  // namespace

Result<Profile> Decode(std::string_view bytes, const DecodeLimits& limits) {
  if (!LooksGzipped(bytes)) return DecodeRaw(bytes, limits);
  const auto raw = Gunzip(bytes, limits.max_bytes);
  if (!raw) return Error{"profile: " + raw.error()};
  return DecodeRaw(*raw, limits);
}

}  // namespace sonde::pprof
