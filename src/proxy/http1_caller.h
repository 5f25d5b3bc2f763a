#pragma once

// Http1Caller: the Caller that is the current request of an HTTP/1.1 connection. Lives in the
// connection's frame, as long as the exchange. The stream has one reader at a time: the body's,
// else the ClientWatch.

#include "io/loop.h"
#include "proxy/caller.h"
#include "proxy/client_watch.h"
#include "proxy/exchange_buffers.h"
#include "proxy/heads.h"

namespace datapunk::mesh::proxy {

class Http1Caller final : public Caller {
  public:
    Http1Caller(http::MessageReader& reader, ExchangeBuffers& buffers)
        : reader_(reader), buffers_(buffers), request_(buffers.request) {}

    bool body_done() const noexcept override { return reader_.body_done(); }

    Result<std::optional<http::Piece>> buffered_piece() override {
        return reader_.buffered_piece();
    }

    io::Task<Result<http::Piece>> next_piece(Instant deadline) override {
        return reader_.next_piece(deadline);
    }

    std::vector<wire::http1::Field> trailers() const override { return reader_.trailers(); }

    io::Task<Result<>> ask_for_body(Instant deadline) override;

    void watch(Gone gone) override;

    void unwatch() noexcept override { watch_.reset(); }

    io::Task<Result<>> send_interim(const wire::http1::ResponseHead& interim, Instant deadline)
        override;
    bool begin_answer(
        const wire::http1::ResponseHead& answer, std::string_view date, bool keep_alive
    ) override;
    io::Task<Result<>> flush(Instant deadline) override;
    io::Task<Result<>> send_piece(http::Piece piece, Trailers trailers, Instant deadline) override;
    io::Task<Result<>> reply(OwnAnswer answer, Instant deadline) override;

    io::Task<Result<>> switch_protocols(const wire::http1::ResponseHead& answer, Instant deadline)
        override;

    TunnelSide tunnel() override { return {.stream = &stream(), .early = reader_.take_rest()}; }

    io::Task<void> finish_tunnel(Instant /*deadline*/) override { co_return; }

    void reset() override { stream().reset(); }

  private:
    io::Stream& stream() noexcept { return reader_.input().stream(); }

    http::MessageReader& reader_;
    ExchangeBuffers& buffers_;
    const wire::http1::RequestHead& request_;
    DownstreamFraming framing_ = DownstreamFraming::none;
    std::optional<ClientWatch> watch_;
};

}  // namespace datapunk::mesh::proxy
