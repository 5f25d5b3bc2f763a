#pragma once

// BodyDecoder: the bytes after a head -> the body, by its framing. It copies nothing: the payload
// is a view into the input. A body that was cut off is never reported done.
//
//   chunked:  size --CRLF--> data --CRLF--> size ... 0 --CRLF--> trailer lines --empty line--> done
//
// Chunk extensions are refused: nobody uses them, and readers differ about where they end.
// One object belongs to one connection. Source: RFC 9112 6 and 7.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wire/http1/message.h"

namespace datapunk::mesh::wire::http1 {

// RFC 9110 6.5.1: what frames, routes or authenticates must not come after the body.
bool is_forbidden_in_trailer(Header id) noexcept;

class BodyDecoder {
  public:
    enum class State : std::uint8_t { more, done, bad };

    struct Step {
        std::size_t consumed = 0;  // bytes of `in` that are dealt with; call again with the rest
        std::string_view payload;  // part of `in`, may be empty
        State state = State::more;
        Reject why = Reject::none;
    };

    BodyDecoder() = default;

    // Begins a body. Framing::none and a length of 0 are done at once.
    void reset(Framing framing, std::uint64_t content_length, Limits limits = {});

    // At most one run of payload a step. With state more and consumed == in.size(), it needs input.
    // After done or bad nothing more is consumed.
    Step decode(std::string_view in);

    // The connection ended: done if the body may end here, else bad with truncated_body.
    Step eof();

    bool is_done() const noexcept { return stage_ == Stage::done; }

    // Bytes of payload still to come, for Framing::length; else 0.
    std::uint64_t length_left() const noexcept { return stage_ == Stage::fixed_data ? left_ : 0; }

    // The trailer fields, once done; views into this object.
    std::vector<Field> trailers() const;

  private:
    enum class Stage : std::uint8_t {
        done,
        failed,
        fixed_data,
        until_close,
        size_start,
        size_digits,
        size_lf,
        chunk_data,
        chunk_cr,
        chunk_lf,
        trailer_line,
        trailer_lf,
    };

    Reject frame_byte(char c);
    Reject size_byte(char c);
    Reject trailer_byte(char c);
    Reject end_trailer_line();
    std::string_view take(std::string_view in);

    std::uint64_t left_ = 0;  // of the fixed body or of this chunk
    std::string trailer_text_;
    std::size_t trailer_line_start_ = 0;
    std::size_t trailer_bytes_max_ = 0;
    std::size_t trailer_fields_max_ = 0;
    std::size_t trailer_count_ = 0;
    std::uint8_t size_digits_ = 0;
    Stage stage_ = Stage::done;
    Reject why_ = Reject::none;
};

}  // namespace datapunk::mesh::wire::http1
