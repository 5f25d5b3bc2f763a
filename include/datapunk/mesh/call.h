#pragma once

// Calling a service: Service, a handle on one service as a mesh calls it; Lease, one endpoint held
// for one attempt; Attempt, what the function of a call is told and can tell. They belong to a
// ServiceMesh (mesh.h) and must not outlive it.

#include <datapunk/mesh/endpoint.h>
#include <datapunk/mesh/export.h>
#include <datapunk/mesh/outcome.h>
#include <datapunk/mesh/policy.h>
#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace datapunk::mesh {

namespace io {
class ThreadClock;
}

namespace internal {
class CallRun;
class HedgeRace;
class MeshCore;
class ServiceState;
struct LeaseState;
template <class T, class Runner, class Function>
Result<T> call_with(Runner&& run, Function&& function);
}  // namespace internal

// An endpoint held for one attempt: pick, use, report. Dropped without a report it counts as
// abandoned: neither success nor failure. Movable; use from one thread at a time. Must not outlive
// its mesh. Owns no memory.
class DATAPUNK_MESH_API Lease {
  public:
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease();

    // Until the report.
    const ServiceEndpoint& endpoint() const noexcept;
    const std::string& address() const noexcept;  // "host:port", IPv6 in brackets
    // Why this one: what it was compared with when it was picked, and who is left out now. Until
    // the report; makes text, so not for every call.
    std::string explain() const;
    // Ends the lease; once. `latency` zero: the time since it was taken.
    void report(Outcome outcome, Duration latency = Duration::zero()) noexcept;
    // What the endpoint said of its own load; before report(). For ReportedLoad.
    void report_load(const LoadReport& load) noexcept;

    bool is_held() const noexcept { return is_held_; }

  private:
    friend class internal::MeshCore;
    explicit Lease(internal::LeaseState&& state) noexcept;
    internal::LeaseState& state() noexcept;
    const internal::LeaseState& state() const noexcept;
    void drop() noexcept;

    alignas(std::max_align_t) std::byte storage_[48];  // a LeaseState while is_held_
    bool is_held_ = false;
};

// What an attempt function is told, and can tell.
class DATAPUNK_MESH_API Attempt {
  public:
    // Time left for this attempt; never negative.
    Duration remaining() const noexcept;
    // The end of it: CallOptions::latest of the calls that it makes in turn.
    Instant deadline() const noexcept { return deadline_; }

    std::uint32_t number() const noexcept { return number_; }  // 1 for the first

    // Says how it ended; otherwise the Error's Code decides: unavailable = connect_failure,
    // timeout = timeout, aborted = cancelled, exhausted and internal = server_error; the others
    // (conflict, invalid, not_found, denied) are answers: success as far as the endpoint goes. With
    // a value and a failure (an answer of status 503, say) the call may be tried again, and if not
    // the value is its result.
    void ended_as(Outcome outcome) noexcept { outcome_ = outcome; }

    // The HTTP status of the answer: ServicePolicy::failure_statuses says whether it speaks against
    // the endpoint, unless ended_as() or CallOptions::is_failure does; RetryConfig::on_statuses and
    // the like whether it is worth another attempt.
    void answered(int status) noexcept { status_ = status; }

    // It was answered with this status code of gRPC: RetryConfig::on_grpc applies.
    void answered_grpc(std::uint32_t status) noexcept { grpc_status_ = status; }

    // Nothing of the request reached the endpoint: it may be tried again even if not idempotent.
    void not_sent() noexcept { is_sent_ = false; }

    // Whether another attempt is worth it, whatever RetryConfig::on says. Attempts, budget and
    // deadline still have their say.
    void worth_retrying(bool worth) noexcept { worth_retrying_ = worth; }

    // The endpoint asked to be left alone for that long (Retry-After).
    void retry_after(Duration wait) noexcept { retry_after_ = wait; }

    // What the endpoint said of its own load, for ReportedLoad.
    void report_load(const LoadReport& load) noexcept { load_ = load; }

    // --- of calls that may be hedged (CallOptions::hedge)
    // Whether this is the second of two at a time.
    bool is_hedge() const noexcept { return slot_ != 0; }

    // The other one has answered: return soon, nobody wants to know what comes of this.
    bool is_cancelled() const noexcept;
    // Called when that happens, at most once, on another thread; at once if it has happened. Not
    // after the attempt function has returned. For a shutdown() of its socket, say.
    void on_cancel(std::function<void()> callback);

  private:
    friend class internal::CallRun;
    template <class T, class Runner, class Function>
    friend Result<T> internal::call_with(Runner&& run, Function&& function);

    Attempt(std::uint32_t number, Instant deadline, const io::ThreadClock& clock) noexcept
        : clock_(&clock), deadline_(deadline), number_(number) {}

    const io::ThreadClock* clock_;
    internal::HedgeRace* race_ = nullptr;  // null: there is none
    std::uint8_t slot_ = 0;                // 1: the hedge
    std::uint8_t* chosen_ = nullptr;       // where to say whose answer it is
    Instant deadline_;
    std::uint32_t number_;
    std::optional<Outcome> outcome_;
    int status_ = 0;  // 0 = not told
    std::optional<bool> worth_retrying_;
    std::optional<Duration> retry_after_;
    std::optional<std::uint32_t> grpc_status_;
    std::optional<LoadReport> load_;
    bool is_sent_ = true;
};

// The value of an answer's header `endpoint-load-metrics` ("TEXT cpu_utilization=0.3,
// rps_fractional=120" or the same as JSON), for report_load(). The error says what is wrong with
// it.
DATAPUNK_MESH_API Result<LoadReport> parse_load_report(std::string_view header_value);

// How an attempt ended, for CallOptions::is_failure.
struct EndedAttempt {
    Outcome outcome = Outcome::success;
    int status = 0;  // of the answer, if Attempt::answered() told; else 0
    Duration latency{};
};

struct CallOptions {
    Duration deadline = Duration::zero();  // of the whole call; zero = the service's policy
    // It ends by then in any case: the deadline of the request that is being served, so that nobody
    // works for a caller who has left. deadline.h reads it from a header and writes it to one.
    Instant latest = kNever;
    bool idempotent = true;  // may be repeated although it may have had an effect
    // Calls with the same hash go to the same endpoint, where the algorithm hashes (RingHash,
    // Maglev): of a user, a session, a key. Use one that is the same in every process.
    std::optional<std::uint64_t> hash{};
    // Which errors are worth another attempt, in the place of RetryConfig::on; worth_retrying() of
    // the attempt outranks it. Attempts, idempotence, budget and deadline still have their say.
    std::function<bool(const Error&)> retry_if{};
    // For whom the call is made, where limits are per caller (CallersConfig): a tenant, a user.
    // Empty: for nobody in particular, and only what all share applies. Copied nowhere.
    std::string_view caller{};
    // Where the policy's limits tell classes apart (PriorityConfig).
    CallPriority priority = CallPriority::normal;
    // Whether an attempt speaks against its endpoint (breaker, ejection, averages), in place of
    // what its outcome and the policy say. Whether it is tried again is another question. Not asked
    // about cancelled attempts. Must not throw.
    std::function<bool(const EndedAttempt&)> is_failure{};
    // The function may run twice at a time, on two threads, and looks at Attempt::is_cancelled() or
    // on_cancel(): then the policy's hedge applies. So may the predicates above. The call returns
    // when both have returned.
    bool hedge = false;
};

// The attempt function of call(), without its type.
using AttemptFunction = std::function<Result<>(const ServiceEndpoint&, Attempt&)>;

namespace internal {

// What run() leaves is a Result<>; the value takes this way past it.
template <class T, class Runner, class Function>
Result<T> call_with(Runner&& run, Function&& function) {
    std::array<std::optional<T>, 2> values;  // an attempt's, and its hedge's
    std::uint8_t chosen = 0;
    Result<> done = run([&](const ServiceEndpoint& endpoint, Attempt& attempt) -> Result<> {
        attempt.chosen_ = &chosen;
        Result<T> result = function(endpoint, attempt);
        if (!result) return std::move(result).error();
        values[attempt.slot_].emplace(*std::move(result));
        return Ok{};
    });
    if (!done) return std::move(done).error();
    return *std::move(values[chosen]);
}

}  // namespace internal

// One service as this mesh calls it: a handle, looked up once; copy freely. Any thread.
class DATAPUNK_MESH_API Service {
  public:
    const std::string& name() const noexcept;
    // In force now.
    ServicePolicy policy() const;
    // Another one from now on, for every holder of the service. Calls in flight and waiting,
    // latency averages, breakers, ejections and the retry budget go on as they stand; what is
    // switched off ends, what is switched on begins afresh. Any thread, also while calls run.
    // Code::invalid: the error names every field that is out of its range, and nothing has changed.
    Result<> set_policy(const ServicePolicy& policy) const;

    // An operator's word: the service's breaker, or that of one of its endpoints, stays open or
    // closed whatever is measured; `none` lets it begin afresh. Code::not_found: no such endpoint.
    Result<> force_breaker(BreakerForce force, std::string_view endpoint = {}) const;
    // Which service that it depends on fails, and how that is known; empty = none. "orders, because
    // of payments: breaker open". Only of services that this mesh uses.
    std::string degraded_because() const;

    // The last decisions about its calls, oldest first: picks with what was compared, refusals,
    // retries with what the budget had. Some tens of each thread that calls it.
    std::vector<std::string> explain() const;

    // One endpoint, picked under the policies: no lock, no allocation, ~0.1 us. The first one for a
    // service waits for discovery. The error says why there is none.
    Result<Lease> get_service_instance() const;

    // Runs `attempt` until it succeeds or the policies say stop. It may run several times, on the
    // calling thread (a hedge, if CallOptions::hedge allows them, on another), which also sleeps
    // between attempts. Its exceptions pass through (a hedge's do not) and count as abandoned.
    Result<> run(const CallOptions& options, const AttemptFunction& attempt) const;

    // The same for a function that returns Result<T>.
    template <class T, class Function>
    Result<T> call(const CallOptions& options, Function&& attempt) const {
        return internal::call_with<T>(
            [&](const AttemptFunction& f) { return run(options, f); }, attempt
        );
    }

    template <class T, class Function>
    Result<T> call(Function&& attempt) const {
        return call<T>(CallOptions{}, attempt);
    }

  private:
    friend class internal::MeshCore;

    Service(internal::MeshCore& core, internal::ServiceState& state) noexcept
        : core_(&core), state_(&state) {}

    internal::MeshCore* core_;
    internal::ServiceState* state_;
};

}  // namespace datapunk::mesh
