#pragma once

// ChangeLog: which instances of one service were touched, and at which index, so that who knows the
// service as of some index can be told what has changed since and not everything.
//
//     forgotten │ kept: (index, node, id), oldest first
//               └ floor: histories that begin here or later are whole
//
// Bounded: a quarter as many entries as the service has instances and 16 (4 if those are fewer than
// 16: who follows small services reads them whole), 1,024 at most; beyond, whoever asks had better
// read everything. Not part of the catalog's state: after a start or a
// restore it begins anew. A value; not thread-safe; O(1) a note, amortised.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::catalog {

class ChangeLog {
  public:
    static constexpr std::size_t kKeptMax = 1024;

    struct Entry {
        std::uint64_t index;
        std::string node;
        std::string id;
    };

    // A history from here on: nothing is known of what was at this index or before.
    explicit ChangeLog(std::uint64_t floor = 0) : floor_(floor) {}

    // Whether all that came after `index` is here.
    bool reaches(std::uint64_t index) const noexcept { return index >= floor_; }

    // Indexes never fall. `instances`: that the service has, for the bound.
    void note(
        std::uint64_t index, std::string_view node, std::string_view id, std::size_t instances
    );

    // Those after `index`, oldest first; an instance may be there more than once.
    template <class Visit>
    void for_each_since(std::uint64_t index, Visit visit) const {
        auto entry = entries_.end();
        while (entry != entries_.begin() && (entry - 1)->index > index) --entry;
        for (; entry != entries_.end(); ++entry) visit(*entry);
    }

    std::size_t size() const noexcept { return entries_.size(); }

    // How many were noted, ever: another number, another history.
    std::uint64_t notes() const noexcept { return notes_; }

  private:
    std::uint64_t floor_;
    std::uint64_t notes_ = 0;
    std::vector<Entry> entries_;
};

}  // namespace datapunk::mesh::catalog
