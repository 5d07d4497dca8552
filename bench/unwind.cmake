# SPDX-License-Identifier: Apache-2.0
# bench_unwind: ns per frame of the stack walker and its rivals. Needs libunwind-dev.
find_library(SONDE_BENCH_LIBUNWIND unwind)
if(SONDE_BENCH_LIBUNWIND)
  add_executable(bench_unwind ${CMAKE_CURRENT_LIST_DIR}/unwind.cc)
  sonde_warnings(bench_unwind)
  # The stacks that are walked keep no frame pointer; the frame pointer row has its own chain.
  target_compile_options(bench_unwind PRIVATE -O2 -fomit-frame-pointer)
  target_link_libraries(bench_unwind PRIVATE sonde_collectors ${SONDE_BENCH_LIBUNWIND} dl)
else()
  message(STATUS "bench_unwind is not built: it needs libunwind-dev")
endif()

# bench_unwind_tables: what the tables cost, whole or in chunks.
add_executable(bench_unwind_tables ${CMAKE_CURRENT_LIST_DIR}/unwind_tables.cc)
sonde_warnings(bench_unwind_tables)
target_link_libraries(bench_unwind_tables PRIVATE sonde_collectors)
