#pragma once

// AnswerCache: encoded answers by request and index, so that a thousand watchers of one service
// cost one encoding and not a thousand, and share its bytes, those of the head included. An answer
// is a pure function of its request and the index of its data, so an entry never goes stale:
// another index is another answer and replaces it. What is being sent lives on after its entry.
//
// Bounded in entries and bytes; the least recently used goes first. One loop's object. O(log n).

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace datapunk::mesh::server {

class AnswerCache {
  public:
    explicit AnswerCache(std::size_t bytes_max) : bytes_max_(bytes_max) {}

    using Body = std::shared_ptr<const std::string>;

    // How the same answer may be labelled: by consistency and by whether it was asked for from a
    // cache. Each has a head of its own, and all have one body.
    static constexpr std::size_t kLabels = 6;

    struct Answer {
        Body body;
        Body fields;  // of its head
    };

    // The stored answer for this request and index, or with the body that `encode()` gives now;
    // with the fields of its head under that label (less than kLabels), or what `label()` gives
    // now.
    template <class Encode, class Label>
    Answer get(
        const std::string& request,
        std::uint64_t index,
        Encode encode,
        std::size_t which,
        Label label
    ) {
        Entry& found = entry(request, index, encode);
        Body& fields = found.fields[which];
        if (fields == nullptr) {
            fields = std::make_shared<const std::string>(label());
            bytes_ += fields->size();
        }
        return {found.body, fields};
    }

    std::uint64_t encodings() const noexcept { return encodings_; }

    std::size_t bytes() const noexcept { return bytes_; }

  private:
    static constexpr std::size_t kEntriesMax = 10'000;  // services watched at once

    struct Entry {
        std::string request;
        std::uint64_t index;
        Body body;
        std::array<Body, kLabels> fields{};

        std::size_t bytes() const noexcept {
            std::size_t sum = request.size() + body->size();
            for (const Body& one : fields) sum += one == nullptr ? 0 : one->size();
            return sum;
        }
    };
    using Entries = std::list<Entry>;

    template <class Encode>
    Entry& entry(const std::string& request, std::uint64_t index, Encode encode) {
        const auto found = by_request_.find(request);
        if (found != by_request_.end()) {
            if (found->second->index == index) {
                entries_.splice(entries_.begin(), entries_, found->second);
                return entries_.front();
            }
            remove(found->second);
        }
        ++encodings_;
        entries_.push_front({request, index, std::make_shared<const std::string>(encode()), {}});
        by_request_.emplace(entries_.front().request, entries_.begin());
        bytes_ += entries_.front().bytes();
        while (entries_.size() > 1 && (bytes_ > bytes_max_ || entries_.size() > kEntriesMax)) {
            remove(std::prev(entries_.end()));
        }
        return entries_.front();
    }

    void remove(Entries::iterator entry) {
        bytes_ -= entry->bytes();
        by_request_.erase(entry->request);
        entries_.erase(entry);
    }

    std::size_t bytes_max_;
    std::size_t bytes_ = 0;
    std::uint64_t encodings_ = 0;
    Entries entries_;  // the most recently used first
    std::map<std::string_view, Entries::iterator> by_request_;
};

}  // namespace datapunk::mesh::server
