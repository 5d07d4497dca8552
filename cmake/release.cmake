# SPDX-License-Identifier: Apache-2.0
# What is shipped beside the three files: licences and the bill of materials; and the release archive
# (cmake --build --preset release --target package).
if(NOT TARGET sonde_preload OR NOT TARGET sonde_cli OR SONDE_SANITIZE)
  return()
endif()

set(dist ${PROJECT_BINARY_DIR}/dist)
set(agent_map ${PROJECT_BINARY_DIR}/agent/sonde_preload.link_map)
set(tcmalloc_map ${PROJECT_BINARY_DIR}/agent/sonde_tcmalloc.link_map)
set(cli_map ${PROJECT_BINARY_DIR}/cli/sonde_cli.link_map)
target_link_options(sonde_cli PRIVATE LINKER:-Map=${cli_map})
add_custom_command(OUTPUT ${dist}/sonde.spdx.json
  COMMAND ${Python3_EXECUTABLE} -B ${PROJECT_SOURCE_DIR}/cmake/make_sbom.py ${dist} ${PROJECT_VERSION}
    ${SONDE_THIRD_PARTY} $<TARGET_FILE:sonde_preload>=${agent_map} $<TARGET_FILE:sonde_tcmalloc>=${tcmalloc_map}
    $<TARGET_FILE:sonde_cli>=${cli_map}
  DEPENDS sonde_preload sonde_tcmalloc sonde_cli ${PROJECT_SOURCE_DIR}/cmake/make_sbom.py
  WORKING_DIRECTORY ${PROJECT_BINARY_DIR}
  COMMENT "Bill of materials" VERBATIM)
add_custom_target(sonde_sbom ALL DEPENDS ${dist}/sonde.spdx.json)

install(FILES LICENSE NOTICE ${dist}/sonde.spdx.json DESTINATION share/doc/sonde)
install(DIRECTORY ${dist}/licenses DESTINATION share/doc/sonde)

set(CPACK_GENERATOR TGZ)
set(CPACK_PACKAGE_FILE_NAME sonde-${PROJECT_VERSION}-linux-x86_64)
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_PACKAGE_CHECKSUM SHA256)
include(CPack)
