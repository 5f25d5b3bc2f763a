#pragma once

// Witness: a small file beside the log that knows the last seq that was acknowledged. SQLite drops
// a damaged transaction at the end of its WAL as if it were the torn tail of a crash; the witness
// tells the two apart: what was acknowledged and is not there is damage.
//
//     commit (fsync) ──> witness.put(seq) ──> done(seq)
//
// Written without an fsync of its own, so that it costs a microsecond and not a second flush: it
// outlives the process at once and the machine within seconds. It is never ahead of the log; behind
// it, or unreadable itself, it proves nothing and does no harm. One thread at a time.

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <optional>
#include <string>

namespace datapunk::mesh::store {

class Witness {
  public:
    // Made if it is not there.
    [[nodiscard]] static Result<Witness> open(const std::string& path);
    // What the file at `path` says; nothing if there is none, or it is not to be believed.
    static std::optional<std::uint64_t> read(const std::string& path);

    Witness(Witness&& other) noexcept;
    Witness& operator=(Witness&& other) noexcept;
    ~Witness();

    void put(std::uint64_t seq) noexcept;
    void sync() noexcept;

  private:
    explicit Witness(int fd) : fd_(fd) {}

    int fd_;
};

}  // namespace datapunk::mesh::store
