#include "config/sources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace datapunk::mesh::config {
namespace {

using ::testing::HasSubstr;

class ReadSources : public ::testing::Test {
  protected:
    void SetUp() override {
        directory_ = std::filesystem::path(::testing::TempDir()) /
                     ("mesh_sources_" + std::to_string(getpid()));
        std::filesystem::create_directories(directory_);
    }

    void TearDown() override { std::filesystem::remove_all(directory_); }

    std::string put(const std::string& name, const std::string& text) const {
        std::ofstream(directory_ / name) << text;
        return (directory_ / name).string();
    }

    std::filesystem::path directory_;
};

TEST_F(ReadSources, ReadsADirectoryInNameOrderAndOnlyYaml) {
    put("20.yaml", "b");
    put("10.yml", "a");
    put("30.txt", "c");
    const auto sources = read_sources({directory_.string()});
    ASSERT_TRUE(sources);
    ASSERT_EQ(sources.value().size(), 2U);
    EXPECT_THAT(sources.value()[0].name, HasSubstr("10.yml"));
    EXPECT_EQ(sources.value()[0].text, "a");
    EXPECT_EQ(sources.value()[1].text, "b");
}

TEST_F(ReadSources, SaysWhatCannotBeRead) {
    const auto missing = read_sources({(directory_ / "none.yaml").string()});
    ASSERT_FALSE(missing);
    EXPECT_THAT(missing.error().what, HasSubstr("none.yaml: no such file"));
    const auto empty = read_sources({directory_.string()});
    ASSERT_FALSE(empty);
    EXPECT_THAT(empty.error().what, HasSubstr("it has no *.yaml file"));
}

TEST_F(ReadSources, BoundsASecretFile) {
    EXPECT_TRUE(read_secret_file(put("s", std::string(64U << 10U, 'x'))));
    EXPECT_FALSE(read_secret_file(put("t", std::string((64U << 10U) + 1, 'x'))));
    EXPECT_FALSE(read_secret_file(directory_.string()));
}

}  // namespace
}  // namespace datapunk::mesh::config
