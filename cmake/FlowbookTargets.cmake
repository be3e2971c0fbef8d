# Compiler flags, where outputs go, and the helpers CMakeLists.txt is written with.

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 11)
  message(FATAL_ERROR "flowbook needs g++ 11 or newer, found ${CMAKE_CXX_COMPILER_VERSION}")
endif()
if(NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  find_program(FLOWBOOK_CCACHE ccache)
  mark_as_advanced(FLOWBOOK_CCACHE)
  if(FLOWBOOK_CCACHE)
    # Without these ccache passes by whatever includes a precompiled header.
    set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env
        CCACHE_SLOPPINESS=pch_defines,time_macros "${FLOWBOOK_CCACHE}")
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      add_compile_options(-fpch-preprocess)
    endif()
  endif()
endif()

# One tree in the build folder, the install prefix and the wheel: modules find each other relatively.
#   flowbook/_core*.so   flowbook/lib/*.so   flowbook/include/   flowbook/lib/cmake/flowbook/
set(FLOWBOOK_STAGE "${PROJECT_BINARY_DIR}/flowbook")
set(FLOWBOOK_PYTHONDIR flowbook)
set(FLOWBOOK_LIBDIR flowbook/lib)
set(FLOWBOOK_INCLUDEDIR flowbook/include)
if(APPLE)
  set(FLOWBOOK_RPATH "@loader_path")
else()
  set(FLOWBOOK_RPATH "$ORIGIN")
endif()
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${FLOWBOOK_STAGE}/lib")

# ---- flags every target gets ---------------------------------------------------------------------
# -ffp-contract=off: eager, fused and tape results agree bitwise, so a*b+c is never an fma unless
# the source says fma. -O2 for the bulk; the kernels' own units ask for -O3.
add_library(flowbook_flags INTERFACE)
target_compile_options(
  flowbook_flags INTERFACE -Wall -Wextra -ffp-contract=off $<$<BOOL:${FLOWBOOK_WERROR}>:-Werror>
                           $<$<CXX_COMPILER_ID:GNU>:-fno-semantic-interposition>)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
if(FLOWBOOK_SANITIZE)
  set(CMAKE_CXX_FLAGS_RELEASE "-O1 -g1 -fno-omit-frame-pointer")
  target_compile_options(flowbook_flags INTERFACE -fsanitize=${FLOWBOOK_SANITIZE}
                                                  -fno-sanitize-recover=undefined)
  target_link_options(flowbook_flags INTERFACE -fsanitize=${FLOWBOOK_SANITIZE})
endif()

# flowbook_sources(OUT folder...): the .cpp files right inside csrc/<folder>, and one level below it,
# except the folders that are built on their own (cpu/isa, cpu/providers).
function(flowbook_sources out)
  set(found)
  foreach(folder IN LISTS ARGN)
    file(GLOB files CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/csrc/${folder}/*.cpp"
         "${PROJECT_SOURCE_DIR}/csrc/${folder}/*/*.cpp")
    list(FILTER files EXCLUDE REGEX "/csrc/cpu/(isa|providers)/")
    list(APPEND found ${files})
  endforeach()
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

# flowbook_precompile(TARGET header...): parses the standard library once per target, not once per unit;
# a third less to compile. Sources still include what they use.
function(flowbook_precompile target)
  target_precompile_headers(
    ${target} PRIVATE <algorithm> <array> <atomic> <bit> <cmath> <cstdint> <cstdlib> <cstring>
    <exception> <functional> <limits> <map> <memory> <mutex> <optional> <span> <string> <string_view>
    <tuple> <unordered_map> <unordered_set> <utility> <variant> <vector> ${ARGN})
endfunction()

# Every symbol resolves when the library is linked, not when a user imports it.
function(flowbook_defined target)
  if(NOT APPLE AND NOT (FLOWBOOK_SANITIZE AND CMAKE_CXX_COMPILER_ID MATCHES "Clang"))
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()
endfunction()

# flowbook_module(NAME source...): a library that libflowbook opens at run time from its own folder.
function(flowbook_module name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE flowbook flowbook_flags)
  set_target_properties(${name} PROPERTIES PREFIX lib INSTALL_RPATH "${FLOWBOOK_RPATH}")
  flowbook_defined(${name})
  install(TARGETS ${name} LIBRARY DESTINATION "${FLOWBOOK_LIBDIR}" COMPONENT library)
endfunction()

# ---- instruction sets ----------------------------------------------------------------------------
# On x86-64 the loops of csrc/cpu/isa and the Eigen provider are compiled for three levels and chosen
# at run time (FLOWBOOK_ISA_X86=1: namespaces v2, v3, v4). Elsewhere, and under sanitizers, once (base).
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$" AND NOT FLOWBOOK_SANITIZE)
  set(FLOWBOOK_ISA_X86 1)
  set(FLOWBOOK_ISAS v2 v3 v4)
  set(FLOWBOOK_ISA_FLAGS_v2 -march=x86-64-v2)
  set(FLOWBOOK_ISA_FLAGS_v3 -march=x86-64-v3)
  set(FLOWBOOK_ISA_FLAGS_v4 -march=x86-64-v4 -mprefer-vector-width=512)
else()
  set(FLOWBOOK_ISA_X86 0)
  set(FLOWBOOK_ISAS base)
  set(FLOWBOOK_ISA_FLAGS_base)
endif()
target_compile_definitions(flowbook_flags INTERFACE FLOWBOOK_ISA_X86=${FLOWBOOK_ISA_X86})
if(NOT FLOWBOOK_SANITIZE)
  foreach(isa IN LISTS FLOWBOOK_ISAS)
    list(APPEND FLOWBOOK_ISA_FLAGS_${isa} -O3)
  endforeach()
endif()

# Each unit becomes an object library per level, so that its flags touch nothing else.
function(flowbook_isa_units target)
  file(GLOB units CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/csrc/cpu/isa/*.cpp")
  if(NOT units)
    return()
  endif()
  foreach(isa IN LISTS FLOWBOOK_ISAS)
    add_library(flowbook_isa_${isa} OBJECT ${units})
    target_include_directories(flowbook_isa_${isa} PRIVATE "${PROJECT_SOURCE_DIR}/csrc"
                                                           "${PROJECT_BINARY_DIR}/include")
    target_link_libraries(flowbook_isa_${isa} PRIVATE flowbook_flags)
    target_compile_options(flowbook_isa_${isa} PRIVATE ${FLOWBOOK_ISA_FLAGS_${isa}} -fno-math-errno -fwrapv
                                                       -fno-trapping-math)
    target_compile_definitions(flowbook_isa_${isa} PRIVATE FLOWBOOK_BUILDING FLOWBOOK_ISA=${isa})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:flowbook_isa_${isa}>)
    if(FLOWBOOK_ISA_X86 AND CMAKE_NM)
      set(list "${PROJECT_BINARY_DIR}/isa_${isa}.txt")
      file(GENERATE OUTPUT "${list}" CONTENT "$<JOIN:$<TARGET_OBJECTS:flowbook_isa_${isa}>,\n>\n")
      add_custom_command(TARGET ${target} PRE_LINK COMMAND
        "${CMAKE_COMMAND}" "-DNM=${CMAKE_NM}" "-DOBJECTS=${list}" -P
        "${PROJECT_SOURCE_DIR}/cmake/CheckIsaSymbols.cmake" VERBATIM)
    endif()
  endforeach()
endfunction()
