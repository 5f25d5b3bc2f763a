#pragma once

// GrpcWebCaller: a Caller that speaks gRPC-Web, as an exchange sees it: as one that speaks gRPC.
// The request's content type becomes gRPC's, a body in base64 what it stands for; the trailers of
// the answer become a frame behind its messages. Nothing is held back: a piece goes on as it comes.
// Lives in its exchange, around the Caller of the connection or stream; one loop's object.

#include <memory>
#include <string>
#include <vector>

#include "proxy/caller.h"
#include "proxy/exchange_buffers.h"
#include "wire/grpc/web.h"

namespace datapunk::mesh::proxy {

class GrpcWebCaller final : public Caller {
  public:
    // If the request in `buffers`, which is changed then, is one of gRPC-Web; else nullptr.
    static std::unique_ptr<GrpcWebCaller> around(Caller& inner, ExchangeBuffers& buffers);

    bool body_done() const noexcept override { return inner_.body_done(); }

    Result<std::optional<http::Piece>> buffered_piece() override;
    io::Task<Result<http::Piece>> next_piece(Instant deadline) override;

    std::vector<wire::http1::Field> trailers() const override { return inner_.trailers(); }

    io::Task<Result<>> ask_for_body(Instant deadline) override {
        return inner_.ask_for_body(deadline);
    }

    void watch(Gone gone) override { inner_.watch(std::move(gone)); }

    void unwatch() noexcept override { inner_.unwatch(); }

    io::Task<Result<>> send_interim(const wire::http1::ResponseHead& interim, Instant deadline)
        override {
        return inner_.send_interim(interim, deadline);
    }

    bool begin_answer(
        const wire::http1::ResponseHead& answer, std::string_view date, bool keep_alive
    ) override;

    io::Task<Result<>> flush(Instant deadline) override { return inner_.flush(deadline); }

    io::Task<Result<>> send_piece(http::Piece piece, Trailers trailers, Instant deadline) override;
    io::Task<Result<>> reply(OwnAnswer answer, Instant deadline) override;

    io::Task<Result<>> switch_protocols(const wire::http1::ResponseHead& answer, Instant deadline)
        override {
        return inner_.switch_protocols(answer, deadline);
    }

    TunnelSide tunnel() override { return inner_.tunnel(); }

    io::Task<void> finish_tunnel(Instant deadline) override {
        return inner_.finish_tunnel(deadline);
    }

    void reset() override { inner_.reset(); }

  private:
    GrpcWebCaller(
        Caller& inner, wire::http1::RequestHead& request, const wire::grpc::WebType& type
    );

    Result<http::Piece> decoded(http::Piece piece);

    Caller& inner_;
    const bool is_text_;       // the request
    const bool wants_text_;    // in the answer
    bool translates_ = true;   // the answer is one of gRPC
    bool has_status_ = false;  // in its head: there are no trailers to come
    wire::grpc::Base64Stream base64_;
    std::string request_type_;
    std::string answer_type_;
    std::string request_bytes_;  // of the piece that is held
    std::string answer_bytes_;
    wire::http1::ResponseHead head_;
};

}  // namespace datapunk::mesh::proxy
