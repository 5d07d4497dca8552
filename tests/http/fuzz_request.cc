// SPDX-License-Identifier: Apache-2.0
// libFuzzer: build with clang and -DSONDE_FUZZ=ON, run `fuzz_request -max_len=65536`.
#include <cstddef>
#include <cstdint>

#include "tests/http/request_corpus.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t step = size == 0 ? 1 : data[0] % 64 + 1;
  sonde::testing::ParseEverything(bytes, step);
  sonde::testing::ParseEverything(bytes, size + 1);
  return 0;
}
