// SPDX-License-Identifier: Apache-2.0
// libsonde32.so: what a 32-bit program preloads in place of the agent. It has no code on purpose.
static const char kName[] __attribute__((used)) = "sonde: nothing to see in 32-bit programs";
