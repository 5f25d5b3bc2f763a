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
          "/a/..?x=1",
          "/a%2f..%2fb",
          "/a%2F%2e%2E%5cb",
          "/a%5C..",
          "/a/..;/b",
          "/a/..;x=y/b",
          "/.;"}) {
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
          "/a%2f..b%2f",
          "/a;..",
          "/a;x=..;y/b",
          "/%2",
          "/..%2",
          "/%2e.%2e",
          "*"}) {
        EXPECT_FALSE(has_dot_segment(path)) << path;
    }
}

}  // namespace
}  // namespace datapunk::mesh::proxy
