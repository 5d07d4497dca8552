// SPDX-License-Identifier: Apache-2.0
// The LZMA2 stream inside an .xz block. Used by xz only. Not thread-safe. Memory: 30 KB and the
// output, which is its own dictionary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "profile/result.h"

namespace sonde {

class Lzma2Decoder {
 public:
  // Appends to *out, which never grows beyond max_bytes.
  Lzma2Decoder(std::string* out, size_t max_bytes);
  ~Lzma2Decoder();
  Lzma2Decoder(const Lzma2Decoder&) = delete;
  Lzma2Decoder& operator=(const Lzma2Decoder&) = delete;

  // Reads up to and with the stream's end mark; returns the bytes read.
  Result<size_t> Decode(std::span<const uint8_t> in);

 private:
  class Lzma;
  std::string* const out_;
  const size_t max_bytes_;
  std::unique_ptr<Lzma> lzma_;
};

}  // namespace sonde
