#pragma once

// For tests: a RegistryServer over a registry in memory and in virtual time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "registry/embedded/embedded_registry.h"
#include "registry/embedded/volatile_log.h"
#include "server/registry_server.h"
#include "sim/run.h"
#include "sim/sim_loop.h"

namespace datapunk::mesh::server {

inline registry::embedded::EmbeddedConfig test_registry_config() {
    registry::embedded::EmbeddedConfig config;
    config.node = {
        .name = "ref1",
        .id = "3ad04841-5af7-3d3a-a1b9-971a56da8f32",
        .address = "127.0.0.1",
        .tagged_addresses = {},
        .meta = {{"consul-network-segment", ""}, {"consul-version", "1.16.4"}, {"rack", "r1"}},
        .index = {}
    };
    return config;
}

// As a client receives it.
inline http::Response as_received(http::Response response) {
    response.body = response.content();
    response.shared_body = nullptr;
    if (response.shared_fields == nullptr) return response;
    std::vector<http::HeaderLine> headers;
    std::string_view left = *response.shared_fields;
    while (!left.empty()) {
        const std::size_t end = left.find("\r\n");
        const std::string_view line = left.substr(0, end);
        const std::size_t colon = line.find(": ");
        headers.push_back({std::string(line.substr(0, colon)), std::string(line.substr(colon + 2))}
        );
        left.remove_prefix(end + 2);
    }
    headers.insert(headers.end(), response.headers.begin(), response.headers.end());
    response.headers = std::move(headers);
    response.shared_fields = nullptr;
    return response;
}

// The handler's answers, without sockets.
class Desk {
  public:
    Desk(io::Loop& loop, http::Handler& handler) : loop_(loop), handler_(handler) {}

    http::Response ask(std::string method, std::string target, std::string body = {}) {
        http::Request request{
            .method = std::move(method), .target = std::move(target), .body = std::move(body)
        };
        return ask(std::move(request));
    }

    http::Response ask(http::Request request) {
        auto response = sim::run_on(loop_, handler_.handle(std::move(request)));
        EXPECT_TRUE(response) << "no answer";
        return response ? as_received(*std::move(response)) : http::Response{.status = 0};
    }

    // With a token.
    http::Response ask_as(
        const std::string& secret, std::string method, std::string target, std::string body = {}
    ) {
        http::Request request{
            .method = std::move(method), .target = std::move(target), .body = std::move(body)
        };
        request.headers.push_back({"X-Consul-Token", secret});
        return ask(std::move(request));
    }

    std::string get(std::string target) {
        const http::Response response = ask("GET", std::move(target));
        EXPECT_EQ(response.status, 200) << response.body;
        return response.body;
    }

    void put(std::string target, std::string body = {}) {
        const http::Response response = ask("PUT", target, std::move(body));
        EXPECT_EQ(response.status, 200) << target << ": " << response.body;
    }

    std::uint64_t index(std::string target) {
        return std::stoull(
            "0" + std::string(ask("GET", std::move(target)).header("X-Consul-Index"))
        );
    }

  private:
    io::Loop& loop_;
    http::Handler& handler_;
};

// A request that goes on while the test does something else.
class PendingAsk {
  public:
    PendingAsk(http::Handler& handler, std::string target) {
        http::Request request{.target = std::move(target)};
        group_.spawn(run(handler.handle(std::move(request)), &response_));
    }

    bool ended() const { return response_.has_value(); }

    const http::Response& response() const { return *response_; }

    void leave() { group_.cancel(); }

  private:
    static io::Task<void> run(io::Task<http::Response> task, std::optional<http::Response>* out) {
        auto response = co_await std::move(task);
        *out = as_received(std::move(response));
    }

    std::optional<http::Response> response_;
    io::TaskGroup group_;
};

class ServerTest : public testing::Test {
  public:
    ServerTest() { start(); }

    void start() {
        auto opened = registry::embedded::EmbeddedRegistry::open(
            loop_,
            std::make_unique<registry::embedded::VolatileLog>(),
            test_registry_config(),
            core::Logger()
        );
        ASSERT_TRUE(opened) << opened.error().what;
        registry_ = *std::move(opened);
        server_ = std::make_unique<RegistryServer>(*registry_, config_);
        desk_ = std::make_unique<Desk>(loop_, *server_);
        loop_.run_for(std::chrono::milliseconds(1));
    }

    RegistryServerConfig config_;
    sim::SimLoop loop_{sim::seed_for_test(1)};
    std::unique_ptr<registry::embedded::EmbeddedRegistry> registry_;
    std::unique_ptr<RegistryServer> server_;
    std::unique_ptr<Desk> desk_;
};

}  // namespace datapunk::mesh::server
