#include "policy/admission.h"

#include <algorithm>
#include <array>

namespace datapunk::mesh::policy {
namespace {

// Percent of the limit that a class may fill. High and normal keep apart, since otherwise a flood
// of either would leave nothing for what is critical.
constexpr std::array<std::uint32_t, resilience::kPriorities> kClassPercent = {100, 95, 90, 75, 50};

// Of the calls that would be shed, one in so many passes while a place is free.
constexpr std::uint32_t kShedPasses = 16;

std::uint32_t cap_of(std::uint32_t limit, CallPriority priority) noexcept {
    const std::uint64_t percent = kClassPercent[static_cast<std::size_t>(priority)];
    return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, limit * percent / 100));
}

// The lowest class that may still begin.
CallPriority lowest_at(std::uint64_t in_flight, std::uint32_t limit) noexcept {
    auto priority = CallPriority::bulk;
    while (priority != CallPriority::critical && in_flight >= cap_of(limit, priority)) {
        priority = static_cast<CallPriority>(static_cast<std::uint8_t>(priority) - 1);
    }
    return priority;
}

}  // namespace

Admission::Admission(const LimitsConfig& config, WorkerTable& workers, std::uint64_t seed)
    : workers_(workers),
      seed_(seed),
      limit_(config.requests),
      has_classes_(config.priority.enabled),
      has_queue_(config.pending > 0),
      pending_timeout_(config.pending_timeout) {
    configure_queue(config);
    configure_limit(config);
}

void Admission::configure_queue(const LimitsConfig& config) noexcept {
    pending_timeout_ = config.pending_timeout;
    queue_.configure(
        {.max = config.pending,
         // Bulk that has waited four fifths of the time there is goes before anything that comes.
         .aging = config.pending_timeout / static_cast<int>(resilience::kPriorities),
         .order = config.pending_order}
    );
}

void Admission::configure_limit(const LimitsConfig& config) {
    if (config.adaptive == AdaptiveLimit::none) {
        limiter_.reset();
        window_ends_.store(kNever, std::memory_order_relaxed);
        limit_.store(config.requests, std::memory_order_relaxed);
        return;
    }
    if (limiter_ && limiter_->kind() == config.adaptive) {
        limiter_->set_bounds(config.adaptive_min, config.requests);
    } else {
        limiter_.emplace(config.adaptive, config.adaptive_min, config.requests, seed_);
        window_began_ = kNever;
        window_ends_.store(Instant::min(), std::memory_order_relaxed);  // an answer begins one
    }
    limit_.store(limiter_->limit(), std::memory_order_relaxed);
}

void Admission::reconfigure(const LimitsConfig& config, Instant now) {
    const std::lock_guard lock(mutex_);
    has_classes_.store(config.priority.enabled, std::memory_order_relaxed);
    has_queue_.store(config.pending > 0, std::memory_order_relaxed);
    configure_queue(config);
    configure_limit(config);
    grant_locked(now);
}

CallPriority Admission::class_of(const CallState& call) const noexcept {
    return has_classes_.load(std::memory_order_relaxed) ? call.priority : CallPriority::normal;
}

bool Admission::sum_up(Worker& worker, CallPriority priority, Instant now) noexcept {
    const std::uint64_t in_flight = workers_.in_flight();
    const std::uint32_t limit = this->limit();
    std::uint64_t shared = limit;  // that everybody may fill, whatever the class
    worker.allowance = 0;
    worker.allowance_until = now;
    if (has_classes_.load(std::memory_order_relaxed)) {
        shared = cap_of(limit, CallPriority::bulk);
        if (in_flight >= cap_of(limit, priority)) {
            if (in_flight >= limit || has_queue_.load(std::memory_order_relaxed)) return false;
            if (++worker.shed % kShedPasses != 0) return false;
        }
    }
    if (in_flight >= limit) return false;
    const std::uint64_t headroom = shared > in_flight ? shared - in_flight : 0;
    worker.allowance = std::max<std::uint64_t>(1, headroom / (2 * workers_.size()));
    if (headroom > 0) worker.allowance_until = now + kSumAgeMax;
    return true;
}

NoEndpoint Admission::refusal(CallPriority priority) const noexcept {
    if (!was_limited_.load(std::memory_order_relaxed)) {
        was_limited_.store(true, std::memory_order_relaxed);
    }
    const std::uint64_t in_flight = workers_.in_flight();
    const bool is_shed = has_classes_.load(std::memory_order_relaxed) &&
                         priority != CallPriority::critical && in_flight < limit();
    return {
        .reason = is_shed ? NoEndpoint::Reason::shed : NoEndpoint::Reason::limited,
        .may_wait = has_queue_.load(std::memory_order_relaxed),
        .in_flight = static_cast<std::uint32_t>(in_flight),
        .limit = limit()
    };
}

void Admission::give_back(Instant now) noexcept {
    {
        const WorkerUse worker(workers_);
        worker->finished.add();
        worker->unused.add();
    }
    finished(now);
}

void Admission::grant(Instant now) noexcept {
    const std::lock_guard lock(mutex_);
    grant_locked(now);
}

void Admission::grant_locked(Instant now) noexcept {
    while (queue_.size() > 0) {
        const std::uint64_t in_flight = workers_.in_flight();
        if (in_flight >= limit()) break;
        const auto lowest = has_classes_.load(std::memory_order_relaxed)
                                ? lowest_at(in_flight, limit())
                                : CallPriority::bulk;
        auto* next = queue_.pop(lowest, now - pending_timeout_ / 2, now);
        if (next == nullptr) break;
        auto& wait = static_cast<PlaceWait&>(*next);
        if (wait.until > now) WorkerUse(workers_)->begun.add();
        wait.tell(wait.until > now ? PlaceWait::State::granted : PlaceWait::State::expired);
    }
    publish_queue();
}

void Admission::end_window(Instant now) noexcept {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock() || now < window_ends_.load(std::memory_order_relaxed)) return;
    Counted sum;
    workers_.for_each([&sum](const Worker& worker) {
        const auto ended = [&worker](resilience::Outcome outcome) {
            return worker.outcomes[static_cast<std::size_t>(outcome)].load();
        };
        sum.answers += ended(resilience::Outcome::success);
        sum.answers_ns += worker.success_ns.load();
        // Failures of other kinds say nothing about the load.
        sum.dropped += ended(resilience::Outcome::timeout);
        sum.dropped += ended(resilience::Outcome::refused_stream);
    });
    bool is_over = window_began_ == kNever;  // there was none
    if (!is_over) {
        is_over = limiter_->on_window(
            {.length = now - window_began_,
             .answers = sum.answers - counted_.answers,
             .latency_sum =
                 Duration(static_cast<std::int64_t>(sum.answers_ns - counted_.answers_ns)),
             .dropped = sum.dropped - counted_.dropped,
             .was_limited = was_limited_.load(std::memory_order_relaxed) || queue_.size() > 0}
        );
    }
    if (is_over) {
        counted_ = sum;
        window_began_ = now;
        was_limited_.store(false, std::memory_order_relaxed);
        limit_.store(limiter_->limit(), std::memory_order_relaxed);
        grant_locked(now);
    }
    window_ends_.store(now + limiter_->window(), std::memory_order_relaxed);
}

void Admission::publish_queue() noexcept {
    highest_waiting_.store(queue_.highest(), std::memory_order_relaxed);
    waiting_.store(queue_.size(), std::memory_order_relaxed);
}

void Admission::close() noexcept {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    while (auto* next = queue_.pop(CallPriority::bulk, kNever, Instant{})) {
        static_cast<PlaceWait&>(*next).tell(PlaceWait::State::closed);
    }
    publish_queue();
}

PlaceWait::PlaceWait(Admission& admission, core::UniqueFunction<void()> wake)
    : admission_(admission), wake_(std::move(wake)) {}

PlaceWait::~PlaceWait() {
    bool has_place = false;
    if (state_.load(std::memory_order_acquire) == State::out) return;
    {
        const std::lock_guard lock(admission_.mutex_);
        const State state = state_.load(std::memory_order_relaxed);
        has_place = state == State::granted;
        if (state == State::waiting) {
            admission_.queue_.remove(*this);
            admission_.publish_queue();
        }
    }
    if (has_place) admission_.give_back(since);
}

void PlaceWait::tell(State state) noexcept {
    state_.store(state, std::memory_order_release);
    wake_();
}

std::optional<NoEndpoint> PlaceWait::join(const CallState& call, Instant now) {
    priority = admission_.class_of(call);
    const std::lock_guard lock(admission_.mutex_);
    until = std::min(call.deadline.at(), now + admission_.pending_timeout_);
    PendingCall* out = admission_.is_closed_ ? this : admission_.queue_.push(*this, now);
    if (out == this) {
        const NoEndpoint why = admission_.refusal(priority);
        WorkerUse(admission_.workers_)->count_refusal(why.reason);
        return why;
    }
    state_.store(State::waiting, std::memory_order_relaxed);
    if (out != nullptr) static_cast<PlaceWait*>(out)->tell(State::evicted);
    // From the first that waits on, whoever finishes sees it or is seen by the sum.
    const bool is_first = admission_.waiting_.load(std::memory_order_relaxed) == 0;
    admission_.publish_queue();
    if (is_first) core::heavy_barrier();
    admission_.grant_locked(now);
    return std::nullopt;
}

std::optional<NoEndpoint> PlaceWait::end(CallState& call, Instant now) {
    const std::lock_guard lock(admission_.mutex_);
    const State state = state_.load(std::memory_order_relaxed);
    if (state == State::waiting) {
        admission_.queue_.remove(*this);
        admission_.publish_queue();
    }
    state_.store(State::out, std::memory_order_relaxed);
    if (state == State::granted) {
        call.has_place = true;
        return std::nullopt;
    }
    NoEndpoint why = admission_.refusal(priority);
    if (state == State::evicted) why.reason = NoEndpoint::Reason::shed;
    if (state == State::waiting || state == State::expired) {
        why.reason = call.deadline.expired(now) ? NoEndpoint::Reason::deadline
                                                : NoEndpoint::Reason::pending_timeout;
    }
    WorkerUse(admission_.workers_)->count_refusal(why.reason);
    return why;
}

}  // namespace datapunk::mesh::policy
