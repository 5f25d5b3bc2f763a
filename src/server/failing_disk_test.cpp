// A disk that loses what it was told to keep, as the API's clients see it.

#include <nlohmann/json.hpp>

#include "io/epoll_loop.h"
#include "server/test_server.h"
#include "store/sqlite_log.h"
#include "store/test_failing_sync.h"

namespace datapunk::mesh::server {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

// A registry on a file and its API, in real time.
struct Booted {
    explicit Booted(const std::string& path) : loop(*io::EpollLoop::create()) {
        auto log = store::SqliteLog::open({.path = path});
        MESH_ASSERT(log.ok());
        auto opened = registry::embedded::EmbeddedRegistry::open(
            *loop, *std::move(log), test_registry_config(), core::Logger()
        );
        MESH_ASSERT(opened.ok());
        registry = *std::move(opened);
        server = std::make_unique<RegistryServer>(*registry, RegistryServerConfig{});
        desk = std::make_unique<Desk>(*loop, *server);
    }

    std::unique_ptr<io::EpollLoop> loop;
    std::unique_ptr<registry::embedded::EmbeddedRegistry> registry;
    std::unique_ptr<RegistryServer> server;
    std::unique_ptr<Desk> desk;
};

TEST(FailingDisk, AFailedFsyncRefusesWritesWithItsReasonAndReadsGoOn) {
    std::string directory = testing::TempDir() + "failing-XXXXXX";
    ASSERT_NE(mkdtemp(directory.data()), nullptr);
    const std::string path = directory + "/registry.db";
    {
        store::FailingSync disk;
        Booted first(path);
        Desk& desk = *first.desk;
        const std::string web =
            R"({"Name":"web","Port":80,"Check":{"TTL":"1h","Status":"passing"}})";
        desk.put("/v1/agent/service/register", web);
        EXPECT_EQ(desk.ask("PUT", "/v1/kv/before", "1").body, "true");
        const std::uint64_t index = desk.index("/v1/health/service/web");
        disk.set(true);
        for (const auto& [target, body] : std::vector<std::pair<std::string, std::string>>{
                 {"/v1/kv/lost", "x"},
                 {"/v1/agent/service/register", R"({"Name":"lost"})"},
                 {"/v1/agent/check/fail/service:web", ""},
                 {"/v1/session/create", "{}"},
                 {"/v1/txn", R"([{"KV":{"Verb":"set","Key":"lost","Value":""}}])"}
             }) {
            const http::Response refused = desk.ask("PUT", target, body);
            EXPECT_EQ(refused.status, 500) << target;
            EXPECT_THAT(refused.body, HasSubstr("the registry cannot write")) << target;
            EXPECT_THAT(refused.body, HasSubstr("until a restart has checked the file")) << target;
        }
        disk.set(false);
        EXPECT_EQ(desk.ask("PUT", "/v1/kv/lost", "x").status, 500)
            << "an fsync that succeeds after one that failed proves nothing";
        EXPECT_EQ(desk.get("/v1/kv/before?raw"), "1");
        EXPECT_EQ(desk.ask("GET", "/v1/kv/lost").status, 404);
        EXPECT_EQ(Json::parse(desk.get("/v1/health/service/web?passing")).size(), 1U);
        EXPECT_EQ(desk.index("/v1/health/service/web"), index);
    }
    Booted second(path);
    EXPECT_EQ(second.desk->get("/v1/kv/before?raw"), "1");
    EXPECT_EQ(Json::parse(second.desk->get("/v1/health/service/web?passing")).size(), 1U);
    EXPECT_EQ(second.desk->ask("PUT", "/v1/kv/after", "2").body, "true");
}

}  // namespace
}  // namespace datapunk::mesh::server
