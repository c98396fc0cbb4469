# SPDX-License-Identifier: Apache-2.0
# This folder is the only one of include/ with files that are no headers (.cpp, .cu, .cmake). They are installed with the
# headers, since whoever links the library compiles them: with its own compiler, flags and GPUs.
#
# llamavision_add_separate(LIBRARY): targets that compile the library once, on top of the target of its headers alone.
#   llamavision::parts     all that does not depend on a configuration
#   llamavision::separate  the same, and the published models and `tiny` on the CPU (published*.cpp)
# Both decode WebP, AVIF and HEIC if libwebp, libavif and libheif are found. LLAMAVISION_WEBP, LLAMAVISION_AVIF and LLAMAVISION_HEIC
# say for each: AUTO (where the library is found), ON (an error if it is not), or OFF.
foreach(format IN ITEMS WEBP AVIF HEIC)
    set(LLAMAVISION_${format} AUTO CACHE STRING "Decode ${format} pictures: AUTO (if its library is found), ON or OFF")
    set_property(CACHE LLAMAVISION_${format} PROPERTY STRINGS AUTO ON OFF)
endforeach()

# llamavision_add_codec(TARGET FORMAT PACKAGE HEADER LIBRARY...): TARGET decodes FORMAT with LIBRARY..., by their files: not every
# release has a package file, and Debian 12's of libheif names a folder that it has not.
function(llamavision_add_codec target format package header)
    string(TOUPPER "${LLAMAVISION_${format}}" wish)
    if(NOT wish STREQUAL AUTO AND NOT wish) # OFF, NO, 0
        return()
    endif()
    find_path(LLAMAVISION_${format}_INCLUDE_DIR "${header}")
    set(needed LLAMAVISION_${format}_INCLUDE_DIR)
    foreach(name IN LISTS ARGN)
        string(TOUPPER "LLAMAVISION_${name}_LIBRARY" variable)
        find_library(${variable} "${name}")
        list(APPEND needed ${variable})
    endforeach()
    set(files)
    foreach(variable IN LISTS needed)
        mark_as_advanced(${variable})
        if(${variable})
            list(APPEND files "${${variable}}")
        elseif(wish STREQUAL AUTO)
            message(STATUS "${format} pictures are not decoded: ${package} is not found")
            return()
        else()
            message(FATAL_ERROR "LLAMAVISION_${format} is ${LLAMAVISION_${format}}, but ${package} is not found; ${variable} can name it")
        endif()
    endforeach()
    list(POP_FRONT files directory)
    target_include_directories(${target} SYSTEM PRIVATE "${directory}")
    target_compile_definitions(${target} PRIVATE LLAMAVISION_WITH_${format})
    target_link_libraries(${target} PRIVATE ${files})
endfunction()

function(llamavision_add_separate library)
    file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/*.cpp")
    set(published "${sources}")
    list(FILTER published INCLUDE REGEX "/published[^/]*$")
    list(FILTER sources EXCLUDE REGEX "/published[^/]*$")

    add_library(llamavision_parts STATIC EXCLUDE_FROM_ALL ${sources})
    add_library(llamavision::parts ALIAS llamavision_parts)
    target_compile_definitions(llamavision_parts PUBLIC LLAMAVISION_SEPARATE)
    target_link_libraries(llamavision_parts PUBLIC ${library})
    llamavision_add_codec(llamavision_parts WEBP libwebp webp/demux.h webpdemux webp)
    llamavision_add_codec(llamavision_parts AVIF libavif avif/avif.h avif)
    llamavision_add_codec(llamavision_parts HEIC libheif libheif/heif.h heif)

    add_library(llamavision_separate STATIC EXCLUDE_FROM_ALL ${published})
    add_library(llamavision::separate ALIAS llamavision_separate)
    target_compile_definitions(llamavision_separate PUBLIC LLAMAVISION_PUBLISHED)
    target_link_libraries(llamavision_separate PUBLIC llamavision_parts)

    set_target_properties(llamavision_parts llamavision_separate PROPERTIES POSITION_INDEPENDENT_CODE ON)
endfunction()
