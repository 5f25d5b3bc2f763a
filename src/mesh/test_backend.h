#pragma once

// Tests only: a registry in a variable, that can be down, forget, say one thing and do another, or
// fail at one request.

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "registry/backend.h"

namespace datapunk::mesh::internal {

class TestBackend final : public registry::Backend {
  public:
    enum class Fault : std::uint8_t {
        none,
        refused,  // nothing happens, may pass
        denied,   // nothing happens, and never will
        lost,     // it happens; the answer is lost
    };

    struct State {
        std::map<std::string, ServiceConfig> services;
        std::map<std::string, Health> health;
        std::vector<std::string> log;  // "register web-1", "heartbeat web-1 passing", …
        bool is_down = false;
        bool drops_registrations = false;  // says ok, keeps nothing
        Duration takes = std::chrono::milliseconds(1);
        std::function<Duration()> delay{};  // instead of `takes`
        std::function<Fault(std::size_t request)> fault{};
        std::size_t requests = 0;
        std::uint64_t index = 1;
        registry::Capabilities capabilities{};

        std::size_t count(std::string_view line) const {
            std::size_t found = 0;
            for (const std::string& one : log) found += one == line ? 1 : 0;
            return found;
        }
    };

    TestBackend(io::Loop& loop, State& state) : loop_(loop), state_(state) {}

    std::string_view kind() const noexcept override { return "test"; }

    registry::Capabilities capabilities() const noexcept override { return state_.capabilities; }

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override {
        const std::string id = config.id;
        auto arrived = co_await arrive("register " + id, deadline);
        if (happens(arrived) && !state_.drops_registrations) {
            state_.services[id] = config;
            ++state_.index;
        }
        co_return answer(arrived);
    }

    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override {
        auto arrived = co_await arrive("deregister " + id, deadline);
        bool is_known = true;
        if (happens(arrived)) {
            is_known = state_.services.erase(id) > 0;
            ++state_.index;
        }
        if (arrived == Fault::none && !is_known) co_return unknown(id);
        co_return answer(arrived);
    }

    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override {
        auto arrived = co_await arrive("has " + id, deadline);
        auto verdict = answer(arrived);
        if (!verdict) co_return std::move(verdict).error();
        co_return state_.services.contains(id);
    }

    io::Task<Result<std::optional<Metadata>>> metadata_of(std::string id, Instant deadline)
        override {
        auto has = co_await has_service(id, deadline);
        if (!has) co_return std::move(has).error();
        std::optional<Metadata> found;
        if (*has) found = state_.services[id].meta;
        co_return found;
    }

    io::Task<Result<>> heartbeat(std::string id, Health health, std::string, Instant deadline)
        override {
        auto arrived =
            co_await arrive("heartbeat " + id + " " + std::string(to_string(health)), deadline);
        const bool is_known = state_.services.contains(id);
        if (happens(arrived) && is_known) {
            state_.health[id] = health;
            ++state_.index;
        }
        if (arrived == Fault::none && !is_known) co_return unknown(id);
        co_return answer(arrived);
    }

    // Looks about every 10 ms whether there is something new.
    io::Task<Result<registry::Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override {
        if (state_.is_down) co_return *refusal(Fault::refused);
        const Instant end = std::min(deadline, loop_.now() + longest);
        while (after > 0 && state_.index == after && loop_.now() < end) {
            co_await io::sleep_for(loop_, std::chrono::milliseconds(10));
        }
        registry::Answer found{.endpoints = {}, .index = state_.index};
        for (const auto& [id, config] : state_.services) {
            if (config.name != service) continue;
            ServiceEndpoint endpoint{
                .id = id,
                .service = config.name,
                .host = config.host,
                .port = config.port,
                .weight = config.weight,
                .tags = config.tags,
                .metadata = config.meta
            };
            const auto health = state_.health.find(id);
            if (health != state_.health.end()) endpoint.health = health->second;
            found.endpoints.push_back(std::move(endpoint));
        }
        co_return found;
    }

    io::Task<Result<std::vector<registry::ServiceSummary>>> services(Instant deadline) override {
        auto arrived = co_await arrive("services", deadline);
        auto verdict = answer(arrived);
        if (!verdict) co_return std::move(verdict).error();
        std::map<std::string, registry::ServiceSummary> found;
        for (const auto& [id, config] : state_.services) found[config.name].name = config.name;
        std::vector<registry::ServiceSummary> all;
        for (auto& [name, summary] : found) all.push_back(std::move(summary));
        co_return all;
    }

  private:
    static Error unknown(const std::string& id) {
        return {.code = Code::not_found, .what = id + " unknown", .source = Source::registry};
    }

    static bool happens(Fault fault) { return fault == Fault::none || fault == Fault::lost; }

    static std::optional<Error> refusal(Fault fault) {
        switch (fault) {
            case Fault::none:
                return std::nullopt;
            case Fault::denied:
                return Error{
                    .code = Code::denied, .what = "permission denied", .source = Source::registry
                };
            case Fault::refused:
                return Error{
                    .code = Code::unavailable,
                    .what = "connection refused",
                    .source = Source::registry,
                    .retryable = true
                };
            case Fault::lost:
                return Error{
                    .code = Code::timeout,
                    .what = "no answer",
                    .source = Source::registry,
                    .retryable = true
                };
        }
        return std::nullopt;
    }

    static Result<> answer(Fault fault) {
        if (auto error = refusal(fault)) return *std::move(error);
        return Ok{};
    }

    io::Task<Fault> arrive(std::string line, Instant) {
        const std::size_t request = state_.requests++;
        state_.log.push_back(std::move(line));
        const Duration takes = state_.delay ? state_.delay() : state_.takes;
        co_await io::sleep_for(loop_, takes);
        if (state_.is_down) co_return Fault::refused;
        co_return state_.fault ? state_.fault(request) : Fault::none;
    }

    io::Loop& loop_;
    State& state_;
};

}  // namespace datapunk::mesh::internal
