# Stubs and API pages, written by the package about itself once the bindings are linked (tools/make_api.py).
# They go into the wheel (flowbook/**/*.pyi, flowbook/api/*.md) and are never committed.
option(FLOWBOOK_API "Generate stubs and API pages" ON)
if(NOT FLOWBOOK_API OR NOT TARGET _core OR FLOWBOOK_SANITIZE OR CMAKE_CROSSCOMPILING
   OR NOT EXISTS "${PROJECT_SOURCE_DIR}/src/flowbook/__init__.py")
  return()
endif()

file(GLOB_RECURSE _python_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/flowbook/*.py")
set(_api "${PROJECT_BINARY_DIR}/api")
add_custom_command(
  OUTPUT "${_api}/.stamp"
  COMMAND "${CMAKE_COMMAND}" -E rm -rf "${_api}"
  COMMAND "${CMAKE_COMMAND}" "-DFROM=${PROJECT_SOURCE_DIR}/src/flowbook" "-DTO=${_api}/import/flowbook"
          "-DNATIVE=$<TARGET_FILE:_core>" -P "${PROJECT_SOURCE_DIR}/cmake/StagePackage.cmake"
  COMMAND "${Python_EXECUTABLE}" -B "${PROJECT_SOURCE_DIR}/tools/make_api.py" "${_api}/import"
          --stubs "${_api}/stubs" --docs "${_api}/docs"
  COMMAND "${CMAKE_COMMAND}" -E touch "${_api}/.stamp"
  DEPENDS _core "${PROJECT_SOURCE_DIR}/tools/make_api.py" ${_python_sources}
  COMMENT "Writing stubs and API pages" VERBATIM)
add_custom_target(flowbook_api ALL DEPENDS "${_api}/.stamp")
foreach(_module IN ITEMS onednn null)
  if(TARGET flowbook_${_module})
    add_dependencies(flowbook_api flowbook_${_module})
  endif()
endforeach()
install(DIRECTORY "${_api}/stubs/" DESTINATION "${FLOWBOOK_PYTHONDIR}" COMPONENT python)
install(DIRECTORY "${_api}/docs/" DESTINATION "${FLOWBOOK_PYTHONDIR}/api" COMPONENT python)
