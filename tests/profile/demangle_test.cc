// SPDX-License-Identifier: Apache-2.0
#include "profile/demangle.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

TEST(Demangle, WritesCxxNamesAsTheProgrammerDid) {
  EXPECT_EQ(Demangle("_ZN4shop6Router6HandleEv"), "shop::Router::Handle()");
  EXPECT_EQ(Demangle("_ZNSt6vectorIiSaIiEE9push_backERKi"),
            "std::vector<int, std::allocator<int> >::push_back(int const&)");
}

TEST(Demangle, LeavesOtherNamesAlone) {
  for (const char* name : {"main", "", "_", "_Z", "_Zgarbage", "memcpy", "_RNvC3foo3bar"}) {
    EXPECT_EQ(Demangle(name), name);
  }
}

TEST(Demangle, DropsRustsHashAndUndoesItsEscapes) {
  EXPECT_EQ(Demangle("_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
  EXPECT_EQ(Demangle("_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$"
                     "3bar17h930b740aa94f1d3aE"),
            "<Test + 'static as foo::Bar<Test>>::bar");
}

TEST(Demangle, DoesNotTakeAnyHexTailForAHash) {
  EXPECT_EQ(Demangle("_ZN3foo17h0123456789abcdegE"), "foo::h0123456789abcdeg");
}

TEST(Demangle, LeavesVeryLongNamesMangled) {
  const std::string longest = "_Z" + std::string("4") + std::string(kMaxMangledBytes, 'a');
  EXPECT_EQ(Demangle(longest), longest);
}

}  // namespace
}  // namespace sonde
