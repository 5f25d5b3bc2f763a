#pragma once

// FallbackChain: what to answer when a call has failed for good: the last good answer if it is not
// too old, what another service or function says, or a fixed value; tried in the order in which
// they are added, until one answers. The answer says where it comes from, so that nobody takes it
// for a fresh one.
//
//     FallbackChain<Quote> quotes(std::chrono::steady_clock::now);
//     quotes.cached(5min)
//         .ask("backup", [&](const Error&) { return mesh.call<Quote>("quotes-b", fetch_quote); })
//         .answer(Quote{});
//     auto quote = quotes.run([&] { return mesh.call<Quote>("quotes", fetch_quote); });
//     if (quote && quote->is_fallback()) page.warn("as of earlier: " + quote->why.what);
//
// Only failures of the service count (Code unavailable, timeout, exhausted, internal): a request
// that is wrong, denied or about nothing stays so, and what was given up by us is not wanted any
// more. worth() changes that. An answer of a fallback is never cached, and a fallback that fails
// never hides the first error. The cache holds one answer: one chain for one question.
//
// Add steps first; then run() and counts() may be called from any thread. run() holds no lock while
// a step runs. Exceptions of steps pass through.

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace datapunk::mesh {

template <class T>
struct FallbackAnswer {
    T value;
    std::string from{};  // the name of the step that answered: "cached", "answer", its own; empty =
                         // no fallback was needed
    Error why{};         // of a fallback: what went wrong first
    Duration age{};      // of a cached one

    bool is_fallback() const noexcept { return !from.empty(); }
};

template <class T>
class FallbackChain {
  public:
    using Clock = std::function<Instant()>;
    using Step = std::function<Result<T>(const Error& why)>;

    // `clock`: std::chrono::steady_clock::now, or a test's.
    explicit FallbackChain(Clock clock) : clock_(std::move(clock)) {}

    // The last good answer of run()'s own function, if it is at most so old.
    FallbackChain& cached(Duration max_age) {
        auto look = [this, max_age](const Error& why) -> Result<T> {
            const std::lock_guard guard(mutex_);
            if (!last_ || clock_() - last_->at > max_age) return why;
            return last_->value;
        };
        steps_.emplace_back("cached", std::move(look), true);
        keeps_last_ = true;
        return *this;
    }

    // What `step` says; it is told why it is asked.
    FallbackChain& ask(std::string name, Step step) {
        steps_.emplace_back(std::move(name), std::move(step), false);
        return *this;
    }

    // This.
    FallbackChain& answer(T value) {
        return ask("answer", [value = std::move(value)](const Error&) -> Result<T> {
            return value;
        });
    }

    // Which errors are answered by a fallback, in place of the rule above.
    FallbackChain& worth(std::function<bool(const Error&)> is_worth_it) {
        is_worth_it_ = std::move(is_worth_it);
        return *this;
    }

    template <class Function>
    Result<FallbackAnswer<T>> run(Function&& function) {
        Result<T> result = function();
        if (result) {
            keep(*result);
            return FallbackAnswer<T>{.value = *std::move(result)};
        }
        Error why = std::move(result).error();
        if (!is_worth(why)) return why;
        for (Entry& step : steps_) {
            Result<T> other = step.run(why);
            if (!other) continue;
            step.answered.fetch_add(1, std::memory_order_relaxed);
            const Duration age = step.is_cache ? age_of_last() : Duration::zero();
            return FallbackAnswer<T>{
                .value = *std::move(other), .from = step.name, .why = std::move(why), .age = age
            };
        }
        unanswered_.fetch_add(1, std::memory_order_relaxed);
        return why;
    }

    // How often each step answered, in order; and, as "none", how often none did.
    std::vector<std::pair<std::string, std::uint64_t>> counts() const {
        std::vector<std::pair<std::string, std::uint64_t>> all;
        for (const Entry& step : steps_) all.emplace_back(step.name, step.answered.load());
        all.emplace_back("none", unanswered_.load());
        return all;
    }

  private:
    struct Entry {
        Entry(std::string n, Step r, bool c) : name(std::move(n)), run(std::move(r)), is_cache(c) {}

        std::string name;
        Step run;
        bool is_cache;
        std::atomic<std::uint64_t> answered{0};
    };

    struct Kept {
        T value;
        Instant at;
    };

    bool is_worth(const Error& error) const {
        if (is_worth_it_) return is_worth_it_(error);
        return error.code == Code::unavailable || error.code == Code::timeout ||
               error.code == Code::exhausted || error.code == Code::internal;
    }

    void keep(const T& value) {
        if (!keeps_last_) return;
        const Instant now = clock_();
        const std::lock_guard guard(mutex_);
        last_.emplace(Kept{.value = value, .at = now});
    }

    Duration age_of_last() {
        const Instant now = clock_();
        const std::lock_guard guard(mutex_);
        return last_ ? now - last_->at : Duration::zero();
    }

    Clock clock_;
    std::deque<Entry> steps_;  // they do not move
    std::function<bool(const Error&)> is_worth_it_;
    bool keeps_last_ = false;
    std::atomic<std::uint64_t> unanswered_{0};
    std::mutex mutex_;
    std::optional<Kept> last_;
};

}  // namespace datapunk::mesh
