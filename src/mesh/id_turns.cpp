#include "mesh/id_turns.h"

#include <algorithm>
#include <utility>

namespace datapunk::mesh::internal {

IdTurns::Turn::Turn(IdTurns& turns, std::string id)
    : turns_(&turns), id_(std::move(id)), come_(std::make_shared<io::Event>(turns.loop_)) {
    Queue& queue = turns.queues_[id_];
    if (queue.empty()) come_->set();
    queue.push_back(come_);
}

IdTurns::Turn::~Turn() {
    if (come_ == nullptr) return;
    const auto at = turns_->queues_.find(id_);
    Queue& queue = at->second;
    std::erase(queue, come_);
    if (queue.empty()) {
        turns_->queues_.erase(at);
    } else if (!queue.front()->is_set()) {
        queue.front()->set();
    }
}

io::Task<std::optional<IdTurns::Turn>> IdTurns::take(std::string id, Instant deadline) {
    std::optional<Turn> turn;
    turn.emplace(*this, std::move(id));
    const std::shared_ptr<io::Event> come = turn->come_;
    const bool has_come = co_await come->wait(deadline);
    if (!has_come) turn.reset();
    co_return turn;
}

std::size_t IdTurns::length(const std::string& id) const {
    const auto at = queues_.find(id);
    return at == queues_.end() ? 0 : at->second.size();
}

}  // namespace datapunk::mesh::internal
