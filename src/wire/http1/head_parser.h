#pragma once

// HeadParser: the bytes of a message head -> RequestHead or ResponseHead, and how its body is
// framed. Strict on purpose: whatever two implementations could read in two ways is refused, since
// that is what request smuggling is made of.
//
//   start line --CRLF--> field line --CRLF--> ... --CRLF--> empty line: done
//        |  scan for control bytes, then parse the whole line; each byte is scanned once
//
// The verdict does not depend on how the bytes were split. One object belongs to one connection;
// no allocation once `out.fields` has grown. Cost: ~200 ns for a request of 8 fields; a call that
// finds the buffer moved adds ~1 ns per field read so far. Source: RFC 9112 2-6, RFC 9110 5
// and 7.2.

#include "wire/http1/message.h"

namespace datapunk::mesh::wire::http1 {

struct ParseResult {
    enum class State : std::uint8_t { incomplete, done, bad };

    State state = State::incomplete;
    std::size_t head_bytes = 0;  // when done: where the body begins in `buffered`
    Reject why = Reject::none;   // when bad
};

class HeadParser {
  public:
    explicit HeadParser(Limits limits = {}) : limits_(limits) {}

    // `buffered` begins at the message's first byte; until the result is done or bad, each call
    // gets the same bytes (they may have moved) with more behind them, and the same `out`.
    // After done or bad the parser is ready for the next message.
    ParseResult parse_request(std::string_view buffered, RequestHead& out);
    ParseResult parse_response(std::string_view buffered, Method request_method, ResponseHead& out);

    // Forgets a half-read head.
    void reset() noexcept { progress_ = {}; }

    // Whether a head has been begun: tells an idle connection from a truncated message.
    bool is_midway() const noexcept { return progress_.scanned > 0; }

  private:
    // What is known of the head that is being read.
    struct Progress {
        std::size_t scanned = 0;     // bytes before it hold no control byte but finished CRLFs
        std::size_t line_start = 0;  // the line that is being read
        const char* base = nullptr;  // where `buffered` was in the last call
        bool has_start_line = false;
        bool has_leading_crlf = false;
        bool has_te = false;
        bool has_host = false;
        bool wants_close = false;
        bool wants_keep_alive = false;
        bool lists_upgrade = false;
    };

    enum class LineState : std::uint8_t { incomplete, ready, bad };

    LineState next_line(
        std::string_view buffered, std::size_t bytes_max, std::string_view& line, Reject& why
    );
    template <class HeadType>
    ParseResult parse(std::string_view buffered, HeadType& out);
    template <class HeadType>
    Reject add_field(std::string_view line, HeadType& out);
    template <class HeadType>
    void follow_moved_buffer(std::string_view buffered, HeadType& out) const;
    Reject start_line(std::string_view line, RequestHead& out) const;
    Reject start_line(std::string_view line, ResponseHead& out) const;
    Reject note_field(const Field& field, Head& out);
    Reject note_request_field(const Field& field, RequestHead& out);
    void note_connection(std::string_view value);
    Reject finish(Head& out) const;
    Reject finish_request(RequestHead& out) const;

    Limits limits_;
    Progress progress_;
};

}  // namespace datapunk::mesh::wire::http1
