#include "proxy/paths.h"

#include <gtest/gtest.h>

#include <iterator>
#include <string>
#include <string_view>

#include "core/rng.h"

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

// What a server does that decodes first, takes parameters off, and then looks for dots.
bool decoded_has_dots(std::string_view target) {
    std::string path;
    for (std::size_t i = 0; i < target.size() && target[i] != '?'; ++i) {
        const std::string_view rest = target.substr(i, 3);
        const bool is_slash = rest == "%2f" || rest == "%2F" || rest == "%5c" || rest == "%5C";
        const bool is_dot = rest == "%2e" || rest == "%2E";
        if (is_slash || is_dot) i += 2;
        const bool is_separator = is_slash || target[i] == '\\';
        path += is_separator ? '/' : is_dot ? '.' : target[i];
    }
    path += '/';
    std::string segment;
    for (const char c : path) {
        if (c != '/') {
            segment += c;
            continue;
        }
        segment = segment.substr(0, segment.find(';'));
        if (segment == "." || segment == "..") return true;
        segment.clear();
    }
    return false;
}

TEST(Paths, FindsWhatAServerFindsThatDecodesFirst) {
    constexpr std::string_view kLetters[] = {
        "/", "\\", ".", ".", "%2e", "%2E", "%2f", "%5C", ";", "?", "a", "%", "2"
    };
    core::Rng rng(1);
    int found = 0;
    for (int i = 0; i < 20'000; ++i) {
        std::string path = "/";
        for (auto left = rng.below(9); left > 0; --left)
            path += kLetters[rng.below(std::size(kLetters))];
        ASSERT_EQ(has_dot_segment(path), decoded_has_dots(path)) << path;
        found += has_dot_segment(path) ? 1 : 0;
    }
    EXPECT_GT(found, 1000);
    EXPECT_LT(found, 19'000);
}

}  // namespace
}  // namespace datapunk::mesh::proxy
