#include "apps/local_registry.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "registry/embedded/volatile_log.h"
#include "store/sqlite_log.h"

namespace datapunk::mesh::apps {

namespace {

// The machine's name as a DNS label: the catalog's node name.
std::string machine_name() {
    char name[256] = {};
    if (gethostname(name, sizeof name - 1) != 0 || name[0] == 0) return "localhost";
    return name;
}

Result<std::unique_ptr<store::CommandLog>> open_log(const LocalRegistryConfig& config) {
    if (config.data_dir.empty()) {
        return std::unique_ptr<store::CommandLog>(std::make_unique<registry::embedded::VolatileLog>(
        ));
    }
    std::error_code problem;
    const bool is_new = std::filesystem::create_directories(config.data_dir, problem);
    // Keys and values are nobody else's business.
    if (is_new && !problem) {
        using enum std::filesystem::perms;
        std::filesystem::permissions(config.data_dir, owner_all, problem);
    }
    if (problem) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format("data directory {}: {}", config.data_dir, problem.message())
        };
    }
    auto log = store::SqliteLog::open({.path = config.data_dir + "/registry.db"});
    if (!log) return std::move(log).error();
    return std::unique_ptr<store::CommandLog>(*std::move(log));
}

}  // namespace

Result<std::unique_ptr<LocalRegistry>> LocalRegistry::start(
    io::Network& network, const LocalRegistryConfig& config, core::Logger log
) {
    auto command_log = open_log(config);
    if (!command_log) return std::move(command_log).error();
    auto address = io::parse_ip(config.address, config.port);
    if (!address) return std::move(address).error();
    registry::embedded::EmbeddedConfig embedded;
    embedded.node.name = config.node_name.empty() ? machine_name() : config.node_name;
    embedded.node.address = config.address;
    embedded.deregister_after_min = config.deregister_after_min;
    auto opened = registry::embedded::EmbeddedRegistry::open(
        network.loop(), *std::move(command_log), embedded, log
    );
    if (!opened) return std::move(opened).error();
    std::unique_ptr<LocalRegistry> local(new LocalRegistry());
    local->registry_ = *std::move(opened);
    local->door_ =
        std::make_unique<server::RegistryServer>(*local->registry_, server::RegistryServerConfig{});
    local->http_ =
        std::make_unique<http::Server>(network, *local->door_, http::ServerConfig{}, log);
    auto listening = local->http_->listen(*address);
    if (!listening) {
        Error error = std::move(listening).error();
        error.what = "registry: " + error.what;
        return error;
    }
    local->checks_ =
        std::make_unique<registry::embedded::CheckRunner>(*local->registry_, network, log);
    log.info(
        "registry",
        {{"address", local->http_->local().to_string()},
         {"data_dir",
          config.data_dir.empty() ? std::string_view("(memory)") : std::string_view(config.data_dir)
         }}
    );
    return local;
}

io::Task<void> LocalRegistry::drain(Instant deadline) {
    co_await http_->drain(deadline);
}

}  // namespace datapunk::mesh::apps
