# SPDX-License-Identifier: Apache-2.0
# Builds and runs consumer/ in one WAY: find_package (from a fresh installation of BUILD), add_subdirectory, FetchContent.
function(run)
    execute_process(COMMAND ${ARGV} RESULT_VARIABLE failed)
    if(failed)
        list(JOIN ARGV " " command)
        message(FATAL_ERROR "failed: ${command}")
    endif()
endfunction()

file(REMOVE_RECURSE "${WORK}")
set(prefix "${WORK}/prefix")
if(WAY STREQUAL find_package)
    run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${prefix}")
endif()
run("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/consumer" -B "${WORK}/build" -DWAY=${WAY}
    "-DLLAMAVISION_SOURCE=${SOURCE}" "-DCMAKE_PREFIX_PATH=${prefix}" "-DCMAKE_CXX_COMPILER=${COMPILER}")
run("${CMAKE_COMMAND}" --build "${WORK}/build")
run("${WORK}/build/consumer")

# The program that was installed finds the model that was installed with it; the README's program loads that, too.
if(EXISTS "${prefix}/bin/llamavision")
    run("${prefix}/bin/llamavision" architecture)
    run("${WORK}/build/ten_lines" "${prefix}/share/llamavision/tiny" "${SOURCE}/examples/tiny/pictures/shapes.png"
        "Describe this image.")
endif()
