#include "catalog/events.h"

#include <algorithm>

#include "catalog/apply.h"

namespace datapunk::mesh::catalog {

std::uint64_t event_index(const std::string& event_id) {
    std::uint64_t halves[2] = {0, 0};
    std::size_t digits = 0;
    for (const char c : event_id) {
        if (c == '-') continue;
        const auto digit = static_cast<unsigned>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
        std::uint64_t& half = halves[digits++ < 16 ? 0 : 1];
        half = (half << 4U) | (digit & 0xfU);
    }
    return std::max<std::uint64_t>(halves[0] ^ halves[1], 1);
}

void EventStore::push(EventRow event, std::uint64_t index) {
    event.ltime = ++clock_;
    rows_.push_back(std::move(event));
    if (rows_.size() > kKept) rows_.pop_front();
    index_ = index;
}

EventStore::State EventStore::save() const {
    return {.rows = {rows_.begin(), rows_.end()}, .clock = clock_, .index = index_};
}

void EventStore::restore(State state) {
    rows_.assign(
        std::make_move_iterator(state.rows.begin()), std::make_move_iterator(state.rows.end())
    );
    while (rows_.size() > kKept) rows_.pop_front();
    clock_ = state.clock;
    index_ = state.index;
}

Result<> Refuse::operator()(const FireEvent&) const {
    return Ok{};
}

void Apply::operator()(FireEvent& c) {
    catalog_.events_.push(std::move(c.event), next_);
    touch(WatchTopic::events);
}

}  // namespace datapunk::mesh::catalog
