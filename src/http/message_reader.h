#pragma once

// MessageReader: HTTP/1.1 messages out of a stream, one after the other: a head, then its body in
// pieces. Used by both sides of a proxied exchange and by Server and Client.
//
//     read_request / read_response  ->  (buffered_piece | next_piece)*  ->  the next head
//
// The views in a head stay good until the next head is read; a piece until the next call.
// One loop's object.

#include <datapunk/mesh/result.h>

#include <optional>
#include <string>
#include <string_view>

#include "http/input.h"
#include "wire/http1/body_decoder.h"
#include "wire/http1/head_parser.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::http {

enum class HeadRead : std::uint8_t {
    done,
    closed,    // the peer ended the connection between messages
    rejected,  // not acceptable HTTP: see why()
    failed,    // the connection broke or the deadline passed inside a head: see error()
};

struct Piece {
    std::string_view bytes;
    bool last = false;  // the body is complete with it
};

class MessageReader {
  public:
    // `block_bytes`: what is read at a time.
    MessageReader(
        io::Stream& stream, wire::http1::Limits limits, std::size_t block_bytes = kBlockBytes
    );

    // `head` is filled in; its body, if any, is then to be read to the end (or the connection
    // closed) before the next head.
    io::Task<HeadRead> read_request(wire::http1::RequestHead& head, Instant deadline);
    io::Task<HeadRead> read_response(
        wire::http1::ResponseHead& head, wire::http1::Method request_method, Instant deadline
    );

    wire::http1::Reject why() const noexcept { return why_; }

    const Error& error() const noexcept { return error_; }

    bool body_done() const noexcept { return body_done_; }

    // The next piece if it has arrived already: no waiting. Not after the last. An error is a body
    // that is not well-formed (why()).
    Result<std::optional<Piece>> buffered_piece();
    // Waits for it. A body that its sender did not finish is an error, never a last piece.
    io::Task<Result<Piece>> next_piece(Instant deadline);

    std::vector<wire::http1::Field> trailers() const { return decoder_.trailers(); }

    Input& input() noexcept { return input_; }

    const Input& input() const noexcept { return input_; }

    // Whether bytes have arrived that follow the message read so far.
    bool has_more() const noexcept { return input_.data().size() > spent_; }

    // The last piece is done with: its room can be read into. For those who read input() directly.
    void forget_piece() noexcept { input_.consume(std::exchange(spent_, 0)); }

    // Everything that has arrived behind the message read last, which is none of its kind: after a
    // switch of protocols.
    std::string take_rest();

    // Between messages: forgets the last one, so that an idle connection is small. Its views are
    // dead after that.
    void release() noexcept {
        forget_piece();
        input_.let_go();
        input_.release();
    }

  private:
    template <class Parse>
    io::Task<HeadRead> read_head(Parse parse, const wire::http1::Head* head, Instant deadline);
    HeadRead broken();
    void start_body(const wire::http1::Head& head);

    Input input_;
    wire::http1::Limits limits_;
    wire::http1::HeadParser parser_;
    wire::http1::BodyDecoder decoder_;
    std::size_t spent_ = 0;  // bytes of the last piece, still in input_
    bool body_done_ = true;
    wire::http1::Reject why_ = wire::http1::Reject::none;
    Error error_;
};

}  // namespace datapunk::mesh::http
