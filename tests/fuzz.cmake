# SPDX-License-Identifier: Apache-2.0
# sonde_fuzzer(NAME LIBRARIES): the function in fuzz_NAME.cc, which takes any bytes. In the fuzz preset it becomes the
# libFuzzer program fuzz_NAME; in every other build the test fuzz.NAME, which gives it the files of corpus/NAME once
# each. What scripts/fuzz ever found is kept there.
function(sonde_fuzzer name)
  add_executable(fuzz_${name} fuzz_${name}.cc)
  sonde_warnings(fuzz_${name})
  target_link_libraries(fuzz_${name} PRIVATE ${ARGN})
  if(SONDE_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    return()
  endif()
  target_sources(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz_replay.cc)
  add_test(NAME fuzz.${name} COMMAND fuzz_${name} ${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name})
endfunction()
