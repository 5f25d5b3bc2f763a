#pragma once

// MergedBackend: several registries as one. What each says is composed by the rules in merge.h;
// what is registered goes to one of them.
//
//   wait(after) ──► a question to every member at once ──► parts ──► merge() ──► another set?
//        ▲                    │ fails: its part stays, asked again with backoff       │ yes: index
//        + 1 └────────────────────┴───────────────────────────────────────────────────────┴──►
//        answer
//
// * The index is ours: it moves when the composed set does. When a member's index goes backwards
//   (it lost its data) ours does too, so that whoever asks takes care as if it were one registry.
// * A question that is answered at once waits for all members; for those that dawdle no longer than
//   `patience` once one has answered, for those known to fail not at all.
// * It fails only if no member has ever answered, or all fail.
// * A member that asks to be left alone (Retry-After) is asked nothing meanwhile; the others are.
// * Registrations go to the member named by register_with, or the first that can; never silently to
//   another one, or an instance would be there twice.
//
// One loop's object, as its members.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/rng.h"
#include "io/loop.h"
#include "io/task.h"
#include "registry/backend.h"
#include "registry/merged/merge.h"

namespace datapunk::mesh::registry::merged {

struct MergeConfig {
    MergeRules rules{};
    std::string register_with{};  // a member's name; empty: the first that can register
    Duration patience = std::chrono::seconds(1);
    std::size_t services_max = 10'000;  // remembered; beyond, those not asked for longest go
};

struct MergeMember {
    std::string name;  // unique
    std::unique_ptr<Backend> backend;
};

class MergedBackend final : public Backend {
  public:
    // In order of priority; two at least. Errors: invalid (names; register_with is none of them, or
    // cannot register).
    static Result<std::unique_ptr<MergedBackend>> create(
        io::Loop& loop, std::vector<MergeMember> members, MergeConfig config
    );

    std::string_view kind() const noexcept override { return "merged"; }

    Capabilities capabilities() const noexcept override;

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override;
    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override;
    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override;
    io::Task<Result<std::optional<Metadata>>> metadata_of(std::string id, Instant deadline)
        override;
    io::Task<Result<>> heartbeat(std::string id, Health health, std::string note, Instant deadline)
        override;
    io::Task<Result<Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override;
    io::Task<Result<std::vector<ServiceSummary>>> services(Instant deadline) override;

  private:
    struct Followed;
    struct Listing;

    // What a member said when it asked to be left alone, and until when it is.
    struct LeftAlone {
        std::optional<Error> wish;
        Instant until = Instant::min();
    };

    MergedBackend(io::Loop& loop, std::vector<MergeMember> members, MergeConfig config);

    std::shared_ptr<Followed> followed(const std::string& service);
    bool compose(Followed& one);
    std::optional<Error> left_alone(std::size_t at) const;
    void note_wish(std::size_t at, const Error& error);
    io::Task<void> ask_once(std::shared_ptr<Followed> one, std::size_t at, Instant deadline);
    io::Task<void> follow_member(
        std::shared_ptr<Followed> one, std::size_t at, Duration longest, Instant deadline
    );
    void note(Followed& one, std::size_t at, Result<Answer> answer);
    io::Task<void> gather(std::shared_ptr<Followed> one, Instant deadline);
    io::Task<void> list(std::shared_ptr<Listing> out, std::size_t at, Instant deadline);

    Backend& registrar() { return *members_[registrar_].backend; }

    io::Loop& loop_;
    std::vector<MergeMember> members_;
    MergeConfig config_;
    core::Rng rng_;
    std::size_t registrar_ = 0;  // members_.size() if none can
    std::vector<LeftAlone> left_alone_;
    std::map<std::string, std::shared_ptr<Followed>> services_;
};

}  // namespace datapunk::mesh::registry::merged
