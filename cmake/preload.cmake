# SPDX-License-Identifier: Apache-2.0
# How a preload library is linked so that it loads into every process since glibc 2.17 (CentOS 7) and is seen by
# none: docs/architecture.md, agent/runtime. Gives sonde_preload_library().

set(SONDE_GLIBC_FLOOR 2.17)
find_package(Python3 REQUIRED COMPONENTS Interpreter)

# Everything of the malloc family that statically linked code may call; agent/runtime/arena_entry.cc has the other end.
set(SONDE_WRAPPED malloc free cfree calloc realloc reallocarray memalign aligned_alloc posix_memalign
  malloc_usable_size strdup strndup)

# sonde_libc_stub(<soname> <out variable>): a stand-in for the system's library without symbols above the floor.
function(sonde_libc_stub soname out)
  execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=${soname}
    OUTPUT_VARIABLE real OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(dir ${PROJECT_BINARY_DIR}/libc_stub)
  set(generator ${PROJECT_SOURCE_DIR}/cmake/make_libc_stub.py)
  file(MAKE_DIRECTORY ${dir})
  add_custom_command(OUTPUT ${dir}/${soname}
    COMMAND ${Python3_EXECUTABLE} ${generator} ${real} ${SONDE_GLIBC_FLOOR} ${dir}/${soname}.s ${dir}/${soname}.map
    COMMAND ${CMAKE_C_COMPILER} -shared -nostdlib -o ${dir}/${soname} ${dir}/${soname}.s
      -Wl,--version-script=${dir}/${soname}.map -Wl,-soname,${soname}
    DEPENDS ${generator} ${real}
    COMMENT "Stand-in for ${soname} of glibc ${SONDE_GLIBC_FLOOR}"
    VERBATIM)
  set(${out} ${dir}/${soname} PARENT_SCOPE)
endfunction()

sonde_libc_stub(libc.so.6 SONDE_STUB_LIBC)
sonde_libc_stub(ld-linux-x86-64.so.2 SONDE_STUB_LOADER)
add_custom_target(sonde_libc_stub DEPENDS ${SONDE_STUB_LIBC} ${SONDE_STUB_LOADER})

# libstdc++ with its static constructors (locale facets, the pool of emergency exceptions) in a section of their own:
# agent/runtime/late_init.cc runs them when the agent starts. 119 µs became 106 µs over a bare /bin/true (medians of
# 1,500 interleaved runs; an empty library costs 36).
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libstdc++.a
  OUTPUT_VARIABLE SONDE_SYSTEM_LIBSTDCXX OUTPUT_STRIP_TRAILING_WHITESPACE)
set(SONDE_LATE_LIBSTDCXX ${PROJECT_BINARY_DIR}/late_init/libstdc++.a)
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/late_init)
add_custom_command(OUTPUT ${SONDE_LATE_LIBSTDCXX}
  COMMAND ${CMAKE_OBJCOPY} --rename-section .init_array=sonde_late_init
    ${SONDE_SYSTEM_LIBSTDCXX} ${SONDE_LATE_LIBSTDCXX}
  DEPENDS ${SONDE_SYSTEM_LIBSTDCXX} VERBATIM)
add_custom_target(sonde_late_libstdcxx DEPENDS ${SONDE_LATE_LIBSTDCXX})

# sonde_preload_library(<target> HOOKS <hook_list.inc>... SOURCES <file>... LIBS <library>...)
#
# No start files: crti.o of Debian lacks the CET mark, which would strip it from the result, and crtbeginS.o
# would run destructors at exit; agent/runtime/compat_start.cc has the one symbol that is needed of them.
# -z noseparate-code: two mappings less and fewer pages touched, 15 us at every process start; read-only data is
# executable with it, as in every library before binutils 2.31.
# No -z pack-relative-relocs: it makes the library need GLIBC_2.36's loader.
function(sonde_preload_library target)
  cmake_parse_arguments(arg "" "" "HOOKS;SOURCES;LIBS" ${ARGN})
  if(NOT arg_HOOKS OR NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "sonde_preload_library(target HOOKS list... SOURCES file... [LIBS library...])")
  endif()
  list(TRANSFORM arg_HOOKS PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ OUTPUT_VARIABLE hooks)
  set(map ${CMAKE_CURRENT_BINARY_DIR}/${target}.map)
  set(generator ${PROJECT_SOURCE_DIR}/cmake/make_version_script.py)
  add_custom_command(OUTPUT ${map} COMMAND ${Python3_EXECUTABLE} ${generator} ${hooks} ${map}
    DEPENDS ${generator} ${hooks} VERBATIM)
  add_custom_target(${target}_exports DEPENDS ${map})

  # tests/artifact checks every library that is listed here.
  set_property(GLOBAL APPEND PROPERTY SONDE_PRELOAD_LIBRARIES ${target})
  set_property(GLOBAL PROPERTY SONDE_HOOKS_OF_${target} "${hooks}")
  add_library(${target} SHARED ${arg_SOURCES} $<TARGET_OBJECTS:sonde_runtime_entry>)
  sonde_agent_code(${target})
  add_dependencies(${target} sonde_libc_stub sonde_late_libstdcxx ${target}_exports)
  set_target_properties(${target} PROPERTIES LINK_DEPENDS "${map};${SONDE_STUB_LIBC};${SONDE_STUB_LOADER};${SONDE_LATE_LIBSTDCXX}"
    SKIP_BUILD_RPATH ON)
  list(TRANSFORM SONDE_WRAPPED PREPEND LINKER:--wrap= OUTPUT_VARIABLE wraps)
  target_link_options(${target} PRIVATE -nostdlib ${wraps}
    LINKER:--version-script=${map} LINKER:--exclude-libs,ALL LINKER:--gc-sections LINKER:-Bsymbolic
    LINKER:-z,now LINKER:-z,relro LINKER:-z,nodelete LINKER:-z,noexecstack LINKER:-z,defs LINKER:-z,text LINKER:-z,noseparate-code
    LINKER:--hash-style=gnu LINKER:--build-id LINKER:-O1 LINKER:-Map=${CMAKE_CURRENT_BINARY_DIR}/${target}.link_map)
  target_link_libraries(${target} PRIVATE ${arg_LIBS} sonde_runtime sonde_compat
    -Wl,--start-group ${SONDE_LATE_LIBSTDCXX} -l:libgcc_eh.a -l:libgcc.a $<TARGET_FILE:sonde_compat> -Wl,--end-group
    -L${PROJECT_BINARY_DIR}/libc_stub -l:libc.so.6 -l:ld-linux-x86-64.so.2)
endfunction()
