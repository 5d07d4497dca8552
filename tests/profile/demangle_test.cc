// SPDX-License-Identifier: Apache-2.0
#include "profile/demangle.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace sonde {
namespace {

TEST(Demangle, WritesCxxNamesAsTheProgrammerDid) {
  EXPECT_EQ(Demangle("_ZN4shop6Router6HandleEv"), "shop::Router::Handle()");
  EXPECT_EQ(Demangle("_ZNSt6vectorIiSaIiEE9push_backERKi"),
            "std::vector<int, std::allocator<int> >::push_back(int const&)");
}

TEST(Demangle, LeavesOtherNamesAlone) {
  for (const char* name :
       {"main", "", "_", "_Z", "_Zgarbage", "memcpy", "_R", "_RNv", "_RNvC9foo3bar"}) {
    EXPECT_EQ(Demangle(name), name);
  }
}

TEST(Demangle, DropsRustsHashAndUndoesItsEscapes) {
  EXPECT_EQ(Demangle("_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
  EXPECT_EQ(Demangle("_ZN71_$LT$Test$u20$$u2b$$u20$$u27$static$u20$as$u20$foo..Bar$LT$Test$GT$$GT$"
                     "3bar17h930b740aa94f1d3aE"),
            "<Test + 'static as foo::Bar<Test>>::bar");
}

// From the symbol table of a real program; the expectations are binutils' c++filt's, without the
// hashes that it shows.
TEST(Demangle, KnowsRustsOwnScheme) {
  const std::pair<const char*, const char*> names[] = {
      {"_RINvCsfq2Zq5gqAK1_2v05applyNCNvB2_4mains_0EB2_", "v0::apply::<v0::main::{closure#1}>"},
      {"_RINvMNtCsgEmfK2I1SDS_4core3stre18trim_start_matchesReECsgY6Mt91CT9J_14rustc_demangle",
       "<str>::trim_start_matches::<&str>"},
      {"_RINvMs4_NtCsgY6Mt91CT9J_14rustc_demangle2v0NtB6_7Printer14print_sep_listNvB2_15print_dyn_"
       "traitEB8_",
       "<rustc_demangle::v0::Printer>::print_sep_list::<<rustc_demangle::v0::Printer>::print_dyn_"
       "trait>"},
      {"_RINvNtCsgEmfK2I1SDS_4core3ptr13drop_in_placeINtNtB4_6result6ResultINtNtNtNtCsjrHSEGnQ3l9_"
       "3std4sync6poison5mutex10MutexGuarduEINtB17_11PoisonErrorB12_EEEB1b_",
       "core::ptr::drop_in_place::<core::result::Result<std::sync::poison::mutex::MutexGuard<()>, "
       "std::sync::poison::PoisonError<std::sync::poison::mutex::MutexGuard<()>>>>"},
      {"_RINvNtCsgEmfK2I1SDS_4core3ptr13drop_in_placeINtNvNtCsjrHSEGnQ3l9_3std2io17default_write_"
       "fmt7AdapterINtNtBL_6cursor6CursorQShEEEBN_",
       "core::ptr::drop_in_place::<std::io::default_write_fmt::Adapter<std::io::cursor::Cursor<&"
       "mut [u8]>>>"},
      {"_RINvNtNtCsjrHSEGnQ3l9_3std3sys9backtrace26___rust_end_short_backtraceNCNvNtB6_5alloc8rust_"
       "oom0zEB6_",
       "std::sys::backtrace::__rust_end_short_backtrace::<std::alloc::rust_oom::{closure#0}, !>"},
      {"_RINvNtNtCsjrHSEGnQ3l9_3std3sys9backtrace28___rust_begin_short_backtraceFEuuECsfq2Zq5gqAK1_"
       "2v0",
       "std::sys::backtrace::__rust_begin_short_backtrace::<fn(), ()>"},
      {"_RINvXs_NvMNtCslNYArtu3iFV_5alloc5sliceSp9to_vec_inhNtB5_10ConvertVec6to_vecNtNtBa_"
       "5alloc6GlobalECsjrHSEGnQ3l9_3std",
       "<u8 as <[_]>::to_vec_in::ConvertVec>::to_vec::<alloc::alloc::Global>"},
      {"_RINvYNtNtNtCsjrHSEGnQ3l9_3std4hash6random11RandomStateNtNtCsgEmfK2I1SDS_"
       "4core4hash11BuildHasher8hash_oneRNtNtCslNYArtu3iFV_5alloc6string6StringECsfq2Zq5gqAK1_2v0",
       "<std::hash::random::RandomState as "
       "core::hash::BuildHasher>::hash_one::<&alloc::string::String>"},
      {"_RNCINvNtCsjrHSEGnQ3l9_3std2rt10lang_startuE0Csfq2Zq5gqAK1_2v0",
       "std::rt::lang_start::<()>::{closure#0}"},
      {"_RNCNvNtNtCsgEmfK2I1SDS_4core3str7pattern13simd_containss0_0CsjrHSEGnQ3l9_3std",
       "core::str::pattern::simd_contains::{closure#2}"},
      {"_RNSNvYNCINvNtCsjrHSEGnQ3l9_3std2rt10lang_startuE0INtNtNtCsgEmfK2I1SDS_"
       "4core3ops8function6FnOnceuE9call_once6vtableCsfq2Zq5gqAK1_2v0",
       "<std::rt::lang_start<()>::{closure#0} as "
       "core::ops::function::FnOnce<()>>::call_once::{shim:vtable#0}"},
      {"_RNvCsfLfy6EI15iL_7___rustc35___rust_no_alloc_shim_is_unstable_v2",
       "__rustc::__rust_no_alloc_shim_is_unstable_v2"},
      {"_RNvMs3_NtCslNYArtu3iFV_5alloc7raw_vecINtB5_6RawVecPaE8grow_oneCsjrHSEGnQ3l9_3std",
       "<alloc::raw_vec::RawVec<*const i8>>::grow_one"},
      {"_RNvMs3_NtCslNYArtu3iFV_5alloc7raw_vecINtB5_6RawVecTOhFUKCBN_EuENtNtCsjrHSEGnQ3l9_"
       "3std5alloc6SystemE8grow_oneB13_",
       "<alloc::raw_vec::RawVec<(*mut u8, unsafe extern \"C\" fn(*mut u8)), "
       "std::alloc::System>>::grow_one"},
      {"_RNvXNvNtCsjrHSEGnQ3l9_3std2io17default_write_fmtINtB2_7AdapterINtNtB4_"
       "6cursor6CursorQShEENtNtCsgEmfK2I1SDS_4core3fmt5Write9write_strB6_",
       "<std::io::default_write_fmt::Adapter<std::io::cursor::Cursor<&mut [u8]>> as "
       "core::fmt::Write>::write_str"},
      {"_RNvXs1g_NtCsgEmfK2I1SDS_4core3fmtRDNtB6_5DebugEL_Bx_3fmtB8_",
       "<&dyn core::fmt::Debug as core::fmt::Debug>::fmt"},
      {"_RNvXs1g_NtCsgEmfK2I1SDS_4core3fmtRuNtB6_5Debug3fmtCsjrHSEGnQ3l9_3std",
       "<&() as core::fmt::Debug>::fmt"},
  };
  for (const auto& [mangled, plain] : names) EXPECT_EQ(Demangle(mangled), plain);
}

// By hand, from the examples of RFC 2603.
TEST(Demangle, KnowsTheRarePartsOfRustsScheme) {
  EXPECT_EQ(Demangle("_RNvC6_123foo3bar"), "123foo::bar");
  EXPECT_EQ(Demangle("_RNCNvC1a4mains_0"), "a::main::{closure#1}");
  EXPECT_EQ(Demangle("_RINvC1a1fKj1f_E"), "a::f::<31>");
  EXPECT_EQ(Demangle("_RINvC1a1fKan80_E"), "a::f::<-128>");
  EXPECT_EQ(Demangle("_RINvC1a1fKb1_Kc61_Kc27_E"), "a::f::<true, 'a', '\\''>");
  EXPECT_EQ(Demangle("_RINvC1a1fFG_RL0_hEuE"), "a::f::<for<'a> fn(&'a u8)>");
  EXPECT_EQ(Demangle("_RINvC1a1fFUKCEuE"), "a::f::<unsafe extern \"C\" fn()>");
  EXPECT_EQ(Demangle("_RINvC1a1fTeEThlEE"), "a::f::<(str,), (u8, i32)>");
  EXPECT_EQ(Demangle("_RINvC1a1fDNtC1a1Tp1XhEL_E"), "a::f::<dyn a::T<X = u8>>");
  EXPECT_EQ(Demangle("_RNvC1au8gdel_5qa"), "a::punycode{gdel_5qa}");
  EXPECT_EQ(Demangle("_RNvC1a1b.llvm.123"), "a::b");
}

TEST(Demangle, LeavesHostileRustNamesAlone) {
  for (const std::string& name :
       {std::string("_RB_"), std::string("_RNvB_3bar"), "_RIC1a" + std::string(1900, 'R') + "hE",
        "_RINvC1a1f" + std::string(1000, 'T') + std::string(900, 'E') + "E",
        std::string("_RNvC99999999999999999999a1b"), std::string("_RNvC1a1bzzz"),
        std::string("_RINvC1a1fKjzz_E"), std::string("_RNvCszzzzzzzzzzzzzzzzz_1a1b")})
    EXPECT_EQ(Demangle(name), name);
  // Each back reference doubles the work: bounded, whatever comes out.
  std::string bomb = "_RINvC1a1f";
  for (int i = 0; i < 40; ++i) bomb += "TB7_B7_E";
  EXPECT_LE(Demangle(bomb + "E").size(), 5000u);
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
