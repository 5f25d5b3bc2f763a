#include "config/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>

#include "config/effective.h"
#include "config/load_fixture.h"

namespace datapunk::mesh::config {
namespace {

TEST(Document, TheCommittedPageIsWhatTheTablesSay) {
    const std::string path = MESH_SOURCE_DIR "/docs/config.md";
    if (std::getenv("UPDATE") != nullptr) std::ofstream(path) << generate_markdown();
    std::ifstream in(path);
    const std::string committed{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(committed, generate_markdown())
        << "run config_test with UPDATE=1 and commit the page";
}

TEST(Document, TheSchemaIsJsonAndKnowsEveryKeyOfTheEffectiveConfig) {
    const auto schema = nlohmann::json::parse(generate_schema(), nullptr, false);
    ASSERT_FALSE(schema.is_discarded());
    EXPECT_EQ(schema["properties"]["admin"]["properties"]["port"]["maximum"], 65535);
    EXPECT_EQ(schema["properties"]["admin"]["additionalProperties"], false);
    EXPECT_EQ(schema["properties"]["listeners"]["items"]["required"][1], "port");
    const auto effective_json =
        nlohmann::json::parse(to_json(effective(load_text(""))), nullptr, false);
    ASSERT_FALSE(effective_json.is_discarded());
    for (const auto& [key, value] : effective_json["config"].items()) {
        EXPECT_TRUE(schema["properties"].contains(key)) << key;
        if (!value.is_object()) continue;
        for (const auto& [below, ignored] : value.items()) {
            const auto& properties = schema["properties"][key];
            EXPECT_TRUE(
                !properties.contains("properties") || properties["properties"].contains(below)
            ) << key
              << "." << below;
        }
    }
}

}  // namespace
}  // namespace datapunk::mesh::config
