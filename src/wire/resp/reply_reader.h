#pragma once

// ReplyReader: bytes from a Redis server, in any pieces, to whole values. Each byte is looked at
// once, whatever the pieces: what is half there is kept as a stack of open arrays.
//
//     reader.feed(bytes);
//     while (reader.next()) use(reader.take());      // next(): a value is complete
//     if (reader.problem()) …                        // for good: the stream makes no sense any
//     more
//
// Every length that the peer announces is checked against the limits before anything is reserved
// for it. One thread; no IO.

#include <datapunk/mesh/result.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/resp/value.h"

namespace datapunk::mesh::wire::resp {

struct ReplyLimits {
    std::size_t bytes_max = 64U << 20U;       // of one value, all that it holds included
    std::size_t items_max = 100'000;          // of one value, nested ones included
    std::size_t depth_max = 16;               // Redis itself nests three deep
    std::size_t line_bytes_max = 64U << 10U;  // of a simple string, an error or a number
};

class ReplyReader {
  public:
    ReplyReader() = default;

    explicit ReplyReader(const ReplyLimits& limits) : limits_(limits) {}

    void feed(std::string_view bytes);
    // Whether a value is complete; the same one until take().
    bool next();
    // After next() was true.
    RespValue take();

    // Set once and for good.
    const std::optional<Error>& problem() const noexcept { return problem_; }

    // Fed, and not part of a value that was taken yet.
    std::size_t pending_bytes() const noexcept { return buffer_.size() - at_; }

    // Nothing of a value has been read that is not complete.
    bool is_between_values() const noexcept {
        return open_.empty() && !blob_bytes_ && !done_ && pending_bytes() == 0;
    }

  private:
    struct Open {
        RespValue value;
        std::size_t missing = 0;    // items
        bool is_attribute = false;  // to be dropped when it is whole
    };

    enum class Step : std::uint8_t { more, starved, failed };

    Step step();
    Step read_line(std::string_view& line);
    Step read_header();
    Step read_blob();
    Step read_aggregate(char mark, std::int64_t count);
    Step read_scalar(char mark, std::string_view text);
    Step begin_blob(char mark, std::int64_t bytes);
    Step add(RespValue value);
    Step fail(std::string_view why);
    bool is_too_large(std::size_t more);

    ReplyLimits limits_{};
    std::string buffer_;
    std::size_t at_ = 0;       // in buffer_: read so far
    std::size_t scanned_ = 0;  // in buffer_: no end of line before this
    std::vector<Open> open_;
    std::optional<std::size_t> blob_bytes_;  // of the blob that is being read
    char blob_mark_ = '$';
    std::size_t bytes_ = 0;  // of the value that is being read
    std::size_t items_ = 0;
    std::optional<RespValue> done_;
    std::optional<Error> problem_;
};

}  // namespace datapunk::mesh::wire::resp
