# The library to embed: one shared object of the rooms that mesh/ needs, with nothing to see but the
# public names (exports.map), and what find_package(datapunk-mesh) and pkg-config need.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Whole objects of the rooms with public functions; the other rooms' archives fill in the rest.
add_library(datapunk-mesh SHARED $<TARGET_OBJECTS:mesh_core>
  $<TARGET_OBJECTS:mesh_discovery> $<TARGET_OBJECTS:mesh_mesh>)
add_library(datapunk::mesh ALIAS datapunk-mesh)
target_link_libraries(datapunk-mesh PRIVATE mesh_mesh mesh_flags fmt::fmt)
target_include_directories(datapunk-mesh INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(datapunk-mesh INTERFACE cxx_std_20)
target_link_options(datapunk-mesh PRIVATE
  -Wl,--exclude-libs,ALL -Wl,--version-script=${PROJECT_SOURCE_DIR}/cmake/exports.map)
set_target_properties(datapunk-mesh PROPERTIES
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
  LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/exports.map EXPORT_NAME mesh)

set(MESH_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/datapunk-mesh)
install(TARGETS datapunk-mesh EXPORT datapunk-mesh COMPONENT library
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/datapunk DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)
install(EXPORT datapunk-mesh NAMESPACE datapunk:: DESTINATION ${MESH_CMAKE_DIR} COMPONENT library
  FILE datapunk-mesh-targets.cmake)
configure_package_config_file(cmake/datapunk-mesh-config.cmake.in datapunk-mesh-config.cmake
  INSTALL_DESTINATION ${MESH_CMAKE_DIR})
write_basic_package_version_file(datapunk-mesh-config-version.cmake COMPATIBILITY SameMinorVersion)
# Relative to itself, so that an installation can be moved.
file(RELATIVE_PATH MESH_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" MESH_PC_TO_PREFIX "${MESH_PC_TO_PREFIX}")
configure_file(cmake/datapunk-mesh.pc.in datapunk-mesh.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/datapunk-mesh-config.cmake
  ${PROJECT_BINARY_DIR}/datapunk-mesh-config-version.cmake
  DESTINATION ${MESH_CMAKE_DIR} COMPONENT library)
install(FILES ${PROJECT_BINARY_DIR}/datapunk-mesh.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)

if(MESH_TESTS AND NOT MESH_SANITIZE)
  add_test(NAME library.installed COMMAND ${PROJECT_SOURCE_DIR}/tests/consumer/check.sh
    ${PROJECT_BINARY_DIR} ${PROJECT_SOURCE_DIR} ${CMAKE_CXX_COMPILER})
  set_tests_properties(library.installed PROPERTIES LABELS scenario TIMEOUT 300)
endif()
