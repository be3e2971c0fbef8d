# Fails when an object compiled for one instruction set defines a weak symbol: the linker keeps one copy
# of a weak function for the whole library, perhaps the AVX-512 one, and older machines then crash.
# Arguments: NM, OBJECTS (a file that lists one object a line).
file(STRINGS "${OBJECTS}" objects)
execute_process(COMMAND "${NM}" -C --defined-only ${objects} OUTPUT_VARIABLE symbols RESULT_VARIABLE code)
if(NOT code EQUAL 0)
  return()
endif()
string(REGEX MATCHALL "[^\n]* [WVu] [^\n]*" weak "${symbols}")
if(weak)
  list(JOIN weak "\n  " weak)
  message(FATAL_ERROR "csrc/cpu/isa must define no weak symbols; put these into an anonymous namespace:\n  ${weak}")
endif()
