# SPDX-License-Identifier: Apache-2.0
# What every target of Sonde is compiled with.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_compile_definitions(_GNU_SOURCE)
include_directories(${PROJECT_SOURCE_DIR})

set(SONDE_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")
if(SONDE_SANITIZE)
  add_compile_options(-fsanitize=${SONDE_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${SONDE_SANITIZE})
endif()

option(SONDE_FUZZ "Build the libFuzzer programs; for clang, the preset fuzz" OFF)
if(SONDE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link -fno-sanitize-recover=all)
endif()

# For our own targets; third-party code keeps its own warnings.
function(sonde_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Werror -Wshadow -Wconversion
    -Wno-sign-conversion -Wimplicit-fallthrough)
endfunction()

# For everything that ends up in libsonde.so: thread-local storage is initial-exec; every object carries the CET mark,
# else the linker drops it from the whole.
function(sonde_agent_code target)
  sonde_warnings(${target})
  target_compile_options(${target} PRIVATE -ftls-model=initial-exec -fno-plt
    -fcf-protection -ffunction-sections -fdata-sections)
endfunction()

# For code that runs in a signal handler or inside malloc.
function(sonde_safe_code target)
  sonde_agent_code(${target})
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti -fno-threadsafe-statics>
    -fno-stack-protector)
endfunction()

# For what only the agent's thread runs, and seldom: half the size of -O2. A service's RSS counts the pages of such code
# that lie next to what runs: redis-server at rest has 0.9 MiB less by it, and a heap profile of 10,000 stacks takes as
# long (medians of 40 by turns: 24.9 against 26.3 ms, minima 18.0 and 19.0; bench/README.md).
function(sonde_small_code target)
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:-Os>)
endfunction()
