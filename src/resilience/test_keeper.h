#pragma once

// What Redis keeps of tokens and windows that processes share, as the scripts in
// redis/slice_scripts.h do it. For tests only.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "resilience/leased_slice.h"
#include "resilience/leased_window.h"
#include "resilience/sliding_window.h"

namespace datapunk::mesh::resilience {

class TestKeeper {
  public:
    struct Grant {
        std::int64_t tokens = 0;
        std::int64_t processes = 0;
    };

    Grant lease(const std::string& who, SliceConfig config, LeasedSlice::Ask ask, Instant now) {
        if (!at_) tokens_ = config.burst;
        const double passed =
            at_ ? std::chrono::duration<double>(std::max(Duration::zero(), now - *at_)).count() : 0;
        at_ = now;
        tokens_ += passed * config.rate + static_cast<double>(ask.returned);
        tokens_ = std::clamp(tokens_, 0.0, config.burst);
        who_[who] = now;
        std::erase_if(who_, [now](const auto& one) { return is_forgotten(one.second, now); });
        const auto granted = share_of(ask.wanted, static_cast<std::int64_t>(std::floor(tokens_)));
        tokens_ -= static_cast<double>(granted);
        return {granted, std::ssize(who_)};
    }

    Grant lease(const std::string& who, WindowConfig config, LeasedWindow::Ask ask, Instant now) {
        constexpr std::int64_t kSlices = SlidingWindow::kSlices;
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(config.per).count();
        const Duration width = std::chrono::milliseconds((ms + kSlices - 2) / (kSlices - 1));
        const std::int64_t slice = now.time_since_epoch() / width;
        std::map<std::int64_t, std::int64_t> counts;
        for (const auto& [number, count] : counts_) {
            if (Instant{} + (number + kSlices) * width_ <= now) continue;
            counts[width == width_ ? std::min(number, slice) : slice] += count;
        }
        width_ = width;
        for (const auto& [one, seen] : who_) {
            if (!is_forgotten(seen, now)) continue;
            held_.erase(one);
            spent_.erase(one);
        }
        who_[who] = now;
        std::erase_if(who_, [now](const auto& one) { return is_forgotten(one.second, now); });
        const auto before = spent_.find(who);
        auto fresh = static_cast<std::int64_t>(ask.recent);
        if (before != spent_.end() && before->second <= ask.spent) {
            fresh = std::min(fresh, static_cast<std::int64_t>(ask.spent - before->second));
        }
        counts[slice] += fresh;
        counts_ = counts;
        held_[who] = ask.held;
        spent_[who] = ask.spent;
        std::int64_t left = config.calls;
        for (const auto& one : counts_) left -= one.second;
        for (const auto& one : held_) left -= one.second;
        const auto granted = share_of(ask.wanted, std::max<std::int64_t>(0, left));
        held_[who] += granted;
        return {granted, std::ssize(who_)};
    }

    void forget_everything() { *this = TestKeeper(); }

  private:
    static bool is_forgotten(Instant seen, Instant now) {
        return seen <= now - std::chrono::seconds(10);
    }

    std::int64_t share_of(std::int64_t wanted, std::int64_t left) const {
        const std::int64_t share = std::max<std::int64_t>(1, left * 2 / std::ssize(who_));
        return std::max<std::int64_t>(0, std::min({wanted, share, left}));
    }

    std::map<std::string, Instant> who_;
    // A bucket.
    double tokens_ = 0;
    std::optional<Instant> at_;
    // A window.
    Duration width_ = std::chrono::milliseconds(1);
    std::map<std::int64_t, std::int64_t> counts_;
    std::map<std::string, std::int64_t> held_;
    std::map<std::string, std::uint64_t> spent_;
};

}  // namespace datapunk::mesh::resilience
