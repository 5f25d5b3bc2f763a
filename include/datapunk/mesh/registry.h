#pragma once

// Registry: what a registry of your own has to do so that a mesh can use it:
// MeshOptions{.registry = Custom{std::make_shared<MyRegistry>()}}. docs/registration.md has an
// example that is compiled and tested.
//
// Threads: the functions are called on the mesh's thread, one at a time, and must return at once. A
// Reply may be called from any thread, right away or later. So a registry that blocks starts a
// thread of its own, or queues for one; one that has callbacks passes the Reply on.
//
// The mesh waits for a reply no longer than `timeout`; one that comes later is ignored.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace datapunk::mesh {

// Takes the answer to one request. Copy freely; the first call counts. When the last copy goes
// without a call, the request has failed. Any thread.
template <class T>
class Reply {
  public:
    using Function = std::function<void(Result<T>)>;

    explicit Reply(Function function, std::function<bool()> is_wanted = {})
        : state_(std::make_shared<State>(std::move(function), std::move(is_wanted))) {}

    void operator()(Result<T> result) const {
        if (!state_->is_used.exchange(true)) state_->function(std::move(result));
    }

    // Whether somebody still waits for it.
    bool is_wanted() const {
        return !state_->is_used.load() && (!state_->is_wanted || state_->is_wanted());
    }

  private:
    struct State {
        State(Function f, std::function<bool()> w)
            : function(std::move(f)), is_wanted(std::move(w)) {}

        State(const State&) = delete;
        State& operator=(const State&) = delete;

        ~State() {
            if (is_used.load()) return;
            function(Error{
                .code = Code::aborted,
                .what = "the registry dropped a request without an answer",
                .source = Source::registry,
                .retryable = true
            });
        }

        Function function;
        std::function<bool()> is_wanted;
        std::atomic<bool> is_used{false};
    };

    std::shared_ptr<State> state_;
};

struct RegistryAnswer {
    std::vector<ServiceEndpoint> endpoints{};  // any order; critical ones included
    // Of this state of the service: moves on with every change, never 0. A registry that has none
    // gives 1 and lets the mesh poll.
    std::uint64_t index = 1;
};

// One name that a registry knows.
struct RegistryEntry {
    std::string name{};
    std::vector<std::string> tags{};  // the union over its endpoints
};

struct RegistryTraits {
    bool can_register = true;  // false: read-only; the writing functions are not called
    // Whether it runs the checks that it is given. false: the mesh runs them and tells heartbeat().
    bool runs_checks = false;
    bool knows_health = true;  // false: every endpoint is said to be passing
    // An answer without endpoints says that there are none. false: it may as well have never heard
    // of the service.
    bool empty_is_authoritative = true;
};

// Errors: Code::unavailable or timeout, retryable, while it cannot be asked; Code::denied or
// invalid when it says no. Error::what is shown to people; Error::retry_after (a minute at most is
// believed) keeps the mesh from asking again sooner.
class Registry {
  public:
    virtual ~Registry() = default;

    // A word for logs and metrics, such as "eureka": [a-z0-9_]. The same for ever.
    virtual std::string kind() const = 0;

    // The same for ever.
    virtual RegistryTraits traits() const { return {}; }

    // In one step; the same id again replaces. `config` has passed checked().
    virtual void register_service(
        const ServiceConfig& config, Duration timeout, Reply<Ok> reply
    ) = 0;
    // Code::not_found if it is not there.
    virtual void deregister_service(const std::string& id, Duration timeout, Reply<Ok> reply) = 0;
    // Whether it has this registration; asked now and then, since a registry may lose its data.
    virtual void has_service(const std::string& id, Duration timeout, Reply<bool> reply) = 0;
    // The service's own word on its health; at least every third of HealthCheck::ttl.
    // Code::not_found if it is not there: it is then registered again.
    virtual void heartbeat(
        const std::string& id,
        Health health,
        const std::string& note,
        Duration timeout,
        Reply<Ok> reply
    ) = 0;

    // The endpoints of a service, as soon as their index has gone past `after` (0: at once); none
    // is an answer, too. It may answer sooner. If nothing changes it may keep the Reply and not
    // answer: after `longest` the mesh asks anew (Reply::is_wanted() tells).
    virtual void wait(
        const std::string& service,
        std::uint64_t after,
        Duration longest,
        Reply<RegistryAnswer> reply
    ) = 0;
    virtual void services(Duration timeout, Reply<std::vector<RegistryEntry>> reply) = 0;
};

// A registry of the user's own.
struct Custom {
    std::shared_ptr<Registry> registry{};
};

}  // namespace datapunk::mesh
