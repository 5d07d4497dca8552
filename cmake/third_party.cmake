# SPDX-License-Identifier: Apache-2.0
# Imported targets for the static archives that scripts/setup builds: sonde::zlib, sonde::http_parser,
# sonde::prometheus_core, sonde::libunwind,
# sonde::libunwind_remote, sonde::tcmalloc_parts. find_package(ZLIB) gives the same archive as sonde::zlib.

set(SONDE_THIRD_PARTY "" CACHE PATH "Where scripts/setup put the third-party archives")
if(NOT SONDE_THIRD_PARTY)
  set(cache_root $ENV{SONDE_CACHE})
  if(NOT cache_root)
    set(cache_root $ENV{HOME}/.cache/sonde)
  endif()
  set(SONDE_THIRD_PARTY ${cache_root}/third_party CACHE PATH "" FORCE)
endif()

# sonde_third_party(<target> <package> <header> <archive>...): the first archive is the target itself, the others
# are linked after it.
function(sonde_third_party target package header archive)
  set(prefix ${SONDE_THIRD_PARTY}/${package})
  foreach(file VERSION include/${header} lib/${archive})
    if(NOT EXISTS ${prefix}/${file})
      message(FATAL_ERROR "${prefix}/${file} is missing. Run scripts/setup, which builds ${package}, or point "
        "SONDE_THIRD_PARTY (now ${SONDE_THIRD_PARTY}) to where it put its archives.")
    endif()
  endforeach()
  list(TRANSFORM ARGN PREPEND ${prefix}/lib/)
  add_library(sonde::${target} STATIC IMPORTED GLOBAL)
  set_target_properties(sonde::${target} PROPERTIES
    IMPORTED_LOCATION ${prefix}/lib/${archive}
    INTERFACE_INCLUDE_DIRECTORIES ${prefix}/include
    INTERFACE_LINK_LIBRARIES "${ARGN}")
endfunction()

sonde_third_party(zlib zlib zlib.h libz.a)
sonde_third_party(http_parser http-parser http_parser.h libhttp_parser.a)
sonde_third_party(prometheus_core prometheus-cpp prometheus/text_serializer.h libprometheus-cpp-core.a)
sonde_third_party(libunwind libunwind libunwind.h libunwind.a)
# Its engine for other processes alone, without the unwinder of exceptions that libunwind.a brings.
sonde_third_party(libunwind_remote libunwind libunwind.h libunwind-x86_64.a)
# Its headers and tcmalloc.cc lie in include/gperftools; agent/tcmalloc.
sonde_third_party(tcmalloc_parts google-perftools gperftools/tcmalloc.cc libtcmalloc_parts.a)

# Whoever looks for zlib by itself finds the archive with the CET mark.
set(SONDE_ZLIB_ARCHIVE ${SONDE_THIRD_PARTY}/zlib/lib/libz.a CACHE FILEPATH "" FORCE)
set(ZLIB_LIBRARY ${SONDE_THIRD_PARTY}/zlib/lib/libz.a CACHE FILEPATH "" FORCE)
set(ZLIB_INCLUDE_DIR ${SONDE_THIRD_PARTY}/zlib/include CACHE PATH "" FORCE)
