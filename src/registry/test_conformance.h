#pragma once

// What every registry backend must do, as a list of behaviours that run on any of them, in real or
// virtual time. For tests only.
//
//     class Embedded : public RegistryUnderTest { … };
//     class EmbeddedConformance : public testing::TestWithParam<Behaviour> {};
//     TEST_P(EmbeddedConformance, Holds) { Embedded registry; GetParam().run(registry); }
//     INSTANTIATE_TEST_SUITE_P(All, EmbeddedConformance, testing::ValuesIn(behaviours()),
//                              behaviour_name);
//
// Every behaviour uses service names of its own, so that one registry can serve them all. A
// registry that is not written through its backend overrides publish() and withdraw(), and takes
// the behaviours that it can have at all: behaviours({.registers = false, …}).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/loop.h"
#include "io/task.h"
#include "registry/backend.h"

namespace datapunk::mesh::registry {

class RegistryUnderTest {
  public:
    virtual ~RegistryUnderTest() = default;
    virtual Backend& backend() = 0;
    virtual io::Loop& loop() = 0;

    // Makes the service known to the registry, by whatever means services get into it.
    virtual io::Task<Result<>> publish(ServiceConfig config, Instant deadline) {
        return backend().register_service(std::move(config), deadline);
    }

    // `config` as it was published last.
    virtual io::Task<Result<>> withdraw(ServiceConfig config, Instant deadline) {
        return backend().deregister_service(config.id, deadline);
    }
};

// What a registry can have; a behaviour that needs what is missing is left out.
struct Offers {
    bool registers = true;  // through the backend, with heartbeats
    bool ids = true;        // chosen by who publishes, not made up from the address
    bool tags = true;
    bool metadata = true;
    bool weights = true;
    bool listing = true;  // of its services

    // Whether all that `needed` says is there.
    bool cover(const Offers& needed) const {
        return (registers || !needed.registers) && (ids || !needed.ids) && (tags || !needed.tags) &&
               (metadata || !needed.metadata) && (weights || !needed.weights) &&
               (listing || !needed.listing);
    }

    static Offers none() {
        return {
            .registers = false,
            .ids = false,
            .tags = false,
            .metadata = false,
            .weights = false,
            .listing = false,
        };
    }
};

// One backend in use: calls that wait for their answer and fail the test if there is none.
class Conversation {
  public:
    using Wanted = std::function<bool(const std::vector<ServiceEndpoint>&)>;

    Conversation(RegistryUnderTest& registry, std::string service)
        : registry_(registry), service_(std::move(service)) {}

    ServiceConfig config(std::uint16_t port) const {
        ServiceConfig config{.name = service_, .host = "127.0.0.1", .port = port};
        config.check.kind = HealthCheck::Kind::none;
        return *checked(config);
    }

    // With a check that never runs out within a test.
    ServiceConfig config_with_ttl(std::uint16_t port, Duration ttl = std::chrono::minutes(10)) {
        ServiceConfig result = config(port);
        result.check.kind = HealthCheck::Kind::ttl;
        result.check.ttl = ttl;
        return result;
    }

    Result<> add(const ServiceConfig& config) {
        return value(registry_.publish(config, deadline()));
    }

    Result<> remove(const ServiceConfig& config) {
        return value(registry_.withdraw(config, deadline()));
    }

    // Through the backend.
    Result<> deregister(const std::string& id) {
        return value(backend().deregister_service(id, deadline()));
    }

    Result<> beat(const std::string& id, Health health) {
        return value(backend().heartbeat(id, health, "a note", deadline()));
    }

    Result<bool> has(const std::string& id) { return value(backend().has_service(id, deadline())); }

    Result<std::optional<Metadata>> metadata_of(const std::string& id) {
        return value(backend().metadata_of(id, deadline()));
    }

    Result<Answer> wait(std::uint64_t after, Duration longest) {
        return value(backend().wait(service_, after, longest, deadline()));
    }

    // Follows the service until it is as wanted: a registry may take a moment to say what it knows.
    Answer until(const Wanted& wanted) {
        Answer last;
        for (int round = 0; round < 100; ++round) {
            auto answer = wait(last.index, std::chrono::seconds(1));
            if (!answer) {
                ADD_FAILURE() << answer.error().what;
                return last;
            }
            EXPECT_GE(answer->index, 1U);
            last = *std::move(answer);
            if (wanted(last.endpoints)) return last;
        }
        ADD_FAILURE() << service_ << " never became what was expected, it has "
                      << last.endpoints.size() << " endpoints";
        return last;
    }

    Answer until_size(std::size_t size) {
        return until([size](const auto& endpoints) { return endpoints.size() == size; });
    }

    Answer until_health(Health health) {
        return until([health](const auto& endpoints) {
            return endpoints.size() == 1 && endpoints[0].health == health;
        });
    }

    Backend& backend() { return registry_.backend(); }

    io::Loop& loop() { return registry_.loop(); }

    Instant deadline() { return loop().now() + std::chrono::seconds(20); }

    const std::string& service() const { return service_; }

    template <class T>
    Result<T> value(io::Task<Result<T>> task) {
        std::optional<Result<T>> result;
        io::TaskGroup group;
        group.spawn(keep(std::move(task), &result));
        const Instant end = loop().now() + std::chrono::seconds(30);
        while (!result && loop().now() < end) loop().turn(end);
        if (!result) return Error{.code = Code::timeout, .what = "the call did not end"};
        return *std::move(result);
    }

  private:
    template <class T>
    static io::Task<void> keep(io::Task<Result<T>> task, std::optional<Result<T>>* out) {
        auto result = co_await std::move(task);
        out->emplace(std::move(result));
    }

    RegistryUnderTest& registry_;
    std::string service_;
};

// A wait that goes on while the test does something else.
class PendingWait {
  public:
    PendingWait(Conversation& talk, std::uint64_t after, Duration longest) : loop_(talk.loop()) {
        const Instant deadline = talk.deadline();
        group_.spawn(run(talk.backend().wait(talk.service(), after, longest, deadline), this));
    }

    bool ended() const { return result_.has_value(); }

    // False if it has not ended after so long.
    bool ends_within(Duration time) {
        const Instant end = loop_.now() + time;
        while (!ended() && loop_.now() < end) loop_.turn(end);
        return ended();
    }

    const Answer& answer() {
        static const Answer kNone;
        if (ended() && result_->ok()) return **result_;
        ADD_FAILURE() << (ended() ? result_->error().what : "the wait has not ended");
        return kNone;
    }

  private:
    static io::Task<void> run(io::Task<Result<Answer>> task, PendingWait* self) {
        self->result_ = co_await std::move(task);
    }

    io::Loop& loop_;
    std::optional<Result<Answer>> result_;
    io::TaskGroup group_;
};

struct Behaviour {
    std::string name;
    void (*run)(RegistryUnderTest&);
    Offers needs = Offers::none();
};

// In test_conformance_behaviours.h: those that a registry with these offers must have.
inline std::vector<Behaviour> behaviours(const Offers& offers = {});

inline std::string behaviour_name(const testing::TestParamInfo<Behaviour>& info) {
    return info.param.name;
}

}  // namespace datapunk::mesh::registry

#include "registry/test_conformance_behaviours.h"
