#include "proxy/grpc_web.h"

#include <utility>

#include "core/strings.h"
#include "proxy/heads.h"
#include "wire/grpc/call.h"
#include "wire/http1/hop_by_hop.h"

namespace datapunk::mesh::proxy {

using http::Piece;
using wire::http1::Field;
using wire::http1::Framing;
using wire::http1::Header;

namespace {

constexpr std::string_view kGrpc = "application/grpc";

std::string_view web_name(bool is_text) noexcept {
    return is_text ? "application/grpc-web-text" : "application/grpc-web";
}

void set_type(std::vector<Field>& fields, std::string_view type) {
    for (Field& field : fields) {
        if (field.id == Header::content_type) field.value = type;
    }
}

}  // namespace

std::unique_ptr<GrpcWebCaller> GrpcWebCaller::around(Caller& inner, ExchangeBuffers& buffers) {
    wire::http1::RequestHead& request = buffers.request;
    if (request.method != wire::http1::Method::post) return nullptr;
    const auto type = wire::grpc::web_type(request.value(Header::content_type));
    if (!type) return nullptr;
    return std::unique_ptr<GrpcWebCaller>(new GrpcWebCaller(inner, request, *type));
}

GrpcWebCaller::GrpcWebCaller(
    Caller& inner, wire::http1::RequestHead& request, const wire::grpc::WebType& type
)
    : inner_(inner),
      is_text_(type.is_text),
      wants_text_(wire::grpc::wants_text(request.value(Header::accept), type)),
      request_type_(kGrpc) {
    request_type_ += type.rest;
    // What an answer of ours is of; an endpoint's says its own.
    answer_type_ = web_name(wants_text_);
    answer_type_ += type.rest;
    set_type(request.fields, request_type_);
    if (!wire::http1::accepts_trailers(request.fields))
        request.fields.push_back({.name = "te", .value = "trailers", .id = Header::te});
    if (!is_text_ || request.framing == Framing::none) return;
    request.framing = Framing::chunked;  // nobody knows its length as yet
    request.has_content_length = false;
    request.content_length = 0;
}

Result<Piece> GrpcWebCaller::decoded(Piece piece) {
    request_bytes_.clear();
    const bool is_good = base64_.decode(piece.bytes, request_bytes_);
    if (!is_good || (piece.last && !base64_.is_whole()))
        return Error{
            .code = Code::invalid,
            .what = "the request's body is not base64",
            .source = Source::downstream
        };
    return Piece{.bytes = request_bytes_, .last = piece.last};
}

// A piece that is less than a group of base64 is none yet.
Result<std::optional<Piece>> GrpcWebCaller::buffered_piece() {
    for (;;) {
        auto piece = inner_.buffered_piece();
        if (!is_text_ || !piece || !piece->has_value()) return piece;
        auto out = decoded(**piece);
        if (!out) return std::move(out).error();
        if (out->last || !out->bytes.empty()) return std::optional<Piece>(*out);
    }
}

io::Task<Result<Piece>> GrpcWebCaller::next_piece(Instant deadline) {
    for (;;) {
        auto piece = co_await inner_.next_piece(deadline);
        if (!is_text_ || !piece) co_return std::move(piece);
        auto out = decoded(*piece);
        if (!out || out->last || !out->bytes.empty()) co_return std::move(out);
    }
}

bool GrpcWebCaller::begin_answer(
    const wire::http1::ResponseHead& answer, std::string_view date, bool keep_alive
) {
    const std::string_view type = answer.value(Header::content_type);
    translates_ = answer.status == 200 && wire::grpc::is_content_type(type);
    if (!translates_) return inner_.begin_answer(answer, date, keep_alive);
    has_status_ = wire::grpc::status_of(answer.fields).has_value();
    answer_type_ = web_name(wants_text_);
    answer_type_ += type.substr(kGrpc.size());
    head_ = answer;
    set_type(head_.fields, answer_type_);
    head_.framing = Framing::chunked;
    head_.has_content_length = false;
    return inner_.begin_answer(head_, date, keep_alive);
}

io::Task<Result<>> GrpcWebCaller::send_piece(Piece piece, Trailers trailers, Instant deadline) {
    if (!translates_) {
        auto sent = co_await inner_.send_piece(piece, trailers, deadline);
        co_return std::move(sent);
    }
    std::string frame;
    if (piece.last && (!trailers.empty() || !has_status_)) {
        std::vector<Field> passed;
        for (const Field& field : trailers) {
            if (!is_identity_field(field.name)) passed.push_back(field);
        }
        wire::grpc::append_trailer_frame(frame, passed);
    }
    if (wants_text_) {
        answer_bytes_ = core::base64_encode(piece.bytes);
        answer_bytes_ += core::base64_encode(frame);
        piece.bytes = answer_bytes_;
    } else if (!frame.empty()) {
        answer_bytes_.assign(piece.bytes);
        answer_bytes_ += frame;
        piece.bytes = answer_bytes_;
    }
    const Trailers none;
    auto sent = co_await inner_.send_piece(piece, none, deadline);
    co_return std::move(sent);
}

// What gRPC says in trailers that follow nothing is said in the head, as the protocol allows.
io::Task<Result<>> GrpcWebCaller::reply(OwnAnswer answer, Instant deadline) {
    const auto status = answer.grpc_status.value_or(wire::grpc::of_http(answer.status));
    const std::string code = std::to_string(static_cast<unsigned>(status));
    std::string message;
    wire::grpc::append_message(message, answer.explanation);
    std::vector<Field> fields;
    if (answer.to_grpc) {
        for (const Field& field : answer.fields) {
            if (field.id != Header::content_type) fields.push_back(field);
        }
        fields.push_back({.name = "grpc-status", .value = code, .id = Header::grpc_status});
        fields.push_back({.name = "grpc-message", .value = message});
        answer.status = 200;
        answer.explanation = {};
        answer.is_line = false;
        answer.content_type = answer_type_;
        answer.fields = fields;
        answer.to_grpc = false;
    }
    auto sent = co_await inner_.reply(answer, deadline);
    co_return std::move(sent);
}

}  // namespace datapunk::mesh::proxy
