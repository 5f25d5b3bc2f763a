#include "proxy/http2_connection.h"

#include <fmt/format.h>

#include "http/date.h"
#include "http/input.h"
#include "proxy/exchange.h"

namespace datapunk::mesh::proxy {

using wire::http1::Reject;
using wire::http2::Abuse;
using wire::http2::H2Error;
using wire::http2::H2Stream;
using wire::http2::Session;

namespace {

// How long a caller may take to notice that no more streams are taken.
constexpr Duration kEndNoticeTime = std::chrono::seconds(1);
constexpr Duration kLastWordsTime = std::chrono::seconds(1);

wire::http2::SessionLimits limits_of(const ListenerConfig& config) {
    wire::http2::SessionLimits limits;
    limits.streams_max = config.streams_max;
    limits.head.bytes_max = config.head_bytes_max;
    limits.extended_connect = !config.upgrade.protocols.empty();
    return limits;
}

}  // namespace

Http2Connection::Http2Connection(
    Proxy& proxy, ListenerState& listener, io::Stream& stream, const ConnectionInfo& from
)
    : proxy_(proxy),
      listener_(listener),
      stream_(stream),
      from_(from),
      session_(Session::Role::server, limits_of(listener.config), proxy.loop().now()),
      wants_write_(proxy.loop()),
      end_seen_(proxy.loop()),
      quiet_(proxy.loop()),
      idle_since_(proxy.loop().now()) {
    quiet_.set();
}

io::Task<bool> Http2Connection::run(std::string_view first) {
    tasks_.spawn(write_loop());
    co_await read_loop(first);
    // Nobody waits for these any more; they notice it and end.
    callers_.for_each([](Http2Caller& caller) { caller.on_lost(); });
    while (!is_idle()) co_await quiet_.wait(kNever);
    tasks_.cancel();
    const Abuse abuse = session_.abuse();
    if (abuse != Abuse::none) proxy_.count_bad_request(listener_, to_string(abuse));
    if (is_broken_ || !is_ended_here_) co_return false;
    session_.pull();
    // What the writer had in hand, and the goodbye.
    if (!writing_.empty()) co_return false;
    const io::Slices last_words(session_.output());
    if (last_words.empty()) co_return true;
    auto written = co_await stream_.write(last_words, loop().now() + kLastWordsTime);
    const bool was_sent = static_cast<bool>(written);
    co_return was_sent;
}

// A connection without an exchange may be silent for idle_timeout, however many pings it sends; a
// head that has begun must be whole within head_timeout.
Instant Http2Connection::read_deadline() const noexcept {
    if (was_midway_) return head_began_ + listener_.config.head_timeout;
    const Instant since = is_idle() ? idle_since_ : proxy_.loop().now();
    return since + listener_.config.idle_timeout;
}

io::Task<void> Http2Connection::read_loop(std::string_view first) {
    if (!take(first)) co_return;
    for (;;) {
        const Instant deadline = read_deadline();
        // Read first: a full block may have been all there was, and asking would be another call.
        http::Block block(http::kWideBlockBytes);
        const io::IoResult got = stream_.read_some({block.data(), block.size()});
        if (got.state == io::IoResult::State::would_block) {
            block.reset();
            auto ready = co_await stream_.readable(deadline);
            if (ready) continue;
            const bool goes_on = ready.error().code == Code::timeout && !was_midway_ && !is_idle();
            if (goes_on) continue;
            if (was_midway_)
                proxy_.count_bad_request(listener_, to_string(ReplyReason::request_timeout));
            if (!is_broken_ && ready.error().code == Code::timeout) {
                session_.end();
                is_ended_here_ = true;
            }
            co_return;
        }
        if (got.state == io::IoResult::State::failed || got.bytes == 0) co_return;
        if (!take({block.data(), got.bytes})) co_return;
    }
}

// Whether the connection goes on.
bool Http2Connection::take(std::string_view bytes) {
    const bool goes_on = session_.feed(bytes, loop().now());
    is_ended_here_ = !goes_on;
    const bool is_midway = session_.is_midway();
    if (is_midway && !was_midway_) head_began_ = loop().now();
    was_midway_ = is_midway;
    if (session_.end_was_seen()) end_seen_.set();
    digest();
    schedule_write();
    return goes_on;
}

void Http2Connection::digest() {
    while (malformed_counted_ < session_.malformed()) {
        ++malformed_counted_;
        proxy_.count_bad_request(listener_, "h2_malformed");
    }
    while (H2Stream* const stream = session_.next_changed()) {
        if (stream->owner != nullptr) {
            static_cast<Http2Caller*>(stream->owner)->on_news();
        } else if (stream->is_closed() || is_ended_here_) {  // before anything was done for it
            session_.release(*stream, H2Error::refused_stream);
        } else {
            quiet_.clear();
            exchanges_.spawn(serve(*stream));
        }
    }
}

io::Task<void> Http2Connection::serve(H2Stream& stream) {
    {
        BufferShelf::Lease buffers(proxy_.shelf());
        Http2Caller caller(*this, stream, *buffers);
        callers_.push_back(caller);
        buffers->from = &from_;
        const Reject why = stream.head().to_request(buffers->request, stream.ended_with_head());
        if (why == Reject::none) {
            Exchange exchange(proxy_, listener_, caller, *buffers);
            co_await exchange.run();
        } else {
            proxy_.count_bad_request(listener_, to_string(why));
            const std::string text =
                fmt::format("the request is not acceptable HTTP/2: {}", to_string(why));
            const OwnAnswer answer{
                .status = http_status(why),
                .reason = ReplyReason::malformed_request,
                .explanation = text,
                .date = http::http_date(loop().wall_now())
            };
            auto sent = co_await caller.reply(answer, loop().now() + listener_.config.body_timeout);
        }
    }
    idle_since_ = loop().now();
    // This one is still in the group.
    if (exchanges_.size() == 1) quiet_.set();
}

// One write takes what all exchanges have added in this turn.
io::Task<void> Http2Connection::write_loop() {
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
        auto written = co_await stream_.write(slices, loop().now() + listener_.config.body_timeout);
        if (!written) {
            is_broken_ = true;
            if (written.error().code == Code::timeout)
                proxy_.count_bad_request(listener_, "h2_slow_reader");
            stream_.close();  // ends the reader
            co_return;
        }
        writing_.clear();
    }
}

void Http2Connection::drain() {
    if (std::exchange(is_leaving_, true)) return;
    tasks_.spawn(leave());
}

io::Task<void> Http2Connection::leave() {
    session_.announce_end();
    schedule_write();
    co_await end_seen_.wait(loop().now() + kEndNoticeTime);
    session_.end();
    schedule_write();
    while (!is_idle()) co_await quiet_.wait(kNever);
    // The last answers are written at the end of this turn, or when the socket takes them.
    while (!is_broken_ && (!session_.output().empty() || !writing_.empty() || wants_write_.is_set())
    )
        co_await io::sleep_for(loop(), std::chrono::milliseconds(1));
    stream_.close();
}

}  // namespace datapunk::mesh::proxy
