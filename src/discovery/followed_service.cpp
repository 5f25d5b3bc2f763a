#include "discovery/followed_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/counted.h"
#include "discovery/endpoint_diff.h"
#include "discovery/shared_cache.h"
#include "discovery/subscriber.h"
#include "registry/left_alone.h"
#include "resilience/backoff.h"

namespace datapunk::mesh::discovery {

namespace {

constexpr double kJitter = 0.2;  // of a wait, both ways: watches must not move in step
// Cold starts that found a fresh set in the shared cache ask the registry within this, not at once.
constexpr BackoffConfig kColdSpread{
    .base = std::chrono::seconds(1), .max = std::chrono::seconds(1)
};
// A registry that is back is asked about one service more after so long, on average.
constexpr Duration kReturnPace = std::chrono::milliseconds(2);
// What is patched is read in full so often, whatever is said of it.
constexpr Duration kWholeEvery = std::chrono::hours(1);
constexpr std::uint32_t kBurst = 2;  // questions at once; Consul's advice for blocking queries

}  // namespace

void DiscoveryContext::note_outcome(const Error* error) {
    ++stats.queries;
    if (error != nullptr) ++stats.errors;
    const bool is_up = error == nullptr;
    if (is_up == stats.registry_up) return;
    stats.registry_up = is_up;
    if (is_up) {
        log.info("the registry answers again", {{"registry", backend.kind()}});
        call_back();
    } else {
        log.warn(
            "the registry fails, serving what is known",
            {{"registry", backend.kind()}, {"error", error->what}}
        );
    }
}

void DiscoveryContext::call_back() {
    is_back.set();
    is_back.clear();
}

void FollowedService::Alarm::on_fire(io::Timer& timer) {
    auto& alarm = static_cast<Alarm&>(timer);
    (alarm.service.*alarm.on_ring)();
}

FollowedService::FollowedService(DiscoveryContext& context, std::string name)
    : context_(context),
      name_(std::move(name)),
      last_used_(context.loop.now()),
      hold_(context.config.removal_share_max, context.config.removal_grace),
      round_ended_(context.loop),
      pace_({.per_second = context.config.queries_per_second, .burst = kBurst}),
      hurried_(context.loop),
      linger_over_(*this, &FollowedService::stop_following),
      again_(*this, &FollowedService::start_again),
      fallback_due_(*this, &FollowedService::use_fallback),
      too_old_(*this, &FollowedService::expire) {}

FollowedService::~FollowedService() {
    for (const auto& subscriber : subscribers_) subscriber->orphan();
}

bool FollowedService::is_followed() const noexcept {
    return is_watched() || now() < followed_until_;
}

Duration FollowedService::jittered(Duration time) {
    const double factor = 1 - kJitter + 2 * kJitter * context_.rng.unit();
    return std::chrono::duration_cast<Duration>(time * factor);
}

EndpointSetPtr FollowedService::from_cache() {
    if (latest_ == nullptr) return nullptr;
    const bool is_learned = latest_->origin == Origin::registry;
    const bool is_stale = error_.has_value() || latest_->stale;
    if (!is_learned && latest_->stale == is_stale) return latest_;
    if (cached_view_ == nullptr || cached_view_->stale != is_stale) {
        auto view = std::make_shared<EndpointSet>(*latest_);
        if (is_learned) view->origin = Origin::cache;
        view->learned_at = learned_at();
        view->stale = is_stale;
        cached_view_ = std::move(view);
    }
    return cached_view_;
}

Instant FollowedService::learned_at() const noexcept {
    const bool is_learned = latest_->origin == Origin::registry;
    return is_learned ? std::max(latest_->learned_at, confirmed_at_) : latest_->learned_at;
}

std::optional<SetStatus> FollowedService::status() const {
    if (latest_ == nullptr) return std::nullopt;
    return SetStatus{
        .service = name_,
        .learned_at = learned_at(),
        .origin = latest_->origin == Origin::registry ? Origin::cache : latest_->origin,
        .stale = error_.has_value() || latest_->stale
    };
}

EndpointSetPtr FollowedService::confirmed() {
    if (latest_->learned_at >= learned_at()) return latest_;
    auto set = std::make_shared<EndpointSet>(*latest_);
    set->learned_at = learned_at();
    set->index = index_;
    latest_ = std::move(set);
    return latest_;
}

bool FollowedService::may_serve_cached() const noexcept {
    if (now() < retry_at_) return has_set() || error_.has_value();
    if (!has_set()) return false;
    return now() < fresh_until_ || (is_running_ && is_followed());
}

io::Task<Result<EndpointSetPtr>> FollowedService::ask(bool use_cache, Instant deadline) {
    last_used_ = now();
    const core::Counted asker(askers_);
    if (use_cache && context_.config.enable_caching && may_serve_cached()) {
        ++context_.stats.hits;
        const bool is_negative = !has_set() || latest_->endpoints.empty();
        if (is_negative) ++context_.stats.negative_hits;
        if (!has_set()) co_return *error_;
        if (error_) ++context_.stats.stale_served;
        co_return from_cache();
    }
    if (must_leave_alone()) {
        if (!use_cache || !has_set()) co_return *error_;
        ++context_.stats.stale_served;
        co_return from_cache();
    }
    ++context_.stats.misses;
    const core::Counted strict(use_cache ? lenient_askers_ : strict_askers_);
    const std::uint64_t round = rounds_;
    const std::uint64_t adopted = adopted_;
    start();
    while (rounds_ == round && !(use_cache && adopted_ != adopted)) {
        const bool ended = co_await round_ended_.wait(deadline);
        if (!ended) break;
    }
    const bool is_answered = rounds_ != round;
    if (is_answered && !error_) co_return confirmed();
    if (use_cache && has_set() && adopted_ != adopted && !error_ && !latest_->stale) {
        co_return latest_;  // as fresh as a cache's
    }
    if (use_cache && has_set()) {
        ++context_.stats.stale_served;
        co_return from_cache();
    }
    if (is_answered) co_return *error_;
    co_return Error{
        .code = Code::timeout,
        .what = fmt::format("the registry did not say where {} is in time", name_),
        .source = Source::registry,
        .retryable = true
    };
}

Watch FollowedService::watch(ChangeCallback callback) {
    last_used_ = now();
    auto subscriber = std::make_shared<Subscriber>(*this, std::move(callback));
    subscribers_.push_back(subscriber);
    linger_over_.cancel();
    if (latest_ != nullptr) context_.loop.make_ready(*subscriber);
    if (!is_running_) context_.loop.timers().arm(again_, now());
    return Watch([weak = std::weak_ptr<Subscriber>(subscriber)] {
        if (const auto alive = weak.lock()) alive->stop();
    });
}

void FollowedService::drop(Subscriber& subscriber) {
    std::erase_if(subscribers_, [&](const auto& one) { return one.get() == &subscriber; });
    last_used_ = now();
    if (is_watched()) return;
    followed_until_ = now() + context_.config.linger;
    context_.loop.timers().arm(linger_over_, followed_until_);
}

void FollowedService::stop_following() {
    if (is_watched() || is_asking_) return;  // a question that is answered at once ends by itself
    tasks_.cancel();
    is_running_ = false;
    sets_.rest();
}

void FollowedService::refresh() {
    ++invalidated_;
    fresh_until_ = Instant::min();
    retry_at_ = Instant::min();
    if (is_running_ && is_followed()) start();
}

void FollowedService::expect_removal(std::string id) {
    hold_.expect_removal(std::move(id), now());
    refresh();
}

// Sees to it that a question is out that is answered at once. One that waits for a change is given
// up for it, but not from here: we may be called by something that this question called.
void FollowedService::start() {
    if (is_running_ && is_asking_) return;
    context_.loop.timers().arm(again_, now());
}

void FollowedService::start_again() {
    if (is_running_ && is_asking_) return;
    tasks_.cancel();
    is_running_ = true;
    is_asking_ = true;
    after_ = 0;
    tasks_.spawn(run());
}

Duration FollowedService::next_wait() {
    Duration longest = jittered(context_.config.cache_ttl);
    if (const auto confirm = hold_.confirm_at()) longest = std::min(longest, *confirm - now());
    if (longest <= Duration::zero()) after_ = 0;
    if (after_ == 0) return Duration::zero();
    return longest;
}

io::Task<void> FollowedService::run() {
    io::Loop& loop = context_.loop;
    bool is_wanted = true;
    Duration pause{};
    if (latest_ == nullptr && context_.shared != nullptr) {
        const bool is_fresh = co_await consult_shared();
        if (is_fresh && strict_askers_ == 0) {
            is_wanted = is_followed();
            // Those who started with us found the same: not all of them at the registry at once.
            is_asking_ = false;
            if (is_wanted) {
                const Duration spread = resilience::full_jitter(kColdSpread, 0, context_.rng);
                co_await io::sleep_for(loop, spread);
            }
        }
    }
    if (is_wanted && latest_ == nullptr) {
        loop.timers().arm(fallback_due_, now() + context_.config.fallback_after);
    }
    while (is_wanted) {
        is_asking_ = after_ == 0;
        if (must_leave_alone()) co_await io::sleep_until(loop, not_before_);
        while (!pace_.try_acquire(loop.now())) {
            const Instant next = loop.now() + pace_.retry_in(loop.now());
            const bool is_hurried = co_await hurried_.wait(next);
            if (is_hurried) break;
        }
        hurried_.clear();
        const Duration longest = next_wait();
        is_asking_ = after_ == 0;
        const Instant deadline =
            loop.now() + longest + longest / 16 + context_.config.query_timeout;
        registry::KnownAnswer known{.index = after_, .memory = std::move(memory_)};
        if (after_ == 0 || loop.now() >= whole_from_) known.memory = nullptr;
        asked_of_ = latest_ == nullptr ? 0 : latest_->generation;
        auto news = co_await context_.backend.follow(name_, std::move(known), longest, deadline);
        is_asking_ = false;
        Instant resume = loop.now();
        if (news) {
            on_news(*std::move(news));
            const auto confirm = hold_.confirm_at();
            if (confirm && !is_followed()) {
                resume = *confirm;
                after_ = 0;
            }
            is_wanted = is_followed() || confirm.has_value();
        } else {
            if (!has_set()) co_await find_fallback();
            on_failure(std::move(news).error());
            is_wanted = is_followed();
            const std::uint32_t retry = failures_ - 1;
            if (retry == 0) pause = Duration::zero();
            pause = resilience::backoff(context_.config.reconnect, retry, pause, context_.rng);
            resume = std::max(resume, not_before_) + pause;
        }
        if (is_wanted) co_await pause_until(resume);
        is_wanted = is_wanted && (is_followed() || hold_.confirm_at().has_value());
    }
    memory_ = nullptr;  // the next question will be a new one
    is_running_ = false;
}

// After a failure: until `resume`, or soon after another service got an answer again.
io::Task<void> FollowedService::pause_until(Instant resume) {
    io::Loop& loop = context_.loop;
    if (failures_ == 0) {
        co_await io::sleep_until(loop, resume);
        co_return;
    }
    const bool is_back = co_await context_.is_back.wait(resume);
    if (!is_back) co_return;
    // Not all in the same moment: the more services we follow, the longer it takes.
    const Duration base = context_.config.reconnect.base;
    const Duration spread =
        std::max(base, std::chrono::duration_cast<Duration>(kReturnPace * context_.services));
    const Duration stagger =
        resilience::full_jitter({.base = spread, .max = spread}, 0, context_.rng);
    const Instant soon = std::min(resume, loop.now() + stagger);
    co_await io::sleep_until(loop, std::max(soon, not_before_));
}

void FollowedService::on_news(registry::News news) {
    memory_ = std::move(news.memory);
    if (auto* patch = std::get_if<registry::Patch>(&news.what)) {
        if (latest_ == nullptr || latest_->generation != asked_of_) {
            memory_ = nullptr;  // it is of a set that we do not have any more
            after_ = 0;
            return;
        }
        on_patch(std::move(*patch));
    } else {
        on_answer(std::get<registry::Answer>(std::move(news.what)));
    }
    // What is held back is not what the registry says.
    if (hold_.held() > 0) memory_ = nullptr;
    share();
    end_round();
}

bool FollowedService::heard(std::uint64_t index) {
    context_.note_outcome(nullptr);
    const Instant at = now();
    const bool is_back = failures_ > 0;
    const bool is_reset = index < index_;
    if (is_back) ++context_.stats.reconnects;
    if (is_reset) ++context_.stats.index_resets;
    if ((is_back || is_reset) && latest_ != nullptr) {
        hold_.distrust_until(at + context_.config.reset_grace);
    }
    failures_ = 0;
    error_.reset();
    spare_.reset();
    is_expired_ = false;
    fallback_due_.cancel();
    too_old_.cancel();
    retry_at_ = Instant::min();
    after_ = is_reset ? 0 : index;
    index_ = index;
    confirmed_at_ = at;
    cached_view_ = nullptr;
    return is_reset;
}

void FollowedService::tell_subscribers() {
    ++context_.stats.changes;
    if (context_.on_news) context_.on_news();
    for (const auto& subscriber : subscribers_) context_.loop.make_ready(*subscriber);
}

void FollowedService::on_answer(registry::Answer answer) {
    const Instant at = now();
    const std::uint64_t index = std::max<std::uint64_t>(answer.index, 1);
    heard(index);
    whole_from_ = at + jittered(kWholeEvery);
    // A registry that may never have heard of the service: "none" says little.
    const bool says_little =
        answer.endpoints.empty() && !context_.backend.capabilities().empty_is_authoritative;
    if (says_little && latest_ != nullptr && !latest_->endpoints.empty() && hold_.held() == 0) {
        hold_.distrust_until(at + context_.config.reset_grace);
    }

    static const std::vector<ServiceEndpoint> kNone;
    const auto& current = latest_ == nullptr ? kNone : latest_->endpoints;
    const std::uint64_t held_before = hold_.held_total();
    const std::shared_ptr<EndpointSet> set = sets_.fresh();
    std::optional<std::vector<std::uint32_t>> places;
    if (hold_.is_idle()) places = changed_places(current, answer.endpoints);
    bool is_changed = latest_ == nullptr;
    if (places) {
        set->endpoints = std::move(answer.endpoints);
        is_changed = is_changed || !places->empty();
    } else {
        set->endpoints = hold_.settle(current, std::move(answer.endpoints), at);
        is_changed = is_changed || !is_same(current, set->endpoints);
    }
    context_.stats.held_back += hold_.held_total() - held_before;
    set->service = name_;
    set->index = index;
    set->generation = (latest_ == nullptr ? 0 : latest_->generation) + (is_changed ? 1 : 0);
    set->learned_at = at;
    set->stale = answer.is_stale;
    const bool is_negative = set->endpoints.empty();
    latest_ = set;
    const Duration ttl = context_.config.cache_ttl;
    fresh_until_ = at + (is_negative ? std::min(ttl, context_.config.negative_ttl) : jittered(ttl));
    if (!is_changed) return;
    step_.reset();
    if (places) {
        step_.emplace();
        for (const std::uint32_t place : *places) {
            step_->changed.push_back(set->endpoints[place]);
        }
    }
    step_of_ = set->generation;
    tell_subscribers();
}

// To what latest_ is, which the registry's word was until now.
void FollowedService::on_patch(registry::Patch patch) {
    const std::uint64_t index = std::max(patch.index, index_);
    EndpointChange change = effect_of(std::move(patch), latest_->endpoints);
    const std::size_t known = latest_->endpoints.size();
    const std::size_t left = known + change.added.size() - change.removed.size();
    if (!hold_.lets_go(change.removed, known, left, now())) {
        // As any answer that looks wrong.
        registry::Answer whole{.endpoints = latest_->endpoints, .index = index};
        whole.is_stale = patch.is_stale;
        apply_change(whole.endpoints, change);
        return on_answer(std::move(whole));
    }
    heard(index);
    fresh_until_ = now() + jittered(context_.config.cache_ttl);
    const bool is_news =
        !change.added.empty() || !change.removed.empty() || !change.changed.empty();
    if (!is_news && patch.is_stale == latest_->stale) return;
    const std::shared_ptr<EndpointSet> set = sets_.next(*latest_, change);
    set->service = name_;
    set->index = index;
    set->learned_at = now();
    set->stale = patch.is_stale;
    latest_ = set;
    if (!is_news) return;
    step_ = std::move(change);
    step_of_ = set->generation;
    tell_subscribers();
}

EndpointChange FollowedService::change_since(const EndpointSet* told) const {
    const std::uint64_t generation = latest_->generation;
    const bool is_next = told != nullptr && told->generation + 1 == generation;
    if (!is_next || step_of_ != generation || !step_) return difference(told, latest_);
    EndpointChange change = *step_;
    change.all = latest_;
    return change;
}

void FollowedService::on_failure(Error error) {
    context_.note_outcome(&error);
    ++failures_;
    error_ = std::move(error);
    not_before_ = now() + std::min(error_->retry_after, registry::kLeftAloneMax);
    retry_at_ = std::max(now() + context_.config.negative_ttl, not_before_);
    after_ = 0;
    memory_ = nullptr;
    hold_.start_over();
    const bool is_borrowed = has_set() && latest_->origin != Origin::registry;
    if (is_borrowed && context_.shared != nullptr) learn_from_shared();
    end_round();
}

void FollowedService::end_round() {
    ++rounds_;
    round_ended_.set();
    round_ended_.clear();
}

}  // namespace datapunk::mesh::discovery
