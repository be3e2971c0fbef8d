# Resolves what the build needs from outside: oneDNN, Eigen and pybind11.
#
# A package found the usual way (conda, system, -D<name>_DIR) wins. Otherwise the Python that runs the
# build is asked through importlib.metadata where a wheel put the CMake config: CMake's own search
# misses cmeel's prefix and finds oneDNN only by way of PATH.

if(NOT Python_EXECUTABLE AND DEFINED ENV{VIRTUAL_ENV})
  set(Python_EXECUTABLE "$ENV{VIRTUAL_ENV}/bin/python")
endif()
if(FLOWBOOK_PYTHON)
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
else()
  find_package(Python 3.10 COMPONENTS Interpreter)
endif()

# flowbook_wheel_config(OUT distribution config-file): the folder of a config file inside a wheel.
function(flowbook_wheel_config out distribution config)
  set(${out} "" PARENT_SCOPE)
  if(NOT Python_Interpreter_FOUND)
    return()
  endif()
  execute_process(
    COMMAND
      "${Python_EXECUTABLE}" -c
      "import importlib.metadata as m, os, sys
for f in m.distribution(sys.argv[1]).files or []:
    if f.name == sys.argv[2]:
        print(os.path.dirname(os.path.realpath(f.locate())))
        break" "${distribution}" "${config}"
    OUTPUT_VARIABLE folder
    OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(IS_DIRECTORY "${folder}")
    set(${out} "${folder}" PARENT_SCOPE)
  endif()
endfunction()

# ---- oneDNN --------------------------------------------------------------------------------------
if(CMAKE_SYSTEM_NAME STREQUAL "Linux" AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  set(_expected ON)
else()
  set(_expected OFF)
endif()
option(FLOWBOOK_ONEDNN "Build the oneDNN provider" ${_expected})
if(FLOWBOOK_ONEDNN)
  if(NOT dnnl_DIR)
    flowbook_wheel_config(_dnnl onednn-devel-cpu-gomp dnnl-config.cmake)
    if(_dnnl)
      set(dnnl_DIR "${_dnnl}" CACHE PATH "Folder of dnnl-config.cmake")
    endif()
  endif()
  find_package(dnnl 3.2 CONFIG QUIET)
  if(NOT TARGET DNNL::dnnl)
    message(
      FATAL_ERROR
        "oneDNN 3.2 or newer was not found; matrix products would be several times slower without it. "
        "Install it (pip install onednn-devel-cpu-gomp==2023.2.0 onednn-cpu-gomp==2023.2.0, or conda's "
        "onednn) and pass -Ddnnl_DIR=<folder of dnnl-config.cmake> if needed, or configure with "
        "-DFLOWBOOK_ONEDNN=OFF to build without it.")
  endif()
  message(STATUS "oneDNN ${dnnl_VERSION}: ${dnnl_DIR}")
endif()

# ---- Eigen (headers only) ------------------------------------------------------------------------
if(NOT Eigen3_DIR)
  find_package(Eigen3 3.4 CONFIG QUIET)
  if(NOT Eigen3_FOUND)
    flowbook_wheel_config(_eigen cmeel-eigen Eigen3Config.cmake)
    if(_eigen)
      set(Eigen3_DIR "${_eigen}" CACHE PATH "Folder of Eigen3Config.cmake" FORCE)
    endif()
  endif()
endif()
find_package(Eigen3 3.4 CONFIG QUIET)
if(NOT TARGET Eigen3::Eigen)
  message(FATAL_ERROR "Eigen 3.4 was not found. Install it: pip install cmeel-eigen, or libeigen3-dev; "
                      "or pass -DEigen3_DIR=<folder of Eigen3Config.cmake>.")
endif()
message(STATUS "Eigen ${Eigen3_VERSION}: ${Eigen3_DIR}")
# As system headers, so that our warnings flags don't apply to them.
get_target_property(_eigen_include Eigen3::Eigen INTERFACE_INCLUDE_DIRECTORIES)
add_library(flowbook_eigen INTERFACE)
target_include_directories(flowbook_eigen SYSTEM INTERFACE ${_eigen_include})

# ---- pybind11 ------------------------------------------------------------------------------------
if(FLOWBOOK_PYTHON)
  set(PYBIND11_FINDPYTHON ON)
  if(NOT pybind11_DIR)
    flowbook_wheel_config(_pybind11 pybind11 pybind11Config.cmake)
    if(_pybind11)
      set(pybind11_DIR "${_pybind11}" CACHE PATH "Folder of pybind11Config.cmake")
    endif()
  endif()
  find_package(pybind11 3.0 CONFIG REQUIRED)
endif()
