// SPDX-License-Identifier: Apache-2.0
// A shared object to look symbols up in: two versions of one name, an indirect function, data, and,
// with FIXTURE_PLAIN, no versions at all.
#ifndef FIXTURE_PLAIN
int fixture_old(void) { return 1; }
int fixture_new(void) { return 2; }
int fixture_retired(void) { return 3; }
asm(".symver fixture_old, fixture_call@FIXTURE_1");
asm(".symver fixture_new, fixture_call@@FIXTURE_2");
asm(".symver fixture_retired, fixture_gone@FIXTURE_1");
#else
int fixture_call(void) { return 2; }
#endif

int fixture_data = 7;
__thread int fixture_tls = 8;

static int Chosen(void) { return 9; }
static int (*Choose(void))(void) { return Chosen; }
int fixture_indirect(void) __attribute__((ifunc("Choose")));
