// SPDX-License-Identifier: Apache-2.0
// A small profile with a bit of everything: two binaries, an inlined function, a location without
// function, labels of both kinds, recursion.
#pragma once

#include <string>

#include "profile/pprof.h"

namespace sonde::pprof {

// As if the main program were loaded `bias` higher.
//   main > handle > parse(inlined: scan)   thread a   3 samples, 30 ms
//   main > handle > handle                 thread b   2 samples, 20 ms
//   main > libx.so+0x1100                  thread a   1 sample,  10 ms
//   [dropped: table full]                  tid 7      4 samples, 40 ms
inline Profile SampleProfile(uint64_t bias = 0) {
  Profile p;
  StringTable strings(&p.strings);
  const auto text = [&](const std::string& t) { return strings.Intern(t); };
  p.sample_types = {{text("samples"), text("count")}, {text("cpu"), text("nanoseconds")}};
  p.default_sample_type = text("cpu");
  p.period_type = {text("cpu"), text("nanoseconds")};
  p.period = 10'000'000;
  p.time_nanos = 1'700'000'000'000'000'000;
  p.duration_nanos = 1'000'000'000;
  p.comments = {text("made by hand")};
  p.mappings = {{0x1000 + bias, 0x9000 + bias, 0x1000, text("/srv/app"), text("aa11"), true, true,
                 true, true},
                {0x7f0000001000, 0x7f0000003000, 0x1000, text("/usr/lib/libx.so"), text("bb22"),
                 false, false, false, false}};
  for (const char* name : {"main", "handle", "parse", "scan", "[dropped: table full]"}) {
    p.functions.push_back({text(name), text(name), name[0] == '[' ? 0 : text("app.cc"), 10});
  }
  p.locations = {{0, 0x1100 + bias, {{0, 11}}, false},
                 {0, 0x1200 + bias, {{1, 21}}, false},
                 {0, 0x1300 + bias, {{3, 41}, {2, 31}}, false},
                 {1, 0x7f0000001100, {}, false},
                 {kNone, 0, {{4, 0}}, false}};
  const Label a{text("thread"), text("a"), 0, 0};
  const Label b{text("thread"), text("b"), 0, 0};
  const Label tid{text("tid"), 0, 7, 0};
  p.samples = {{{2, 1, 0}, {3, 30'000'000}, {a}},
               {{1, 1, 0}, {2, 20'000'000}, {b}},
               {{3, 0}, {1, 10'000'000}, {a}},
               {{4}, {4, 40'000'000}, {tid}}};
  return p;
}

}  // namespace sonde::pprof
