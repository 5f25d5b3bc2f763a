#pragma once

// Tests only: a registry in a variable, that can be down, forget, or say one thing and do another.

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "registry/backend.h"

namespace datapunk::mesh::internal {

class TestBackend final : public registry::Backend {
  public:
    struct State {
        std::map<std::string, ServiceConfig> services;
        std::map<std::string, Health> health;
        std::vector<std::string> log;  // "register web-1", "heartbeat web-1 passing", …
        bool is_down = false;
        bool drops_registrations = false;  // says ok, keeps nothing
        Duration takes = std::chrono::milliseconds(1);

        std::size_t count(std::string_view line) const {
            std::size_t found = 0;
            for (const std::string& one : log) found += one == line ? 1 : 0;
            return found;
        }
    };

    TestBackend(io::Loop& loop, State& state) : loop_(loop), state_(state) {}

    std::string_view kind() const noexcept override { return "test"; }

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override {
        auto arrived = co_await arrive("register " + config.id, deadline);
        if (!arrived) co_return arrived;
        if (!state_.drops_registrations) state_.services[config.id] = config;
        co_return Ok{};
    }

    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override {
        auto arrived = co_await arrive("deregister " + id, deadline);
        if (!arrived) co_return arrived;
        if (state_.services.erase(id) == 0) co_return unknown(id);
        co_return Ok{};
    }

    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override {
        auto arrived = co_await arrive("has " + id, deadline);
        if (!arrived) co_return std::move(arrived).error();
        co_return state_.services.contains(id);
    }

    io::Task<Result<>> heartbeat(std::string id, Health health, std::string, Instant deadline)
        override {
        auto arrived =
            co_await arrive("heartbeat " + id + " " + std::string(to_string(health)), deadline);
        if (!arrived) co_return arrived;
        if (!state_.services.contains(id)) co_return unknown(id);
        state_.health[id] = health;
        co_return Ok{};
    }

    io::Task<Result<registry::Answer>> wait(
        std::string, std::uint64_t, Duration longest, Instant deadline
    ) override {
        const Instant end = std::min(deadline, loop_.now() + longest);
        co_await io::sleep_until(loop_, end);
        co_return registry::Answer{.endpoints = {}, .index = 1};
    }

    io::Task<Result<std::vector<registry::ServiceSummary>>> services(Instant deadline) override {
        auto arrived = co_await arrive("services", deadline);
        if (!arrived) co_return std::move(arrived).error();
        co_return std::vector<registry::ServiceSummary>{};
    }

  private:
    static Error unknown(const std::string& id) {
        return {.code = Code::not_found, .what = id + " unknown", .source = Source::registry};
    }

    io::Task<Result<>> arrive(std::string line, Instant) {
        state_.log.push_back(std::move(line));
        co_await io::sleep_for(loop_, state_.takes);
        if (state_.is_down) {
            co_return Error{
                .code = Code::unavailable,
                .what = "connection refused",
                .source = Source::registry,
                .retryable = true
            };
        }
        co_return Ok{};
    }

    io::Loop& loop_;
    State& state_;
};

}  // namespace datapunk::mesh::internal
