# What is installed beside the binaries: headers and CMake package files, so that a C++ program can say
# find_package(flowbook) and link flowbook::flowbook, and, outside pip, the Python sources.
include(CMakePackageConfigHelpers)

install(TARGETS flowbook EXPORT flowbookTargets LIBRARY DESTINATION "${FLOWBOOK_LIBDIR}" COMPONENT library)
set_target_properties(flowbook PROPERTIES INSTALL_RPATH "${FLOWBOOK_RPATH}")
install(EXPORT flowbookTargets NAMESPACE flowbook:: DESTINATION "${FLOWBOOK_LIBDIR}/cmake/flowbook"
        COMPONENT library)

foreach(_folder core ops cpu)
  if(IS_DIRECTORY "${PROJECT_SOURCE_DIR}/csrc/${_folder}")
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/csrc/${_folder}" DESTINATION "${FLOWBOOK_INCLUDEDIR}"
            COMPONENT library FILES_MATCHING PATTERN "*.h" PATTERN "*.def"
            PATTERN isa EXCLUDE PATTERN providers EXCLUDE)
  endif()
endforeach()
install(FILES "${PROJECT_BINARY_DIR}/include/core/version.h" DESTINATION "${FLOWBOOK_INCLUDEDIR}/core"
        COMPONENT library)

configure_package_config_file(
  cmake/flowbookConfig.cmake.in "${PROJECT_BINARY_DIR}/flowbookConfig.cmake"
  INSTALL_DESTINATION "${FLOWBOOK_LIBDIR}/cmake/flowbook")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/flowbookConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/flowbookConfig.cmake" "${PROJECT_BINARY_DIR}/flowbookConfigVersion.cmake"
        DESTINATION "${FLOWBOOK_LIBDIR}/cmake/flowbook" COMPONENT library)

if(NOT SKBUILD)  # pip takes these through wheel.packages
  foreach(_package src/flowbook kernel_ext/flowbook_ext)
    if(IS_DIRECTORY "${PROJECT_SOURCE_DIR}/${_package}")
      install(DIRECTORY "${PROJECT_SOURCE_DIR}/${_package}" DESTINATION . COMPONENT python
              PATTERN "__pycache__" EXCLUDE PATTERN "*.so" EXCLUDE PATTERN static EXCLUDE)
    endif()
  endforeach()
endif()
