// SPDX-License-Identifier: Apache-2.0
// Names that some libc.so.6 lacks: before glibc 2.34 the functions of threads were libpthread's. A
// program asks by a weak reference whether they are there (gnulib: thrd_exit), and takes the answer
// for "there are threads", so a name of ours where libc has none changes what it does: bison of
// Debian 11 calls a null pointer then.
//
// So these are exported under the versions that glibc has them under, and hidden: a reference with
// that version, which a program has that was linked with them, finds ours; a reference or dlsym
// without any finds what it finds without us. cmake/make_version_script.py has the versions.
#pragma once

// After the definition. `before`: the version since the function came, `since_2_34`: in libc.
#define SONDE_EXPORT_AS(symbol, before, since_2_34) \
  __asm__(".symver " #symbol "," #symbol "@" before \
          "\n"                                      \
          ".symver " #symbol "," #symbol "@" since_2_34 ",remove")

#define SONDE_EXPORT_AS_ONE(symbol, version) \
  __asm__(".symver " #symbol "," #symbol "@" version ",remove")
