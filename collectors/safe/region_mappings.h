// SPDX-License-Identifier: Apache-2.0
// The text of mappings and build ids that a region carries, without which addresses mean nothing
// after the process has died. Two copies: the one that is being written is never the one that is
// valid, so a writer that is killed leaves the last whole text. Written by the cold side, read by
// anyone. Memory: 2 × counts.mappings_bytes.
#pragma once

#include <stdint.h>

#include "collectors/safe/region.h"

namespace sonde {

// Cold path only. Lines of any form; cut after the last whole line that fits. False: it was cut.
bool StoreMappings(const Region& region, const char* text, uint64_t length);

// Cold path only. Copies the text out, `size` ≥ counts.mappings_bytes. Its length; 0 when there is
// none yet.
uint32_t LoadMappings(const Region& region, char* text, uint32_t size);

}  // namespace sonde
