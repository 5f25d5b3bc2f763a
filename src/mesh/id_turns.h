#pragma once

// IdTurns: one operation at a time on one id, in the order in which they came. What happens to an
// id is then the same as if its operations had been called one after the other.
//
//     auto turn = co_await turns.take(id, deadline);     // an optional: none if the deadline came
//     if (!turn) co_return busy();
//     …                                                  // the id is ours until `turn` goes
//
// A waiter that is destroyed leaves the queue. One loop's object; must outlive the turns.
// Cost: a look-up by id.

#include <datapunk/mesh/time.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "io/loop.h"
#include "io/task.h"

namespace datapunk::mesh::internal {

class IdTurns {
    using Queue = std::deque<std::shared_ptr<io::Event>>;

  public:
    // Holds a place in the queue of an id; the first in it has its turn.
    class Turn {
      public:
        Turn(IdTurns& turns, std::string id);
        Turn(Turn&& other) noexcept = default;
        Turn& operator=(Turn&&) = delete;
        ~Turn();

      private:
        friend class IdTurns;

        IdTurns* turns_;
        std::string id_;
        std::shared_ptr<io::Event> come_;  // set when it is first; null once moved from
    };

    explicit IdTurns(io::Loop& loop) noexcept : loop_(loop) {}

    IdTurns(const IdTurns&) = delete;
    IdTurns& operator=(const IdTurns&) = delete;

    io::Task<std::optional<Turn>> take(std::string id, Instant deadline);

    // Ids that somebody works on.
    std::size_t size() const noexcept { return queues_.size(); }

    // Those who have or wait for a turn with this id.
    std::size_t length(const std::string& id) const;

  private:
    io::Loop& loop_;
    std::map<std::string, Queue> queues_;
};

}  // namespace datapunk::mesh::internal
