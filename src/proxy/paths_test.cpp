#include "proxy/paths.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::proxy {
namespace {

TEST(Paths, FindsDotSegmentsHoweverTheyAreWritten) {
    for (const auto* path :
         {"/.",
          "/..",
          "/a/../b",
          "/a/./b",
          "/a/..",
          "/%2e",
          "/%2E%2e/x",
          "/.%2e/x",
          "/a\\..\\b",
          "/a/..?x=1"}) {
        EXPECT_TRUE(has_dot_segment(path)) << path;
    }
}

TEST(Paths, LeavesOtherDotsAlone) {
    for (const auto* path :
         {"/",
          "/a.b/c",
          "/...",
          "/..a/b",
          "/a../b",
          "/.well-known/x",
          "/%2e%2e%2e/x",
          "/a?x=../y",
          "/a%2fb",
          "*"}) {
        EXPECT_FALSE(has_dot_segment(path)) << path;
    }
}

}  // namespace
}  // namespace datapunk::mesh::proxy
