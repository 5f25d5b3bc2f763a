// What an exchange does for gRPC: its deadline is the caller's, its outcome stands in the trailers,
// and what an endpoint has refused may be tried elsewhere although the call is a POST.

#include "metrics/names.h"
#include "proxy/exchange.h"
#include "proxy/proxy.h"

namespace datapunk::mesh::proxy {

using resilience::Outcome;
using wire::grpc::GrpcStatus;
using wire::http1::Header;

void Exchange::read_grpc_request() {
    const bool has_trailers = request_.major_version == 2 || web_ != nullptr;
    is_grpc_ = has_trailers && request_.method == wire::http1::Method::post &&
               wire::grpc::is_content_type(request_.value(Header::content_type));
}

void Exchange::judge_grpc(AttemptResult& result, GrpcStatus status) const {
    result.outcome = wire::grpc::is_failure(status) ? Outcome::server_error : Outcome::success;
    const GrpcRetryOn wanted = retry_in_force()->on_grpc;
    if (wanted == GrpcRetryOn::none || status == GrpcStatus::ok) return;
    result.verdict = has(wanted, static_cast<GrpcRetryOn>(1U << static_cast<unsigned>(status)));
}

// A status that follows the head without a message between can still be acted on. Waits for the
// first message, or that: only where the policy wants to know.
io::Task<Exchange::AttemptResult> Exchange::peek_trailers(AttemptResult result) {
    const bool is_wanted = result.has_answer && is_grpc_ && !upstream_->body_done() &&
                           retry_in_force()->on_grpc != GrpcRetryOn::none;
    if (!is_wanted) co_return result;
    auto piece = co_await upstream_->next_piece(attempt_deadline_);
    if (!piece) co_return failure(piece.error());
    peeked_ = *piece;
    if (!piece->last || !piece->bytes.empty()) co_return result;
    const auto trailers = upstream_->trailers();
    if (const auto status = wire::grpc::status_of(trailers)) judge_grpc(result, *status);
    co_return result;
}

// Methods that the endpoints do not know are counted together: their names are the caller's.
void Exchange::count_grpc() {
    if (!is_grpc_ || service_ == nullptr) return;
    const GrpcStatus status =
        grpc_status_.value_or(status_ == 0 ? GrpcStatus::unknown : wire::grpc::of_http(status_));
    const bool is_known = grpc_status_.has_value() && status != GrpcStatus::unimplemented;
    proxy_.count_grpc(
        *service_,
        is_known ? request_.path.substr(0, request_.path.find('?')) : std::string_view("-"),
        to_string(status)
    );
}

}  // namespace datapunk::mesh::proxy
