#include "proxy/http2_link.h"

#include <fmt/format.h>

#include <utility>

#include "http/input.h"
#include "proxy/heads.h"
#include "proxy/websocket.h"

namespace datapunk::mesh::proxy {

using http::HeadRead;
using http::Piece;
using wire::http1::Reject;
using wire::http2::H2Error;
using wire::http2::H2Stream;
using wire::http2::Session;

namespace {

wire::http2::SessionLimits limits_of(const Http2LinkConfig& config) {
    wire::http2::SessionLimits limits;
    limits.head.bytes_max = config.head_bytes_max;
    // Callers share the connection: some that do not read theirs must not use up everybody's.
    limits.connection_window = limits.streams_max * limits.stream_window;
    return limits;
}

}  // namespace

Http2Link::Http2Link(
    io::StreamPtr stream, ConnectionSlot slot, const Http2LinkConfig& config, bool is_secure
)
    : slot_(std::move(slot)),
      stream_(std::move(stream)),
      config_(config),
      is_secure_(is_secure),
      session_(Session::Role::client, limits_of(config), stream_->loop().now()),
      wants_write_(stream_->loop()),
      idle_since_(stream_->loop().now()),
      busy_since_(stream_->loop().now()),
      heard_at_(stream_->loop().now()),
      settled_(stream_->loop()) {
    tasks_.spawn(write_loop());
    tasks_.spawn(read_loop());
}

void Http2Link::close() {
    is_over_ = true;
    settled_.set();
    stream_->close();
}

void Http2Link::join(Http2Upstream& user) {
    if (users_.empty()) busy_since_ = loop().now();
    users_.push_back(user);
    ++unsent_;
}

void Http2Link::leave() noexcept {
    schedule_write();
    if (!users_.empty()) return;
    idle_since_ = loop().now();
    if (session_.is_going()) close();
}

// Nothing comes or goes any more.
void Http2Link::end() {
    is_over_ = true;
    settled_.set();
    users_.for_each([](Http2Upstream& user) { user.on_lost(); });
    stream_->close();
}

void Http2Link::digest() {
    while (H2Stream* const stream = session_.next_changed()) {
        if (stream->owner != nullptr) static_cast<Http2Upstream*>(stream->owner)->on_news();
    }
}

io::Task<void> Http2Link::read_loop() {
    Instant deadline;  // of the sign of life, once it was asked for
    bool was_asked = false;
    for (;;) {
        if (!was_asked) {
            const Instant since = is_idle() ? loop().now() : std::max(heard_at_, busy_since_);
            deadline = std::max(
                since + std::min(config_.ping_after, config_.idle_timeout),
                loop().now() + std::chrono::milliseconds(1)
            );
        }
        // Read first: a full block may have been all there was, and asking would be another call.
        http::Block block(http::kWideBlockBytes);
        const io::IoResult got = stream_->read_some({block.data(), block.size()});
        if (got.state == io::IoResult::State::would_block) {
            block.reset();
            auto ready = co_await stream_->readable(deadline);
            if (ready) continue;
            const bool is_silent = ready.error().code == Code::timeout;
            if (!is_silent || is_over_ || was_asked) break;
            const Instant now = loop().now();
            if (is_idle()) {
                if (now >= idle_since_ + config_.idle_timeout) break;
            } else if (now >= std::max(heard_at_, busy_since_) + config_.ping_after) {
                was_asked = true;
                deadline = now + config_.ping_timeout;
                session_.ping();
                schedule_write();
            }
            continue;
        }
        if (got.state == io::IoResult::State::failed || got.bytes == 0) break;
        heard_at_ = loop().now();
        was_asked = false;
        const bool had_settings = session_.has_settings();
        const bool goes_on = session_.feed({block.data(), got.bytes}, loop().now());
        if (session_.has_settings() != had_settings) {
            users_.for_each([](Http2Upstream& user) { user.on_news(); });
            settled_.set();
        }
        digest();
        schedule_write();
        // After its last stream an endpoint that said goodbye may be left.
        if (!goes_on || (session_.is_going() && is_idle())) break;
    }
    end();
}

io::Task<void> Http2Link::write_loop() {
    for (;;) {
        wants_write_.clear();
        session_.pull();
        digest();
        std::swap(writing_, session_.output());
        if (writing_.empty()) {
            co_await wants_write_.wait(kNever);
            continue;
        }
        const io::Slices slices(writing_);
        auto written = co_await stream_->write(slices, loop().now() + config_.write_timeout);
        if (!written) {
            end();
            co_return;
        }
        writing_.clear();
    }
}

Http2Upstream::Http2Upstream(std::shared_ptr<Http2Link> link)
    : link_(std::move(link)), news_(link_->loop()) {
    link_->join(*this);
}

Http2Upstream::~Http2Upstream() {
    if (stream_ != nullptr) link_->session().release(*stream_, H2Error::cancel);
    if (is_unsent_) link_->forget_unsent();
    unlink();
    link_->leave();
}

void Http2Upstream::on_news() {
    news_.set();
    if (tunnel_) tunnel_->on_news();
}

void Http2Upstream::on_lost() {
    is_lost_ = true;
    if (tunnel_) tunnel_->on_lost();
    on_news();
}

void Http2Upstream::close() {
    is_closed_ = true;
    if (tunnel_) tunnel_->close();
    news_.set();
}

// An extended CONNECT may be asked for when the endpoint has said so, and not before (RFC 8441 3).
io::Task<void> Http2Upstream::learn_settings(Instant deadline) {
    while (!link_->session().has_settings() && !is_gone()) {
        news_.clear();
        const bool in_time = co_await news_.wait(deadline);
        if (!in_time) co_return;
    }
}

bool Http2Upstream::is_silent() const noexcept {
    return stream_ == nullptr || (!stream_->has_head() && stream_->interim().empty());
}

bool Http2Upstream::was_refused() const noexcept {
    constexpr auto kRefused = static_cast<std::uint32_t>(H2Error::refused_stream);
    return is_refused_ ||
           (stream_ != nullptr && stream_->is_closed() && stream_->error() == kRefused);
}

Error Http2Upstream::gone() const {
    std::string what = "the exchange was given up";
    if (is_lost_) {
        what = "the endpoint's connection was lost";
    } else if (!is_closed_) {
        what = fmt::format("the endpoint reset the stream (code {})", stream_->error());
    }
    return {.code = Code::unavailable, .what = std::move(what), .source = Source::upstream};
}

void Http2Upstream::begin_stream(bool has_body) {
    if (std::exchange(is_unsent_, false)) link_->forget_unsent();
    if (!is_gone()) stream_ = link_->session().request(buffers_->fields, has_body);
}

io::Task<Result<>> Http2Upstream::send_request(UpstreamRequest request, Instant deadline) {
    buffers_ = &request.buffers;
    UpstreamHead how = request.how;
    how.is_secure = link_->is_secure();
    if (!how.upgrade.empty()) {
        co_await learn_settings(deadline);
        // Who takes none sees a request without Upgrade, and may answer it.
        if (!link_->session().takes_extended_connect()) how.upgrade = {};
        protocol_ = how.upgrade;
        how.left_out = kWebSocketKey;
    }
    fill_upstream_head(buffers_->fields, request.head, how);
    fill_trailers(buffers_->request_trailers, request.trailers);
    const bool has_body =
        !request.whole || !request.body.empty() || !request.trailers.empty() || !protocol_.empty();
    begin_stream(has_body);
    if (stream_ == nullptr) {
        is_refused_ = true;
        co_return Error{
            .code = Code::unavailable,
            .what = "the endpoint's connection takes no more streams",
            .source = Source::upstream,
            .retryable = true
        };
    }
    stream_->owner = this;
    link_->schedule_write();
    if (!protocol_.empty()) co_return Ok{};
    if (!has_body || (request.body.empty() && !request.whole)) co_return Ok{};
    auto sent = co_await send(request.body, request.whole, !request.trailers.empty(), deadline);
    co_return std::move(sent);
}

io::Task<Result<>> Http2Upstream::send_piece(Piece piece, Trailers trailers, Instant deadline) {
    fill_trailers(buffers_->request_trailers, trailers);
    return send(piece.bytes, piece.last, !trailers.empty(), deadline);
}

io::Task<Result<>> Http2Upstream::send(
    std::string_view bytes, bool last, bool with_trailers, Instant deadline
) {
    if (is_gone()) co_return gone();
    Session& session = link_->session();
    session.offer(*stream_, bytes, last, with_trailers ? &buffers_->request_trailers : nullptr);
    session.pull();
    link_->schedule_write();
    while (!stream_->is_taken()) {
        news_.clear();
        const bool in_time = co_await news_.wait(deadline);
        if (is_gone()) co_return gone();
        if (!in_time)
            co_return Error{
                .code = Code::timeout,
                .what = "the endpoint takes the request too slowly",
                .source = Source::upstream
            };
    }
    co_return Ok{};
}

io::Task<HeadRead> Http2Upstream::read_answer(
    wire::http1::ResponseHead& head, wire::http1::Method asked, Instant deadline
) {
    for (;;) {
        news_.clear();
        if (stream_ != nullptr && !stream_->interim().empty()) {
            interim_ = std::move(stream_->interim().front());
            stream_->interim().erase(stream_->interim().begin());
            why_ = interim_.to_response(head, asked, true);
            co_return why_ == Reject::none ? HeadRead::done : HeadRead::rejected;
        }
        // An answer that was whole before its stream was reset is an answer.
        const bool has_answer = stream_ != nullptr && stream_->has_head() && !is_closed_;
        if (has_answer && (!is_gone() || stream_->has_ended())) {
            why_ = stream_->head().to_response(head, asked, stream_->ended_with_head());
            if (why_ != Reject::none) co_return HeadRead::rejected;
            if (!protocol_.empty() && head.status < 300) {
                // As an endpoint of HTTP/1.1 says it.
                head.status = 101;
                head.upgrade = protocol_;
                head.has_upgrade = true;
                head.framing = wire::http1::Framing::none;
                tunnel_.emplace(link_->session(), *stream_, link_->loop(), link_->wants_write());
            }
            if (stream_->ended_with_head()) body_.set_done();
            co_return HeadRead::done;
        }
        if (is_gone() || stream_ == nullptr) {
            error_ = stream_ == nullptr
                         ? Error{.code = Code::unavailable, .what = "no stream was to be had"}
                         : gone();
            co_return HeadRead::failed;
        }
        const bool in_time = co_await news_.wait(deadline);
        if (!in_time) {
            error_ = {
                .code = Code::timeout, .what = "no answer in time", .source = Source::upstream
            };
            co_return HeadRead::failed;
        }
    }
}

io::Task<void> Http2Upstream::finish_tunnel(Instant deadline) {
    while (!tunnel_->is_done()) {
        news_.clear();
        const bool in_time = co_await news_.wait(deadline);
        if (!in_time || is_gone()) co_return;
    }
}

Result<std::optional<Piece>> Http2Upstream::buffered_piece() {
    if (body_.acknowledge(link_->session(), *stream_)) link_->schedule_write();
    const bool is_cut = is_closed_ || (is_gone() && !stream_->has_ended());
    if (is_cut) return gone();
    return body_.next(*stream_);
}

io::Task<Result<Piece>> Http2Upstream::next_piece(Instant deadline) {
    constexpr std::string_view kTooSlow = "the answer's body came too slowly";
    return wait_for_piece(*this, news_, deadline, kTooSlow, Source::upstream);
}

}  // namespace datapunk::mesh::proxy
