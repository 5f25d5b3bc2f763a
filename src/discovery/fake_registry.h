#pragma once

// FakeRegistry: a registry in virtual time with Consul's index rules, which can be away, lose its
// data, lie, or be slow; and which notices when it is asked two things about a service at once.
// For tests only.

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "registry/backend.h"

namespace datapunk::mesh::discovery {

class FakeRegistry final : public registry::Backend {
  public:
    explicit FakeRegistry(io::Loop& loop) : loop_(loop), changed_(loop) {}

    std::string_view kind() const noexcept override { return "fake"; }

    registry::Capabilities capabilities() const noexcept override { return can; }

    void put(ServiceEndpoint endpoint) {
        Service& service = catalog[endpoint.service];
        service.endpoints[endpoint.id] = std::move(endpoint);
        touch(service);
    }

    void remove(const std::string& service, const std::string& id) {
        if (catalog[service].endpoints.erase(id) > 0) touch(catalog[service]);
    }

    void clear(const std::string& service) {
        catalog[service].endpoints.clear();
        touch(catalog[service]);
    }

    // As a Consul whose raft state is gone: a low index, and nothing registered.
    void wipe() {
        catalog.clear();
        index = 14;
        wake();
    }

    void set_down(bool down) {
        is_down = down;
        wake();
    }

    std::vector<ServiceEndpoint> of(const std::string& service) const {
        std::vector<ServiceEndpoint> out;
        const auto found = catalog.find(service);
        if (found == catalog.end()) return out;
        for (const auto& [id, endpoint] : found->second.endpoints) out.push_back(endpoint);
        return out;
    }

    io::Task<Result<registry::Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override {
        const Out out(*this, service);
        ++queries[service];
        trace.push_back(fmt::format(
            "{} {} {} {}", loop_.now().time_since_epoch().count(), service, after, longest.count()
        ));
        const Instant end = std::min(loop_.now() + longest, deadline);
        co_await io::sleep_for(loop_, latency);
        while (!is_down && after > 0 && index_of(service) <= after && loop_.now() < end &&
               !never_blocks) {
            co_await changed_.wait(end);
        }
        if (is_silent) co_await io::sleep_until(loop_, deadline);
        if (is_silent || is_down) co_return away();
        registry::Answer answer{.endpoints = of(service), .index = index_of(service)};
        if (is_lying) answer.endpoints.clear();
        co_return std::move(answer);
    }

    // With `tells_patches`, from what the asker brings back to what is now.
    io::Task<Result<registry::News>> follow(
        std::string service, registry::KnownAnswer known, Duration longest, Instant deadline
    ) override {
        const auto* before = static_cast<const Told*>(known.memory.get());
        auto answer = co_await wait(std::move(service), known.index, longest, deadline);
        if (!answer) co_return std::move(answer).error();
        registry::News news;
        auto told = std::make_unique<Told>();
        for (const ServiceEndpoint& one : answer->endpoints) told->endpoints[one.id] = one;
        if (before != nullptr && answer->index >= known.index) {
            ++patches;
            news.what = patch_of(before->endpoints, told->endpoints, answer->index);
        } else {
            ++wholes;
            news.what = *std::move(answer);
        }
        if (tells_patches) news.memory = std::move(told);
        co_return news;
    }

    io::Task<Result<>> register_service(ServiceConfig, Instant) override { co_return Ok{}; }

    io::Task<Result<>> deregister_service(std::string, Instant) override { co_return Ok{}; }

    io::Task<Result<bool>> has_service(std::string, Instant) override {
        if (is_silent || is_down) co_return away();
        co_return true;
    }

    io::Task<Result<>> heartbeat(std::string, Health, std::string, Instant) override {
        co_return Ok{};
    }

    io::Task<Result<std::vector<registry::ServiceSummary>>> services(Instant) override {
        co_return std::vector<registry::ServiceSummary>();
    }

    std::size_t outstanding() const {
        std::size_t sum = 0;
        for (const auto& [name, count] : out_) sum += count;
        return sum;
    }

    struct Service {
        std::map<std::string, ServiceEndpoint> endpoints;
        std::uint64_t index = 0;
    };

    std::map<std::string, Service> catalog;
    std::uint64_t index = 100;
    registry::Capabilities can{};
    Duration latency = std::chrono::milliseconds(2);
    Duration retry_after{};  // asked for while it is down
    bool is_down = false;
    bool is_silent = false;
    bool is_lying = false;      // says that there is nothing
    bool never_blocks = false;  // answers every blocking query at once
    bool tells_patches = false;
    int patches = 0;  // told
    int wholes = 0;   // the same, in full
    std::map<std::string, int> queries;
    std::size_t most_at_once = 0;  // questions about one service
    std::vector<std::string> trace;

  private:
    using Endpoints = std::map<std::string, ServiceEndpoint>;

    struct Told final : registry::AnswerMemory {
        Endpoints endpoints;
    };

    // Says more than it must: also endpoints that nobody had are gone.
    static registry::Patch patch_of(
        const Endpoints& before, const Endpoints& now, std::uint64_t index
    ) {
        registry::Patch patch{.changed = {}, .removed = {"never was"}, .index = index};
        for (const auto& [id, one] : now) {
            const auto old = before.find(id);
            if (old == before.end() || !(old->second == one)) patch.changed.push_back(one);
        }
        for (const auto& [id, one] : before) {
            if (!now.contains(id)) patch.removed.push_back(id);
        }
        std::sort(patch.removed.begin(), patch.removed.end());
        return patch;
    }

    Error away() const {
        return {
            .code = is_silent ? Code::timeout : Code::unavailable,
            .what = "the fake registry is away",
            .source = Source::registry,
            .retryable = true,
            .retry_after = retry_after
        };
    }

    struct Out {
        Out(FakeRegistry& fake, const std::string& service) : count(fake.out_[service]) {
            fake.most_at_once = std::max(fake.most_at_once, ++count);
        }

        Out(const Out&) = delete;
        Out& operator=(const Out&) = delete;

        ~Out() { --count; }

        std::size_t& count;
    };

    std::uint64_t index_of(const std::string& service) const {
        const auto found = catalog.find(service);
        return found == catalog.end() ? index : found->second.index;
    }

    void touch(Service& service) {
        service.index = ++index;
        wake();
    }

    void wake() {
        changed_.set();
        changed_.clear();
    }

    io::Loop& loop_;
    io::Event changed_;
    std::map<std::string, std::size_t> out_;
};

}  // namespace datapunk::mesh::discovery
