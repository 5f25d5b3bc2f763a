#include "apps/text_table.h"

#include <gtest/gtest.h>

namespace datapunk::mesh::apps {
namespace {

TEST(TextTable, AlignsColumnsAndMarksEmptyCells) {
    TextTable table({"ID", "HEALTH"});
    table.add({"api-1", "passing"});
    table.add({"a", ""});
    EXPECT_EQ(table.text(), "ID     HEALTH\napi-1  passing\na      -\n");
}

TEST(TextTable, LetsNoControlCharacterReachTheTerminal) {
    TextTable table({"ID"});
    table.add({"a\x1b[2Jb\n"});
    EXPECT_EQ(table.text(), "ID\na?[2Jb?\n");
}

}  // namespace
}  // namespace datapunk::mesh::apps
