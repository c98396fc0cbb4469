# SPDX-License-Identifier: Apache-2.0
# This folder is the only one of include/ with files that are no headers (.cpp, .cu, .cmake). They are installed with the
# headers, since whoever links the library compiles them: with its own compiler, flags and GPUs.
#
# llamavision_add_separate(LIBRARY): targets that compile the library once, on top of the target of its headers alone.
#   llamavision::parts     all that does not depend on a configuration
#   llamavision::separate  the same, and the published models and `tiny` on the CPU (published*.cpp)
function(llamavision_add_separate library)
    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/*.cpp")
    set(published "${sources}")
    list(FILTER published INCLUDE REGEX "/published[^/]*$")
    list(FILTER sources EXCLUDE REGEX "/published[^/]*$")

    add_library(llamavision_parts STATIC EXCLUDE_FROM_ALL ${sources})
    add_library(llamavision::parts ALIAS llamavision_parts)
    target_compile_definitions(llamavision_parts PUBLIC LLAMAVISION_SEPARATE)
    target_link_libraries(llamavision_parts PUBLIC ${library})

    add_library(llamavision_separate STATIC EXCLUDE_FROM_ALL ${published})
    add_library(llamavision::separate ALIAS llamavision_separate)
    target_compile_definitions(llamavision_separate PUBLIC LLAMAVISION_PUBLISHED)
    target_link_libraries(llamavision_separate PUBLIC llamavision_parts)

    set_target_properties(llamavision_parts llamavision_separate PROPERTIES POSITION_INDEPENDENT_CODE ON)
endfunction()
