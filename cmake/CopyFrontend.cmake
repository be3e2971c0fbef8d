# Copies the front end's sources (FROM) beside its node_modules in the build folder (TO).
file(GLOB entries RELATIVE "${FROM}" "${FROM}/*" "${FROM}/.npmrc")
list(REMOVE_ITEM entries node_modules dist coverage)
foreach(entry IN LISTS entries)
  file(COPY "${FROM}/${entry}" DESTINATION "${TO}")
endforeach()
