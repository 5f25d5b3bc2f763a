// A forked child has a copy of its parent's mesh, and nothing of it is the child's to use.

#include <datapunk/mesh/mesh.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>

#include "../../examples/own_registry.h"

namespace datapunk::mesh {
namespace {

using namespace std::chrono_literals;

// Counts, in memory that parent and child share, who asks the registry for what.
struct Asked {
    std::atomic<pid_t> parent{0};
    std::atomic<int> writes{0};
    std::atomic<int> writes_of_others{0};

    void note() {
        ++writes;
        if (::getpid() != parent) ++writes_of_others;
    }
};

class CountingRegistry final : public Registry {
  public:
    explicit CountingRegistry(Asked& asked) : asked_(asked) {}

    std::string kind() const override { return table_.kind(); }

    void register_service(const ServiceConfig& config, Duration timeout, Reply<Ok> reply) override {
        asked_.note();
        table_.register_service(config, timeout, std::move(reply));
    }

    void deregister_service(const std::string& id, Duration timeout, Reply<Ok> reply) override {
        asked_.note();
        table_.deregister_service(id, timeout, std::move(reply));
    }

    void has_service(const std::string& id, Duration timeout, Reply<bool> reply) override {
        table_.has_service(id, timeout, std::move(reply));
    }

    void heartbeat(
        const std::string& id,
        Health health,
        const std::string& note,
        Duration timeout,
        Reply<Ok> reply
    ) override {
        asked_.note();
        table_.heartbeat(id, health, note, timeout, std::move(reply));
    }

    void wait(
        const std::string& service,
        std::uint64_t after,
        Duration longest,
        Reply<RegistryAnswer> reply
    ) override {
        table_.wait(service, after, longest, std::move(reply));
    }

    void services(Duration timeout, Reply<std::vector<RegistryEntry>> reply) override {
        table_.services(timeout, std::move(reply));
    }

  private:
    Asked& asked_;
    TableRegistry table_;
};

ServiceConfig web() {
    ServiceConfig config{.name = "web", .id = "web-1", .host = "127.0.0.1", .port = 80};
    config.check.kind = HealthCheck::Kind::ttl;
    config.check.ttl = 1s;
    return config;
}

// Everything that a child may try with what it inherited; 0: all of it was refused or harmless.
int try_everything(std::optional<ServiceMesh>& mesh, std::optional<ServiceRegistration>& me) {
    if (mesh->register_service(web())) return 2;
    if (mesh->deregister_service("web-1")) return 3;
    if (me->set_health(Health::critical, "the child's")) return 4;
    if (mesh->discover_service("web", false)) return 5;
    (void)me->deregister();
    me.reset();  // as the child's destructors do
    mesh.reset();
    return 0;
}

int in_a_child(std::optional<ServiceMesh>& mesh, std::optional<ServiceRegistration>& me) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(try_everything(mesh, me));
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
    return WEXITSTATUS(status);
}

TEST(Fork, AChildNeitherRenewsNorWithdrawsWhatItsParentAnnounced) {
    void* const memory =
        ::mmap(nullptr, sizeof(Asked), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    auto* const asked = new (memory) Asked;
    asked->parent = ::getpid();
    {
        std::optional<ServiceMesh> mesh =
            *ServiceMesh::create({.registry = Custom{std::make_shared<CountingRegistry>(*asked)}});
        std::optional<ServiceRegistration> me = *mesh->register_service(web());
        EXPECT_EQ(in_a_child(mesh, me), 0);
        EXPECT_EQ(asked->writes_of_others, 0);
        // Here it goes on: it is renewed while its ttl of a second runs out several times.
        const int before = asked->writes;
        const auto found = mesh->discover_service("web", false);
        ASSERT_TRUE(found);
        ASSERT_EQ((*found)->endpoints.size(), 1U);
        EXPECT_EQ((*found)->endpoints[0].health, Health::passing);
        EXPECT_TRUE(me->set_health(Health::warning, "the parent's"));
        EXPECT_GT(asked->writes, before);
        EXPECT_TRUE(me->deregister());
    }
    EXPECT_EQ(asked->writes_of_others, 0);
    asked->~Asked();
    ::munmap(memory, sizeof(Asked));
}

TEST(Fork, AnEmbeddedRegistryOnTheDiskIsTheParentsAlone) {
    const std::filesystem::path dir =
        std::filesystem::temp_directory_path() / ("mesh-fork-" + std::to_string(::getpid()));
    {
        std::optional<ServiceMesh> mesh =
            *ServiceMesh::create({.registry = Embedded{.data_dir = dir.string()}});
        std::optional<ServiceRegistration> me = *mesh->register_service(web());
        EXPECT_EQ(in_a_child(mesh, me), 0);
        const auto found = mesh->discover_service("web", false);
        ASSERT_TRUE(found);
        ASSERT_EQ((*found)->endpoints.size(), 1U);
        EXPECT_EQ((*found)->endpoints[0].health, Health::passing);
        EXPECT_TRUE(me->set_health(Health::warning, "still writable"));
        me->detach();
    }
    // What stands on the disk is what the parent has written.
    {
        auto again = ServiceMesh::create({.registry = Embedded{.data_dir = dir.string()}});
        ASSERT_TRUE(again) << again.error().what;
        const auto found = again->discover_service("web", false);
        ASSERT_TRUE(found);
        ASSERT_EQ((*found)->endpoints.size(), 1U);
        EXPECT_EQ((*found)->endpoints[0].id, "web-1");
    }
    std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace datapunk::mesh
