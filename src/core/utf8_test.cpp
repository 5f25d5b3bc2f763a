#include "core/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace datapunk::mesh::core {
namespace {

TEST(Utf8, KnowsTheLengthOfACharacter) {
    EXPECT_EQ(utf8_bytes("a"), 1U);
    EXPECT_EQ(utf8_bytes("\xc3\xa9x"), 2U);
    EXPECT_EQ(utf8_bytes("\xe2\x82\xac"), 3U);
    EXPECT_EQ(utf8_bytes("\xf0\x9f\x98\x80"), 4U);
    EXPECT_EQ(utf8_bytes(""), 0U);
}

TEST(Utf8, TakesBothEndsOfEachRangeAndNothingBeyond) {
    EXPECT_TRUE(is_utf8("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf"));
    EXPECT_TRUE(is_utf8("\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf"));
    for (const char* bad :
         {"\x80",
          "\xc1\xbf",
          "\xe0\x9f\xbf",
          "\xed\xa0\x80",
          "\xf0\x8f\xbf\xbf",
          "\xf4\x90\x80\x80",
          "\xf5\x80\x80\x80",
          "\xff"}) {
        EXPECT_FALSE(is_utf8(bad)) << bad;
    }
}

TEST(Utf8, RefusesWhatIsCutShort) {
    for (const std::string whole : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
        for (std::size_t size = 1; size < whole.size(); ++size) {
            EXPECT_FALSE(is_utf8(whole.substr(0, size)));
            EXPECT_FALSE(is_utf8(whole.substr(0, size) + "aaa"));
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::core
