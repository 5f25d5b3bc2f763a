#pragma once

// Http2Tunnel: the bytes of a stream of HTTP/2 that has become a tunnel (RFC 8441), as an
// io::Stream, so that they are relayed like those of a connection.
//
// What arrives is acknowledged to its sender when it has been read here; what is written is kept,
// up to 64 KiB, until the peer's windows let it go. Lives and dies with the owner of the stream,
// which tells it of news. One loop's object.

#include <string>
#include <string_view>

#include "io/loop.h"
#include "io/stream.h"
#include "wire/http2/session.h"

namespace datapunk::mesh::proxy {

class Http2Tunnel final : public io::Stream, io::Ready {
  public:
    // `wants_write` is set when the session has something to write.
    Http2Tunnel(
        wire::http2::Session& session,
        wire::http2::H2Stream& stream,
        io::Loop& loop,
        io::Event& wants_write
    )
        : session_(session), stream_(stream), loop_(loop), wants_write_(wants_write) {}

    ~Http2Tunnel() override;

    void on_news();

    // The connection is lost, and the stream with it.
    void on_lost() { is_lost_ = true; }

    // Our end has gone out as far as the session is concerned, or never will.
    bool is_done() const noexcept { return is_gone() || (is_end_offered_ && stream_.is_taken()); }

    // --- io::Stream
    io::IoResult read_some(std::span<char> into) override;
    io::IoResult write_some(const iovec* pieces, std::size_t count) override;
    bool maybe_readable() override;
    void set_reader(io::IoWaiter* waiter) override;
    void set_writer(io::IoWaiter* waiter) override;
    void shutdown_write() override;
    void close() override;

    // What the peer sees is the owner's: it resets the stream.
    void reset() override { close(); }

    io::SocketAddress peer() const override { return {}; }

    io::SocketAddress local() const override { return {}; }

    io::Loop& loop() override { return loop_; }

  private:
    bool is_gone() const noexcept { return is_closed_ || is_lost_ || stream_.is_reset(); }

    int failure() const noexcept;
    void offer_end();
    void run() override { on_news(); }

    wire::http2::Session& session_;
    wire::http2::H2Stream& stream_;
    io::Loop& loop_;
    io::Event& wants_write_;
    io::IoWaiter* reader_ = nullptr;
    io::IoWaiter* writer_ = nullptr;
    std::string_view arrived_;  // taken of the stream and not yet read
    std::size_t held_ = 0;      // bytes of it to be acknowledged
    std::string writing_;
    bool wants_end_ = false;
    bool is_end_offered_ = false;
    bool is_closed_ = false;
    bool is_lost_ = false;
};

}  // namespace datapunk::mesh::proxy
