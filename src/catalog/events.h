#pragma once

// EventStore: the user events that were fired last. Consul's agents gossip them and forget them
// when they restart; here they are in the log, so that who asks again finds them.
//
// A value; not thread-safe; O(1) a push. Source: Consul agent/user_event.go.

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace datapunk::mesh::catalog {

struct EventRow {
    std::string id;  // UUID
    std::string name;
    std::string payload;
    std::string node_filter;
    std::string service_filter;
    std::string tag_filter;
    std::uint64_t ltime = 0;  // a Lamport clock: set by the catalog
    friend bool operator==(const EventRow&, const EventRow&) = default;
};

// Consul's index of an event list: what the last event's id says, which tells lists apart but not
// which is newer.
std::uint64_t event_index(const std::string& event_id);

class EventStore {
  public:
    static constexpr std::size_t kKept = 256;  // as Consul's UserEventBuf

    const std::deque<EventRow>& rows() const noexcept { return rows_; }  // oldest first

    std::uint64_t index() const noexcept { return index_; }

    void raise_to(std::uint64_t index) noexcept { index_ = index; }

    void push(EventRow event, std::uint64_t index);

    // For the snapshot.
    struct State {
        std::vector<EventRow> rows;
        std::uint64_t clock = 1;
        std::uint64_t index = 0;
    };
    State save() const;
    void restore(State state);

  private:
    std::deque<EventRow> rows_;
    std::uint64_t clock_ = 1;  // as a serf agent that has just joined itself
    std::uint64_t index_ = 0;
};

}  // namespace datapunk::mesh::catalog
