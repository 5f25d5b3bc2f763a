#pragma once

// Backend: what the mesh needs of any registry: announce, withdraw, ask, and wait for a change.
// Embedded, Consul and the others implement it and pass the same conformance suite
// (test_conformance.h); where they differ, capabilities() says how. Belongs to one loop; every call
// has a deadline and may be cancelled by destroying its task.
//
// Waiting: `wait` answers when the service's index has gone past `after`, or when `longest` is
// over, then with what it had. `after` = 0 answers at once. An index may go backwards (a registry
// that lost its data): the caller starts again from 0. Errors carry no index.
//
// Following: `follow` is `wait` for who keeps the answer and brings back what came with it. Of a
// large service it may then say only what has changed; most backends leave it at whole answers.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/registration.h>
#include <datapunk/mesh/result.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/task.h"

namespace datapunk::mesh::registry {

struct Answer {
    std::vector<ServiceEndpoint> endpoints;  // sorted by id; critical ones included
    std::uint64_t index = 0;                 // at least 1
    bool is_stale = false;  // the registry itself says that it may be old: it has lost its leader
};

// What has changed since an answer that the asker still has.
struct Patch {
    std::vector<ServiceEndpoint> changed;  // new, or instead of the one with its id; sorted by id
    std::vector<std::string> removed;      // ids that are gone; perhaps long ago, or never there
    std::uint64_t index = 0;               // no less than the asker's
    bool is_stale = false;
};

// What a backend must see again to say what has changed since: its own business.
class AnswerMemory {
  public:
    virtual ~AnswerMemory() = default;
};

// An answer that the asker has: unchanged, but for the patches that followed.
struct KnownAnswer {
    std::uint64_t index = 0;                         // 0: none
    std::unique_ptr<AnswerMemory> memory = nullptr;  // null: it wants a whole answer
};

struct News {
    std::variant<Answer, Patch> what;
    std::unique_ptr<AnswerMemory> memory = nullptr;  // for the next question; null: none
};

struct ServiceSummary {
    std::string name;
    std::vector<std::string> tags;  // the union over its endpoints, sorted
};

// Who notices that a registered service has died.
enum class KeptAliveBy : std::uint8_t {
    checks,      // the registry itself runs the check that it was given; ttl checks want heartbeats
    heartbeats,  // heartbeat() alone, for a check of any kind: somebody here must run it
    lease,       // a lease or session that the backend renews until it is destroyed; it ends with
                 // the process. Health is what heartbeat() says, for a check of any kind: somebody
                 // here must run it
    nobody,      // nothing is registered through this backend
};

// What a registry can do, and what its answers mean. The defaults are Consul's.
struct Capabilities {
    bool can_register = true;  // false: read-only. Writing answers refuse_write().
    KeptAliveBy kept_alive_by = KeptAliveBy::checks;
    bool knows_health = true;  // false: every endpoint is said to be passing
    // An answer without endpoints says that there are none. false: it may as well mean that this
    // registry has never heard of the service.
    bool empty_is_authoritative = true;

    friend bool operator==(const Capabilities&, const Capabilities&) = default;
};

class Backend {
  public:
    virtual ~Backend() = default;

    virtual std::string_view kind() const noexcept = 0;  // "embedded", "consul", …

    // The same for as long as the backend lives.
    virtual Capabilities capabilities() const noexcept { return {}; }

    // Announces the service with its check in one atomic step; the same id again replaces. `config`
    // is checked() already.
    virtual io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) = 0;
    // Code::not_found if the registry does not have it.
    virtual io::Task<Result<>> deregister_service(std::string id, Instant deadline) = 0;
    // Whether this registry still has the registration (it may have lost its data).
    virtual io::Task<Result<bool>> has_service(std::string id, Instant deadline) = 0;
    // The same, with the metadata that stands there now: whose it is. Unset: it does not have it.
    // A registry that cannot be asked gives none for one that it has.
    virtual io::Task<Result<std::optional<Metadata>>> metadata_of(std::string id, Instant deadline);
    // For checks of kind ttl: the service's own word on its health.
    virtual io::Task<Result<>> heartbeat(
        std::string id, Health health, std::string note, Instant deadline
    ) = 0;

    virtual io::Task<Result<Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) = 0;
    virtual io::Task<Result<News>> follow(
        std::string service, KnownAnswer known, Duration longest, Instant deadline
    );
    virtual io::Task<Result<std::vector<ServiceSummary>>> services(Instant deadline) = 0;
};

// What a read-only registry answers to who would write to it: Code::denied, not to be tried again.
Error refuse_write(std::string_view kind);

// A registry that is written by other means than ours: the writing half of Backend, refused.
class ReadOnlyBackend : public Backend {
  public:
    Capabilities capabilities() const noexcept override {
        return {
            .can_register = false,
            .kept_alive_by = KeptAliveBy::nobody,
            .knows_health = false,
        };
    }

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override;
    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override;
    // False: no registration there is ours.
    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override;
    io::Task<Result<>> heartbeat(std::string id, Health health, std::string note, Instant deadline)
        override;
};

}  // namespace datapunk::mesh::registry
