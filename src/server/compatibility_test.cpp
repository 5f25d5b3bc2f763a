// docs/consul-compatibility.md against the running server.

#include <fstream>
#include <set>
#include <sstream>

#include "core/strings.h"
#include "server/test_server.h"

namespace datapunk::mesh::server {
namespace {

struct Row {
    std::string path;  // with ":name" for what follows
    std::vector<std::string> methods;
    bool is_there = false;

    // What the router calls it: up to the first name.
    std::string route() const { return path.substr(0, path.find(':')); }

    std::string example() const {
        std::string out;
        bool in_name = false;
        for (const char c : path) {
            if (c == ':') out += "x";
            in_name = c == ':' || (in_name && c != '/');
            if (!in_name) out += c;
        }
        return out;
    }
};

class Compatibility : public ServerTest {
  public:
    static std::vector<Row> table() {
        std::ifstream page(MESH_SOURCE_DIR "/docs/consul-compatibility.md");
        std::vector<Row> rows;
        for (std::string line; std::getline(page, line);) {
            if (!line.starts_with("| `/v1/")) continue;
            const auto cells = core::split(line, '|');
            Row row;
            const std::string_view path = core::trim(cells[1]);
            row.path = path.substr(1, path.size() - 2);
            for (const auto method : core::split(core::trim(cells[2]), ',')) {
                row.methods.emplace_back(method);
            }
            const std::string_view there = core::trim(cells[3]);
            EXPECT_TRUE(there == "yes" || there == "501") << line;
            row.is_there = there == "yes";
            rows.push_back(std::move(row));
        }
        return rows;
    }
};

TEST_F(Compatibility, TheTableIsWhatTheServerDoes) {
    const std::vector<Row> rows = table();
    ASSERT_GT(rows.size(), 90U);
    for (const Row& row : rows) {
        const http::Response question = desk_->ask("OPTIONS", row.example());
        EXPECT_EQ(question.status, 200) << row.path;
        for (const std::string& method : row.methods) {
            EXPECT_NE(
                ("," + std::string(question.header("Allow")) + ",").find("," + method + ","),
                std::string::npos
            ) << method
              << " " << row.path;
            const http::Response answer = desk_->ask(method, row.example());
            EXPECT_NE(answer.status, 405) << method << " " << row.path;
            EXPECT_NE(answer.body, "Invalid URL path: not a recognized HTTP API endpoint")
                << row.path;
            EXPECT_EQ(answer.status != 501, row.is_there)
                << method << " " << row.path << ": " << answer.status << " " << answer.body;
            if (row.is_there) continue;
            EXPECT_NE(answer.body.find("docs/consul-compatibility.md"), std::string::npos);
            EXPECT_EQ(answer.header("content-type"), "text/plain; charset=utf-8");
        }
    }
}

TEST_F(Compatibility, EveryPathOfTheServerIsInTheTable) {
    std::set<std::string> known;
    for (const Row& row : table()) {
        for (std::string path = row.route(); !path.empty(); path.pop_back()) {
            if (path == row.route() || path.ends_with('/')) known.insert(path);
        }
    }
    for (const ApiPath& route : api_paths()) {
        EXPECT_TRUE(known.contains(std::string(route.path))) << route.path;
    }
}

}  // namespace
}  // namespace datapunk::mesh::server
