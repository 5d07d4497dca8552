// SPDX-License-Identifier: Apache-2.0
#include "profile/function_name.h"

#include <gtest/gtest.h>

namespace sonde {
namespace {

TEST(ShortFunctionName, DropsWhatDoesNotFitALine) {
  EXPECT_EQ(ShortFunctionName("re::Backtrack(std::string const&, int)"), "re::Backtrack");
  EXPECT_EQ(ShortFunctionName("void std::vector<int, std::allocator<int> >::push_back(int&&)"),
            "std::vector::push_back");
  EXPECT_EQ(ShortFunctionName("(anonymous namespace)::Spin(int)"), "(anonymous namespace)::Spin");
  EXPECT_EQ(ShortFunctionName("Less::operator()(int, int) const"), "Less::operator()");
  EXPECT_EQ(ShortFunctionName("operator<<(std::ostream&, Money)"), "operator<<");
  EXPECT_EQ(ShortFunctionName("hot.part.0 [clone .cold]"), "hot.part.0");
  EXPECT_EQ(ShortFunctionName("[signal blocked]"), "[signal blocked]");
  EXPECT_EQ(ShortFunctionName("net/http.(*Server).Serve"), "net/http.(*Server).Serve");
  EXPECT_EQ(ShortFunctionName("dictFind"), "dictFind");
}

TEST(ShortFunctionName, KeepsWhatIsNoCxx) {
  for (const char* name : {"JS:*burn /srv/app.js:2:19", "<u64>::wrapping_add",
                           "<alloc::vec::Vec<u8> as core::fmt::Debug>::fmt", "[signal blocked]"})
    EXPECT_EQ(ShortFunctionName(name), name);
}

}  // namespace
}  // namespace sonde
