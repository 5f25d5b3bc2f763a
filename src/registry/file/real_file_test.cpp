// The conformance suite on real files: one YAML file that is replaced by renames, and a directory
// of JSON files that are written in place.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "io/epoll_loop.h"
#include "registry/file/file_backend.h"
#include "registry/test_conformance.h"
#include "registry/test_peers.h"
#include "wire/json_writer.h"

namespace datapunk::mesh::registry::file {
namespace {

using namespace std::chrono_literals;

class RealFile : public testing::Test, public RegistryUnderTest {
  public:
    void use(const std::string& path) {
        backend_ = *FileBackend::create(
            {.loop = *loop_,
             .files = std::make_unique<io::KernelFiles>(),
             .watch = *io::KernelFileWatch::create(*loop_, path),
             .log = core::Logger()},
            {.path = path, .settle = 10ms}
        );
    }

    io::Task<Result<>> publish(ServiceConfig config, Instant) override {
        published_[config.name][config.id] = config;
        write(config.name);
        co_return Ok{};
    }

    io::Task<Result<>> withdraw(ServiceConfig config, Instant) override {
        published_[config.name].erase(config.id);
        write(config.name);
        co_return Ok{};
    }

    virtual void write(const std::string& service) = 0;

    // JSON is YAML as well.
    std::string json_of(const std::string& service) {
        std::string out;
        wire::JsonWriter json(out);
        json.begin_array();
        for (const auto& [id, config] : published_[service]) {
            json.begin_object().key("id").string(id).key("host").string(config.host);
            json.key("port").number(config.port).key("weight").number(config.weight);
            json.key("tags").begin_array();
            for (const std::string& tag : config.tags) json.string(tag);
            json.end_array().key("meta").begin_object();
            for (const auto& [key, value] : config.meta) json.key(key).string(value);
            json.end_object().end_object();
        }
        json.end_array();
        return out;
    }

    void conform() {
        for (const Behaviour& behaviour : behaviours({.registers = false})) {
            SCOPED_TRACE(behaviour.name);
            behaviour.run(*this);
        }
    }

    Backend& backend() override { return *backend_; }

    io::Loop& loop() override { return *loop_; }

    std::unique_ptr<io::EpollLoop> loop_ = *io::EpollLoop::create();
    PeerDirectory directory_{"file"};
    std::map<std::string, std::map<std::string, ServiceConfig>> published_;
    std::unique_ptr<FileBackend> backend_;
};

class YamlFile : public RealFile {
  public:
    YamlFile() {
        write("first");
        use(directory_ / "services.yaml");
    }

    void write(const std::string&) override {
        std::string text = "services:\n";
        for (const auto& [name, instances] : published_) {
            text += "  " + name + ": " + json_of(name) + "\n";
        }
        ASSERT_TRUE(io::KernelFiles().write_atomic(directory_ / "services.yaml", text));
    }
};

TEST_F(YamlFile, PassesTheConformanceSuite) {
    conform();
}

class JsonDirectory : public RealFile {
  public:
    JsonDirectory() { use(directory_.path()); }

    void write(const std::string& service) override {
        std::ofstream(directory_ / (service + ".json"))
            << R"({"services": {")" << service << R"(": )" << json_of(service) << "}}";
    }
};

TEST_F(JsonDirectory, PassesTheConformanceSuite) {
    conform();
}

TEST_F(YamlFile, FollowsAnExchangedLinkAsInAConfigMap) {
    namespace fs = std::filesystem;
    const fs::path& mount = directory_.path();
    const auto put = [&](const std::string& version, int port) {
        fs::create_directory(mount / version);
        std::ofstream(mount / version / "mesh.yaml")
            << "services: {api: [{host: a, port: " << port << "}]}";
        fs::create_symlink(version, mount / "..data_tmp");
        fs::rename(mount / "..data_tmp", mount / "..data");
    };
    put("..1", 1);
    fs::create_symlink("..data/mesh.yaml", mount / "mesh.yaml");
    use(mount / "mesh.yaml");
    Conversation talk(*this, "api");
    talk.until_size(1);
    for (const int version : {2, 3, 4}) {
        put(".." + std::to_string(version), version);
        const Answer now = talk.until([&](const auto& endpoints) {
            return endpoints.size() == 1 && endpoints[0].port == version;
        });
        EXPECT_EQ(now.endpoints.size(), 1U);
        fs::remove_all(mount / (".." + std::to_string(version - 1)));
    }
}

}  // namespace
}  // namespace datapunk::mesh::registry::file
