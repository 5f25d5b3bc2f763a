#pragma once

// PolicyEvent and its bounded ring: what happened to endpoints (ejected, tripped, recovered), for
// people. The newest kEventsMax are kept until somebody drains them; older ones are dropped and
// counted. Thread-safe; written on state changes only, so a mutex will do.

#include <datapunk/mesh/time.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace datapunk::mesh::policy {

struct PolicyEvent {
    Instant when;
    std::string service;
    std::string endpoint;  // id; empty = the whole service
    std::string what;      // "ejected", "returned", "breaker open", "breaker closed", …
    std::string why;
    std::string_view label;  // a word for metrics: the breaker's new state, the rule that ejected
};

class EventRing {
  public:
    static constexpr std::size_t kEventsMax = 256;  // a page of /events

    void push(PolicyEvent event) {
        const std::lock_guard lock(mutex_);
        if (events_.size() == kEventsMax) {
            events_.pop_front();
            ++dropped_;
        }
        events_.push_back(std::move(event));
    }

    std::vector<PolicyEvent> drain() {
        const std::lock_guard lock(mutex_);
        std::vector<PolicyEvent> all(
            std::make_move_iterator(events_.begin()), std::make_move_iterator(events_.end())
        );
        events_.clear();
        return all;
    }

    std::uint64_t dropped() const {
        const std::lock_guard lock(mutex_);
        return dropped_;
    }

  private:
    mutable std::mutex mutex_;
    std::deque<PolicyEvent> events_;
    std::uint64_t dropped_ = 0;
};

}  // namespace datapunk::mesh::policy
