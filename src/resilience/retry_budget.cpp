#include "resilience/retry_budget.h"

#include <algorithm>

namespace datapunk::mesh::resilience {

namespace {

constexpr std::uint64_t kCountMask = (std::uint64_t{1} << 36U) - 1;
constexpr std::uint64_t kTickMask = (std::uint64_t{1} << 28U) - 1;
// A balance is a sum of doubles: 5 x 0.2 must buy one retry.
constexpr double kRounding = 1e-9;

// How far `later` is ahead of `earlier` on the circle of slice numbers.
constexpr std::uint64_t distance(std::uint64_t earlier, std::uint64_t later) noexcept {
    return (later - earlier) & kTickMask;
}

double reserve_of(const RetryBudgetConfig& config) noexcept {
    return config.min_per_second * std::chrono::duration<double>(config.window).count();
}

bool is_shared(const RetryBudgetConfig& config) noexcept {
    return config.shared && config.min_per_second > 0;
}

std::int64_t slice_of(const RetryBudgetConfig& config) noexcept {
    return std::max<std::int64_t>(1, config.window.count() / RetryBudget::kSlices);
}

}  // namespace

RetryBudget::RetryBudget(const RetryBudgetConfig& config)
    : ratio_(config.ratio), reserve_(0), slice_ns_(slice_of(config)) {
    share(config);
}

// The reserve is leased, or it is our own.
void RetryBudget::share(const RetryBudgetConfig& config) {
    if (!is_shared(config)) {
        reserve_.store(reserve_of(config), std::memory_order_relaxed);
        shared_.store(nullptr, std::memory_order_release);
        if (leased_ != nullptr) leased_->set_wanted(false);
        return;
    }
    reserve_.store(0, std::memory_order_relaxed);
    const SliceConfig slice{
        .rate = config.min_per_second, .burst = std::max(1.0, reserve_of(config))
    };
    if (leased_ == nullptr)
        leased_ = std::make_shared<LeasedSlice>(slice);
    else if (leased_->config() != slice)
        leased_->reconfigure(slice);
    leased_->set_wanted(true);
    shared_.store(leased_.get(), std::memory_order_release);
}

std::shared_ptr<LeasedSlice> RetryBudget::shared_reserve() const {
    return shared_.load() == nullptr ? nullptr : leased_;
}

void RetryBudget::reconfigure(const RetryBudgetConfig& config, Instant now) {
    ratio_.store(config.ratio, std::memory_order_relaxed);
    share(config);
    if (slice_of(config) == slice_ns_.load(std::memory_order_relaxed)) return;
    const std::uint64_t before = tick(now);
    slice_ns_.store(slice_of(config), std::memory_order_relaxed);
    const std::uint64_t after = tick(now);
    const auto carry = [before, after](Slices& slices) {
        const std::uint64_t sum = std::min(slices.sum(before), kCountMask);
        for (Word& word : slices.words) word.store(0, std::memory_order_relaxed);
        slices.words[after % kSlices].store(after << kCountBits | sum, std::memory_order_relaxed);
    };
    carry(withdrawals_);
    for (Slices& stripe : deposits_) carry(stripe);
}

void RetryBudget::deposit(Instant now, unsigned stripe, std::uint32_t calls) noexcept {
    deposits_[stripe % kStripes].add(tick(now), calls);
}

bool RetryBudget::try_withdraw(Instant now) noexcept {
    if (withdraw_own(now)) return true;
    LeasedSlice* const shared = shared_.load(std::memory_order_acquire);
    return shared != nullptr && shared->try_take();
}

bool RetryBudget::withdraw_own(Instant now) noexcept {
    const std::uint64_t at = tick(now);
    Word& word = withdrawals_.add(at, 1);
    if (balance(at) >= -kRounding) return true;
    (void)take_back(word, at);
    return false;
}

bool RetryBudget::take_back(Word& word, std::uint64_t tick) noexcept {
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    while (distance(tick, seen >> kCountBits) < kSlices && (seen & kCountMask) != 0) {
        if (word.compare_exchange_weak(seen, seen - 1, std::memory_order_relaxed)) return true;
    }
    return false;
}

void RetryBudget::give_back(Instant now) noexcept {
    const std::uint64_t at = tick(now);
    if (take_back(withdrawals_.words[at % kSlices], at)) return;
    LeasedSlice* const shared = shared_.load(std::memory_order_acquire);
    if (shared != nullptr) shared->give_back();
}

bool RetryBudget::has_half(Instant now) const noexcept {
    const std::uint64_t at = tick(now);
    const double all = capacity(at);
    if (all > 0 && balance(at) >= all / 2) return true;
    const LeasedSlice* const shared = shared_.load(std::memory_order_acquire);
    return shared != nullptr && static_cast<double>(shared->held()) >= shared->in_hand() / 2;
}

double RetryBudget::available(Instant now) const noexcept {
    const double own = std::max(0.0, balance(tick(now)));
    const LeasedSlice* const shared = shared_.load(std::memory_order_acquire);
    return shared == nullptr ? own : own + static_cast<double>(shared->held());
}

std::uint64_t RetryBudget::tick(Instant now) const noexcept {
    const std::int64_t ns = std::max<std::int64_t>(0, now.time_since_epoch().count());
    return static_cast<std::uint64_t>(ns / slice_ns_.load(std::memory_order_relaxed)) & kTickMask;
}

// With nothing withdrawn.
double RetryBudget::capacity(std::uint64_t tick) const noexcept {
    std::uint64_t calls = 0;
    for (const Slices& stripe : deposits_) calls += stripe.sum(tick);
    return reserve_.load(std::memory_order_relaxed) +
           ratio_.load(std::memory_order_relaxed) * static_cast<double>(calls);
}

double RetryBudget::balance(std::uint64_t tick) const noexcept {
    return capacity(tick) - static_cast<double>(withdrawals_.sum(tick));
}

// The slice that holds `tick` or, for a thread whose `now` is behind, a later one. Anything else in
// the word is out of the window and is taken over.
RetryBudget::Word& RetryBudget::Slices::add(std::uint64_t tick, std::uint32_t count) noexcept {
    Word& word = words[tick % kSlices];
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    while (distance(tick, seen >> kCountBits) >= kSlices) {
        const std::uint64_t fresh = tick << kCountBits | count;
        if (word.compare_exchange_weak(seen, fresh, std::memory_order_relaxed)) return word;
    }
    word.fetch_add(count, std::memory_order_relaxed);
    return word;
}

std::uint64_t RetryBudget::Slices::sum(std::uint64_t tick) const noexcept {
    std::uint64_t total = 0;
    for (const Word& word : words) {
        const std::uint64_t seen = word.load(std::memory_order_relaxed);
        const std::uint64_t slice = seen >> kCountBits;
        const bool counts = distance(slice, tick) < kSlices || distance(tick, slice) < kSlices;
        if (counts) total += seen & kCountMask;
    }
    return total;
}

}  // namespace datapunk::mesh::resilience
