# Puts the Python sources (FROM) and a link to the extension (NATIVE) together in TO.
file(GLOB entries "${FROM}/*")
list(FILTER entries EXCLUDE REGEX "\\.(so|pyi)$|__pycache__$")
file(COPY ${entries} DESTINATION "${TO}")
get_filename_component(name "${NATIVE}" NAME)
file(CREATE_LINK "${NATIVE}" "${TO}/${name}" SYMBOLIC)
