#pragma once

// A registry of one's own, for MeshOptions::registry = Custom{…}: here a table in memory that the
// meshes of one process share. Passes the suite that every registry of the project passes
// (src/mesh/custom_backend_test.cpp).

#include <datapunk/mesh/registry.h>

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace mesh = datapunk::mesh;

// README: begin
class TableRegistry final : public mesh::Registry {
  public:
    using Clock = std::function<mesh::Instant()>;

    explicit TableRegistry(Clock clock = std::chrono::steady_clock::now)
        : clock_(std::move(clock)) {}

    std::string kind() const override { return "table"; }

    void register_service(
        const mesh::ServiceConfig& config, mesh::Duration, mesh::Reply<mesh::Ok> reply
    ) override {
        const std::lock_guard lock(mutex_);
        rows_[config.id] =
            Row{.config = config, .health = first_health(config), .beaten = clock_()};
        changed(config.name);
        reply(mesh::Ok{});
    }

    void deregister_service(const std::string& id, mesh::Duration, mesh::Reply<mesh::Ok> reply)
        override {
        const std::lock_guard lock(mutex_);
        const auto row = rows_.find(id);
        if (row == rows_.end()) return reply(unknown(id));
        const std::string name = row->second.config.name;
        rows_.erase(row);
        changed(name);
        reply(mesh::Ok{});
    }

    void has_service(const std::string& id, mesh::Duration, mesh::Reply<bool> reply) override {
        const std::lock_guard lock(mutex_);
        reply(rows_.contains(id));
    }

    void heartbeat(
        const std::string& id,
        mesh::Health health,
        const std::string&,
        mesh::Duration,
        mesh::Reply<mesh::Ok> reply
    ) override {
        const std::lock_guard lock(mutex_);
        const auto row = rows_.find(id);
        if (row == rows_.end()) return reply(unknown(id));
        row->second.beaten = clock_();
        if (std::exchange(row->second.health, health) != health) changed(row->second.config.name);
        reply(mesh::Ok{});
    }

    void wait(
        const std::string& service,
        std::uint64_t after,
        mesh::Duration,
        mesh::Reply<mesh::RegistryAnswer> reply
    ) override {
        const std::lock_guard lock(mutex_);
        forget_the_silent();
        if (after == 0 || indexes_[service] + 1 > after) return reply(answer(service));
        std::erase_if(waiting_, [](const auto& one) { return !one.second.is_wanted(); });
        waiting_.emplace(service, reply);
    }

    void services(mesh::Duration, mesh::Reply<std::vector<mesh::RegistryEntry>> reply) override {
        const std::lock_guard lock(mutex_);
        std::map<std::string, std::map<std::string, bool>> tags;
        for (const auto& [id, row] : rows_) {
            for (const std::string& tag : row.config.tags) tags[row.config.name][tag] = true;
            tags[row.config.name];
        }
        std::vector<mesh::RegistryEntry> all;
        for (const auto& [name, of_it] : tags) {
            all.push_back({.name = name});
            for (const auto& [tag, is_there] : of_it) all.back().tags.push_back(tag);
        }
        reply(std::move(all));
    }

  private:
    struct Row {
        mesh::ServiceConfig config;
        mesh::Health health = mesh::Health::passing;
        mesh::Instant beaten;
    };

    static mesh::Health first_health(const mesh::ServiceConfig& config) {
        const bool is_checked = config.check.kind != mesh::HealthCheck::Kind::none;
        return is_checked ? mesh::Health::critical : mesh::Health::passing;
    }

    static mesh::Error unknown(const std::string& id) {
        return {.code = mesh::Code::not_found, .what = id + " is not in the table"};
    }

    // A ttl that has run out turns its service critical.
    void forget_the_silent() {
        for (auto& [id, row] : rows_) {
            if (row.config.check.kind != mesh::HealthCheck::Kind::ttl) continue;
            if (clock_() - row.beaten <= row.config.check.ttl) continue;
            if (std::exchange(row.health, mesh::Health::critical) != mesh::Health::critical)
                changed(row.config.name);
        }
    }

    mesh::RegistryAnswer answer(const std::string& service) {
        mesh::RegistryAnswer all{.index = indexes_[service] + 1};
        for (const auto& [id, row] : rows_) {
            if (row.config.name != service) continue;
            all.endpoints.push_back(
                {.id = id,
                 .host = row.config.host,
                 .port = row.config.port,
                 .weight = row.config.weight,
                 .tags = row.config.tags,
                 .metadata = row.config.meta,
                 .health = row.health}
            );
        }
        return all;
    }

    void changed(const std::string& service) {
        ++indexes_[service];
        auto [first, last] = waiting_.equal_range(service);
        for (auto one = first; one != last; ++one) one->second(answer(service));
        waiting_.erase(first, last);
    }

    const Clock clock_;
    std::mutex mutex_;  // several meshes, each with a thread of its own
    std::map<std::string, Row> rows_;
    std::map<std::string, std::uint64_t> indexes_;
    std::multimap<std::string, mesh::Reply<mesh::RegistryAnswer>> waiting_;
};
// README: end
