#pragma once

// FollowedService: one service as discovery knows it: its last good set, the one question that is
// out to the registry about it, who waits for the answer and who watches.
//
//   quiet ──ask()──► asking (index 0) ──answer──► quiet            nobody watches
//             │          ▲        │                                (answers held back: asks again
//         watch()        │        └──► waiting (blocking query)     when they can be confirmed)
//             └──────────┘  ◄── refresh, failure + backoff ──┘     somebody watches, or did lately
//
// There is never more than one question out. Internal to the room; see service_discovery.h.

#include <datapunk/mesh/discovery.h>
#include <datapunk/mesh/endpoint.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/log.h"
#include "core/rng.h"
#include "discovery/discovery_stats.h"
#include "discovery/patched_sets.h"
#include "discovery/removal_hold.h"
#include "discovery/set_codec.h"
#include "io/loop.h"
#include "io/task.h"
#include "registry/backend.h"
#include "resilience/token_bucket.h"

namespace datapunk::mesh::discovery {

using ChangeCallback = std::function<void(const EndpointChange&)>;

class SharedCache;

// What all services share.
struct DiscoveryContext {
    io::Loop& loop;
    registry::Backend& backend;
    ServiceDiscoveryConfig config;
    core::Logger log;
    core::Rng rng;
    DiscoveryStats stats;
    std::size_t services = 0;                 // that something is known about, or asked
    SharedCache* shared = nullptr;            // null: none
    std::map<std::string, AgedSet> snapshot;  // what the disk knew; ages as of snapshot_read
    Instant snapshot_read;
    std::function<void()> on_news{};  // something is known that the disk does not know
    io::Event is_back;                // set for a moment when the registry answers after failures

    void note_outcome(const Error* error);  // null: it worked
    // Services that wait to try again do so now.
    void call_back();
};

class Subscriber;

// Of a set that is known.
struct SetStatus {
    std::string_view service;
    Instant learned_at{};
    Origin origin = Origin::registry;
    bool stale = false;
};

class FollowedService {
  public:
    FollowedService(DiscoveryContext& context, std::string name);
    FollowedService(const FollowedService&) = delete;
    FollowedService& operator=(const FollowedService&) = delete;
    ~FollowedService();

    // The service must outlive the task.
    io::Task<Result<EndpointSetPtr>> ask(bool use_cache, Instant deadline);
    Watch watch(ChangeCallback callback);
    // What is known is not good enough any more.
    void refresh();

    // The next question is asked whatever the pace says.
    void hurry() { hurried_.set(); }

    void expect_removal(std::string id);

    // Another process knows other endpoints than those with our hash.
    void on_notice(std::uint64_t hash);

    // As last answered; null before the first answer.
    const EndpointSetPtr& latest() const noexcept { return latest_; }

    // From what somebody was told to latest(); null: nothing.
    EndpointChange change_since(const EndpointSet* told) const;

    // The same as a cache gives it: with its origin, and stale if the registry cannot be asked.
    EndpointSetPtr from_cache();

    // When latest() was last confirmed.
    Instant learned_at() const noexcept;
    // What from_cache() would say of itself, without its endpoints.
    std::optional<SetStatus> status() const;

    bool is_watched() const noexcept { return !subscribers_.empty(); }

    // The last question failed.
    bool is_failing() const noexcept { return error_.has_value(); }

    // Nobody would miss it.
    bool is_idle() const noexcept { return !is_watched() && askers_ == 0 && !is_running_; }

    Instant last_used() const noexcept { return last_used_; }

    DiscoveryContext& context() noexcept { return context_; }

  private:
    friend class Subscriber;

    struct Alarm : io::Timer {
        using Ring = void (FollowedService::*)();
        Alarm(FollowedService& owner, Ring ring) noexcept
            : Timer(&Alarm::on_fire), service(owner), on_ring(ring) {}

        static void on_fire(io::Timer& timer);

        FollowedService& service;
        Ring on_ring;
    };

    io::Task<void> run();
    io::Task<void> pause_until(Instant resume);
    // Whether the registry asked to be left alone, and that is not over.
    bool must_leave_alone() const noexcept { return error_.has_value() && now() < not_before_; }
    io::Task<bool> consult_shared();
    io::Task<void> find_fallback();
    void keep_spare(AgedSet found);
    void use_fallback();
    bool use_snapshot();
    void adopt(const EndpointSet& set, Duration age, Origin origin, bool is_stale);
    void expire();
    void share();
    void learn_from_shared();
    io::Task<void> relearn();
    void start();
    void start_again();
    void stop_following();
    void on_news(registry::News news);
    void on_answer(registry::Answer answer);
    void on_patch(registry::Patch patch);
    // The registry has answered, with this index: whether that has gone backwards.
    bool heard(std::uint64_t index);
    void tell_subscribers();
    // latest_, with the time of its last confirmation.
    EndpointSetPtr confirmed();
    void on_failure(Error error);
    void end_round();
    void drop(Subscriber& subscriber);

    // Something that may be served.
    bool has_set() const noexcept { return latest_ != nullptr && !is_expired_; }

    bool is_followed() const noexcept;
    bool may_serve_cached() const noexcept;
    Duration next_wait();
    Duration jittered(Duration time);

    Instant now() const noexcept { return context_.loop.now(); }

    DiscoveryContext& context_;
    std::string name_;

    EndpointSetPtr latest_;
    EndpointSetPtr cached_view_;  // of latest_, made when first wanted
    // How the set of generation step_of_ differs from the one before, without `all`; unset: not
    // known.
    std::optional<EndpointChange> step_;
    std::uint64_t step_of_ = 0;
    PatchedSets sets_;
    // Of latest_, for as long as that is what the registry said, no more and no less.
    std::unique_ptr<registry::AnswerMemory> memory_;
    std::uint64_t asked_of_ = 0;             // the generation that memory_ was of when it was shown
    Instant whole_from_ = Instant::min();    // no patches from then on, until all has been read
    Instant confirmed_at_ = Instant::min();  // latest_, if by the registry
    Instant fresh_until_ = Instant::min();
    Instant last_used_;
    RemovalHold hold_;

    std::optional<Error> error_;  // of the last question, if it failed
    Instant retry_at_ = Instant::min();
    Instant not_before_ = Instant::min();  // the registry asked for it (Error::retry_after)
    std::uint32_t failures_ = 0;           // in a row
    std::uint64_t after_ = 0;   // what the next question waits for a change of; 0 = do not wait
    std::uint64_t index_ = 0;   // of the last answer
    std::uint64_t rounds_ = 0;  // questions that have ended
    std::uint64_t invalidated_ = 0;  // times that refresh() was called
    std::uint64_t adopted_ = 0;      // sets that did not come from the registry
    std::optional<AgedSet> spare_;   // what the shared cache had, too old to be used without need
    bool is_expired_ = false;        // latest_ was adopted, and got too old
    std::uint64_t shared_generation_ = 0;  // of latest_, offered to the shared cache
    std::uint64_t shared_epoch_ = 0;       // of the shared cache, at that time
    Instant shared_at_ = Instant::min();
    bool is_running_ = false;
    bool is_asking_ = false;  // the question that is out, or next, is answered at once
    std::size_t askers_ = 0;
    std::size_t lenient_askers_ = 0;
    std::size_t strict_askers_ = 0;  // of them: only the registry's word will do
    io::Event round_ended_;
    resilience::TokenBucket pace_;
    io::Event hurried_;
    Instant followed_until_ = Instant::min();
    Alarm linger_over_;
    Alarm again_;
    Alarm fallback_due_;
    Alarm too_old_;
    std::vector<std::shared_ptr<Subscriber>> subscribers_;
    io::TaskGroup relearning_;  // relearn(), or nothing
    io::TaskGroup tasks_;       // run(), if is_running_; last: destroyed first
};

}  // namespace datapunk::mesh::discovery
