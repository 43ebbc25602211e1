# localai_library(NAME [SRCS a.cc ...] [DEPS layer ...] [PACKAGES Pkg::target ...])
# One call a layer. NAME is the folder under src/. Every *_test.cc below the folder is a test, so
# none can be forgotten. DEPS is what the layer may include; tools/tidy_layers.py fails on any other.
function(localai_library NAME)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "" "SRCS;DEPS;PACKAGES")
  list(TRANSFORM ARG_DEPS PREPEND localai::)
  if(ARG_SRCS)
    add_library(localai_${NAME} STATIC ${ARG_SRCS})
    target_include_directories(localai_${NAME} PUBLIC ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(localai_${NAME} PUBLIC ${ARG_DEPS}
                                          PRIVATE ${ARG_PACKAGES} localai::warnings)
  else()
    add_library(localai_${NAME} INTERFACE)
    target_include_directories(localai_${NAME} INTERFACE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(localai_${NAME} INTERFACE ${ARG_DEPS} ${ARG_PACKAGES})
  endif()
  add_library(localai::${NAME} ALIAS localai_${NAME})

  file(GLOB_RECURSE tests CONFIGURE_DEPENDS *_test.cc)
  if(tests AND BUILD_TESTING)
    add_executable(${NAME}_test ${tests})
    target_link_libraries(${NAME}_test PRIVATE localai::${NAME} ${ARG_PACKAGES} localai::warnings
                                               GTest::gmock GTest::gtest_main)
    gtest_discover_tests(${NAME}_test PROPERTIES LABELS "unit;${NAME}" TIMEOUT 300
                         DISCOVERY_TIMEOUT 60)
  endif()
endfunction()
