#pragma once

// For tests: is a history of calls on one key what a single register could have answered, one call
// at a time, each between its beginning and its end? Calls whose answer never came may have
// happened at any time after their beginning, or not at all.
//
// Search over the orders with memory (Wing and Gong 1993; Lowe 2017). Exponential at worst; the
// histories here have some dozens of calls of which a handful overlap.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace datapunk::mesh::server {

// Every write brings a value of its own, so that a value says which write is seen.
using Value = std::optional<std::string>;  // nothing = the key is absent

struct HistoryCall {
    enum class Kind : std::uint8_t { read, write, cas, erase };
    static constexpr std::uint64_t kNoAnswer = std::numeric_limits<std::uint64_t>::max();

    Kind kind = Kind::read;
    Value expected;         // of cas: what must be there
    Value value;            // what was read, or is to be there
    bool succeeded = true;  // of cas
    std::uint64_t began = 0;
    std::uint64_t ended = kNoAnswer;

    bool is_answered() const { return ended != kNoAnswer; }
};

class LinearizabilityCheck {
  public:
    explicit LinearizabilityCheck(std::vector<HistoryCall> calls) : calls_(std::move(calls)) {}

    bool holds() { return search(std::string(calls_.size(), '0'), std::nullopt); }

  private:
    // What the register holds after the call, or nothing if it cannot have answered so.
    std::optional<Value> step(const HistoryCall& call, const Value& state) const {
        switch (call.kind) {
            case HistoryCall::Kind::read:
                if (call.is_answered() && call.value != state) return std::nullopt;
                return state;
            case HistoryCall::Kind::write:
            case HistoryCall::Kind::erase:
                return call.value;
            case HistoryCall::Kind::cas: {
                const bool would = state == call.expected;
                if (call.is_answered() && would != call.succeeded) return std::nullopt;
                return would ? call.value : state;
            }
        }
        return std::nullopt;
    }

    bool search(std::string done, Value state) {
        const std::string seen = done + (state ? "=" + *state : "");
        if (!visited_.insert(seen).second) return false;
        std::uint64_t first_end = HistoryCall::kNoAnswer;
        bool all_answered_done = true;
        for (std::size_t i = 0; i < calls_.size(); ++i) {
            if (done[i] == '1') continue;
            first_end = std::min(first_end, calls_[i].ended);
            all_answered_done = all_answered_done && !calls_[i].is_answered();
        }
        if (all_answered_done) return true;
        for (std::size_t i = 0; i < calls_.size(); ++i) {
            if (done[i] == '1' || calls_[i].began > first_end) continue;
            const auto next = step(calls_[i], state);
            if (!next) continue;
            done[i] = '1';
            if (search(done, *next)) return true;
            done[i] = '0';
        }
        return false;
    }

    std::vector<HistoryCall> calls_;
    std::set<std::string> visited_;
};

}  // namespace datapunk::mesh::server
