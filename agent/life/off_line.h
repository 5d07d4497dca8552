// SPDX-License-Identifier: Apache-2.0
// The one line on stderr when the agent cannot start. Only while the program is being loaded:
// later, descriptor 2 is whatever the host has made of it. SONDE_LOG=quiet silences it. The thread
// that runs our constructor.
#pragma once

namespace sonde::life {

// What SayOff may do from now on: between the two calls lies our constructor.
void LoadBegins();
void LoadEnds();

// "sonde: off: WHY". Nothing outside the constructor. Allocates nothing.
void SayOff(const char* why);

}  // namespace sonde::life
