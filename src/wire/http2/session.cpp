#include "wire/http2/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/assert.h"
#include "core/block_pool.h"
#include "core/kept.h"
#include "wire/http2/memory.h"
#include "wire/http2/session_callbacks.h"

namespace datapunk::mesh::wire::http2 {

namespace {

// Streams that may be reset before they were answered: so many at once, and per second. Every
// answered stream earns one more, so that busy connections may cancel as much as they like.
constexpr double kResetsMax = 200;
constexpr double kResetsPerSecond = 20;
// Frames that carry nothing: pings, settings, priorities, window updates, empty data.
constexpr double kFramesMax = 2'000;
constexpr double kFramesPerSecond = 100;
constexpr std::size_t kContinuationsMax = 8;
constexpr std::size_t kPrefaceBytes = 24;
constexpr std::size_t kUnreadAcksMax = 100;
// Streams that a thread keeps for the next ones, ~1 KB each. Of all its sessions: an idle one holds
// none.
constexpr std::size_t kShelfMax = 256;
constexpr std::size_t kBytesKept = 4UL * 1024;  // of a kept stream's buffers

constexpr std::array<std::uint8_t, 8> kLifePing = {'l', 'i', 'f', 'e', 0, 0, 0, 0};

std::string_view text(const std::uint8_t* bytes, std::size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
}

template <class T, void (*destroy)(T*)>
struct Deleter {
    void operator()(T* thing) const noexcept { destroy(thing); }
};

using OptionPtr = std::unique_ptr<nghttp2_option, Deleter<nghttp2_option, &nghttp2_option_del>>;

core::Kept<std::unique_ptr<H2Stream>>& thread_shelf() {
    thread_local core::Kept<std::unique_ptr<H2Stream>> shelf(kShelfMax);
    return shelf;
}

void shrink(std::string& buffer) {
    if (buffer.capacity() > kBytesKept) {
        buffer = {};
    } else {
        buffer.clear();
    }
}

}  // namespace

std::string_view to_string(Abuse abuse) noexcept {
    switch (abuse) {
        case Abuse::none:
            return "none";
        case Abuse::protocol_error:
            return "h2_protocol_error";
        case Abuse::frame_on_closed:
            return "h2_frame_on_closed";
        case Abuse::reset_flood:
            return "h2_reset_flood";
        case Abuse::frame_flood:
            return "h2_frame_flood";
        case Abuse::head_too_large:
            return "h2_head_too_large";
        case Abuse::ack_flood:
            return "h2_ack_flood";
    }
    return "unknown";
}

std::string_view H2Stream::take_data() {
    taken_.clear();
    std::swap(taken_, arriving_);
    return taken_;
}

Session::Session(Role role, const SessionLimits& limits, Instant now)
    : role_(role),
      limits_(limits),
      pairs_(std::make_unique<SessionPairs>()),
      frame_rest_(role == Role::server ? kPrefaceBytes : 0),
      fed_at_(now),
      resets_{.left = kResetsMax, .max = kResetsMax, .per_second = kResetsPerSecond},
      frames_{.left = kFramesMax, .max = kFramesMax, .per_second = kFramesPerSecond} {
    nghttp2_option* made = nullptr;
    MESH_ASSERT(nghttp2_option_new(&made) == 0);
    const OptionPtr options(made);
    nghttp2_option_set_no_auto_window_update(options.get(), 1);
    nghttp2_option_set_no_closed_streams(options.get(), 1);
    nghttp2_option_set_max_outbound_ack(options.get(), kUnreadAcksMax);
    nghttp2_option_set_max_continuations(options.get(), kContinuationsMax);
    nghttp2_option_set_peer_max_concurrent_streams(options.get(), limits.streams_max);
    // Ours is stricter and says why.
    nghttp2_option_set_stream_reset_rate_limit(options.get(), 1'000'000, 1'000'000);
    const CallbacksPtr callbacks = SessionCallbacks::make();
    nghttp2_mem* const memory = session_memory();
    const int rv =
        role == Role::server
            ? nghttp2_session_server_new3(&session_, callbacks.get(), this, options.get(), memory)
            : nghttp2_session_client_new3(&session_, callbacks.get(), this, options.get(), memory);
    MESH_ASSERT(rv == 0);
    std::vector<nghttp2_settings_entry> settings = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits.head.bytes_max)},
    };
    if (role == Role::server) {
        settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.streams_max});
        settings.push_back({NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1});
        if (limits.extended_connect)
            settings.push_back({NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1});
    } else {
        settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
        settings.push_back({NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0});
    }
    MESH_ASSERT(
        nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0
    );
    MESH_ASSERT(
        nghttp2_session_set_local_window_size(
            session_, NGHTTP2_FLAG_NONE, 0, static_cast<std::int32_t>(limits.connection_window)
        ) == 0
    );
}

Session::~Session() {
    nghttp2_session_del(session_);
    for (H2Stream* const stream : all_) delete stream;
}

H2Stream& Session::make_stream(std::int32_t id) {
    auto& shelf = thread_shelf();
    std::unique_ptr<H2Stream> stream = shelf.empty() ? std::make_unique<H2Stream>() : shelf.take();
    stream->id_ = id;
    stream->place_ = all_.size();
    all_.push_back(stream.get());
    return *stream.release();
}

void Session::note(H2Stream& stream) noexcept {
    if (!stream.is_linked()) changed_.push_back(stream);
}

H2Stream* Session::next_changed() noexcept {
    while (!changed_.empty()) {
        H2Stream& stream = changed_.front();
        stream.unlink();
        // A server's stream whose head never became whole is nobody's.
        if (stream.owner == nullptr && stream.is_closed_ && !stream.has_head_) {
            release(stream, H2Error::no_error);
            continue;
        }
        if (stream.owner == nullptr && !stream.has_head_) continue;
        return &stream;
    }
    return nullptr;
}

void Session::stop(Abuse abuse, H2Error code, std::string_view why) {
    if (abuse_ != Abuse::none) return;
    abuse_ = abuse;
    problem_ = why;
    nghttp2_session_terminate_session(session_, static_cast<std::uint32_t>(code));
}

bool Session::is_abusive_frame(
    std::int32_t stream, std::uint8_t type, std::size_t length, std::uint8_t flags
) {
    switch (type) {
        case NGHTTP2_HEADERS:
            frames_.earn(kFramesEarned);
            return false;
        case NGHTTP2_DATA:
            if ((flags & NGHTTP2_FLAG_PADDED) != 0) {  // may be nothing but padding
                if (length > 256) return false;
                break;
            }
            if (length > 0 || (flags & NGHTTP2_FLAG_END_STREAM) != 0) {
                frames_.earn(kFramesEarned);
                return false;
            }
            break;
        case NGHTTP2_RST_STREAM: {
            const auto* const reset = SessionCallbacks::stream_of(session_, stream);
            const bool is_early =
                role_ == Role::server && (reset == nullptr || !reset->is_answered_);
            if (is_early && !resets_.spend()) {
                stop(Abuse::reset_flood, H2Error::enhance_your_calm, "too many streams reset");
                return true;
            }
            break;
        }
        case NGHTTP2_CONTINUATION:
            if (length > 0) return false;  // nghttp2 bounds them
            break;
        default:
            break;
    }
    if (frames_.spend()) return false;
    stop(Abuse::frame_flood, H2Error::enhance_your_calm, "too many frames that carry nothing");
    return true;
}

void Session::note_opened(std::int32_t stream) {
    const std::int32_t skipped = std::min<std::int32_t>((stream - last_opened_) / 2, kOpenedKept);
    for (std::int32_t i = 0; i < skipped; ++i)
        opened_.reset(static_cast<std::size_t>(stream / 2 - i) % kOpenedKept);
    opened_.set(static_cast<std::size_t>(stream / 2) % kOpenedKept);
    last_opened_ = stream;
}

// Whether the frame breaks the connection (RFC 9113 5.1, 5.1.1). A stream that was reset from here
// may still get what was on its way.
bool Session::is_on_closed(std::int32_t stream, std::uint8_t type) {
    const bool carries = type == NGHTTP2_HEADERS || type == NGHTTP2_DATA;
    if (role_ != Role::server || !carries || stream % 2 == 0) return false;
    if (stream > last_opened_) {
        if (type == NGHTTP2_HEADERS) note_opened(stream);
        return false;  // data on an idle stream: nghttp2 sees it
    }
    if (nghttp2_session_find_stream(session_, stream) != nullptr) return false;
    if (std::find(reset_here_.begin(), reset_here_.end(), stream) != reset_here_.end())
        return false;
    const bool was_opened = last_opened_ - stream >= static_cast<std::int32_t>(2 * kOpenedKept) ||
                            opened_.test(static_cast<std::size_t>(stream / 2) % kOpenedKept);
    stop(
        Abuse::frame_on_closed,
        was_opened ? H2Error::stream_closed : H2Error::protocol_error,
        fmt::format("a frame for stream {}, which is closed", stream)
    );
    return true;
}

bool Session::feed(std::string_view bytes, Instant now) {
    const double seconds = std::chrono::duration<double>(now - fed_at_).count();
    fed_at_ = now;
    resets_.refill(seconds);
    frames_.refill(seconds);
    // Every frame is looked at before nghttp2 sees it: what it ignores it does not tell of.
    std::size_t read_to = 0;
    std::size_t at = 0;
    while (at < bytes.size()) {
        if (frame_rest_ > 0) {
            const std::size_t skipped = std::min(frame_rest_, bytes.size() - at);
            if (!check_priority(bytes.substr(at, skipped))) return false;
            frame_rest_ -= skipped;
            at += skipped;
            continue;
        }
        const std::size_t begun_at = at;
        while (frame_head_have_ < frame_head_.size() && at < bytes.size())
            frame_head_[frame_head_have_++] = static_cast<unsigned char>(bytes[at++]);
        if (frame_head_have_ < frame_head_.size()) break;
        frame_head_have_ = 0;
        // What came before it decides what it means.
        if (!read(bytes.substr(read_to, begun_at - read_to)) || !check_frame()) return false;
        read_to = begun_at;
    }
    if (!read(bytes.substr(read_to))) return false;
    // What nghttp2 ends by itself is over when its GOAWAY stands in the output.
    pull();
    return nghttp2_session_want_read(session_) != 0;
}

// Of the frame that begins: whether it may.
bool Session::check_frame() {
    const auto byte = [this](std::size_t i) { return static_cast<std::uint32_t>(frame_head_[i]); };
    frame_rest_ = byte(0) << 16U | byte(1) << 8U | byte(2);
    const auto type = static_cast<std::uint8_t>(byte(3));
    const auto flags = static_cast<std::uint8_t>(byte(4));
    const auto stream = static_cast<std::int32_t>(
        (byte(5) & 0x7fU) << 24U | byte(6) << 16U | byte(7) << 8U | byte(8)
    );
    prioritised_ = type == NGHTTP2_PRIORITY ? stream : -1;
    depends_on_ = 0;
    dependency_have_ = 0;
    if (prioritised_ == 0) {
        stop(Abuse::protocol_error, H2Error::protocol_error, "a PRIORITY frame of no stream");
        return false;
    }
    return !is_on_closed(stream, type) && !is_abusive_frame(stream, type, frame_rest_, flags);
}

// nghttp2 leaves PRIORITY frames unread, since they mean nothing any more (RFC 9113 5.3.2); what
// was an error in them is one still.
bool Session::check_priority(std::string_view payload) {
    if (prioritised_ < 0) return true;
    for (const char c : payload) {
        if (dependency_have_ == 4) break;
        depends_on_ = depends_on_ << 8U | static_cast<unsigned char>(c);
        ++dependency_have_;
    }
    const bool is_itself = dependency_have_ == 4 &&
                           (depends_on_ & 0x7fffffffU) == static_cast<std::uint32_t>(prioritised_);
    if (is_itself)
        stop(Abuse::protocol_error, H2Error::protocol_error, "a stream that depends on itself");
    return !is_itself;
}

bool Session::read(std::string_view bytes) {
    if (bytes.empty()) return true;
    const ssize_t used = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()
    );
    if (abuse_ != Abuse::none) return false;
    if (used >= 0) return true;
    const bool is_flood = used == NGHTTP2_ERR_FLOODED;
    stop(
        is_flood ? Abuse::ack_flood : Abuse::protocol_error,
        is_flood ? H2Error::enhance_your_calm : H2Error::protocol_error,
        nghttp2_strerror(static_cast<int>(used))
    );
    return false;
}

void Session::pull() {
    while (output_.size() < limits_.output_bytes_max) {
        const std::uint8_t* bytes = nullptr;
        const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
        if (size <= 0) return;
        output_ += text(bytes, static_cast<std::size_t>(size));
    }
}

void Session::fill_pairs(const FieldList& fields) {
    pairs_->list.clear();
    for (const FieldList::Entry& entry : fields.entries()) {
        // nghttp2 does not write through it.
        auto* const name =
            reinterpret_cast<std::uint8_t*>(const_cast<char*>(fields.text().data() + entry.at));
        pairs_->list.push_back(
            {.name = name,
             .value = name + entry.name_bytes,
             .namelen = entry.name_bytes,
             .valuelen = entry.value_bytes,
             .flags = entry.indexed ? std::uint8_t{NGHTTP2_NV_FLAG_NONE}
                                    : std::uint8_t{NGHTTP2_NV_FLAG_NO_INDEX}}
        );
    }
}

void Session::respond(H2Stream& stream, const FieldList& fields, bool has_body) {
    stream.is_answered_ = true;
    if (stream.is_closed_) return;
    resets_.earn(1);
    fill_pairs(fields);
    const nghttp2_data_provider provider{
        .source = {.ptr = nullptr}, .read_callback = &SessionCallbacks::read_body
    };
    nghttp2_submit_response(
        session_,
        stream.id_,
        pairs_->list.data(),
        pairs_->list.size(),
        has_body ? &provider : nullptr
    );
}

void Session::interim(H2Stream& stream, const FieldList& fields) {
    if (stream.is_closed_) return;
    fill_pairs(fields);
    nghttp2_submit_headers(
        session_,
        NGHTTP2_FLAG_NONE,
        stream.id_,
        nullptr,
        pairs_->list.data(),
        pairs_->list.size(),
        nullptr
    );
}

bool Session::can_request(std::size_t more) const noexcept {
    const std::uint32_t limit = std::min(
        nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS),
        limits_.streams_max
    );
    return !is_going_ && abuse_ == Abuse::none && all_.size() + more <= limit &&
           nghttp2_session_check_request_allowed(session_) != 0;
}

bool Session::takes_extended_connect() const noexcept {
    return nghttp2_session_get_remote_settings(
               session_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL
           ) == 1;
}

H2Stream* Session::request(const FieldList& fields, bool has_body) {
    if (!can_request()) return nullptr;
    fill_pairs(fields);
    H2Stream& stream = make_stream(-1);
    const nghttp2_data_provider provider{
        .source = {.ptr = nullptr}, .read_callback = &SessionCallbacks::read_body
    };
    const std::int32_t id = nghttp2_submit_request(
        session_,
        nullptr,
        pairs_->list.data(),
        pairs_->list.size(),
        has_body ? &provider : nullptr,
        &stream
    );
    if (id < 0) {
        stream.is_closed_ = true;
        release(stream, H2Error::no_error);
        return nullptr;
    }
    stream.id_ = id;
    return &stream;
}

void Session::offer(
    H2Stream& stream, std::string_view piece, bool last, const FieldList* trailers
) {
    if (stream.is_closed_) return;
    MESH_ASSERT(stream.outgoing_.empty() && !stream.outgoing_last_);
    stream.outgoing_ = piece;
    stream.outgoing_last_ = last;
    stream.sent_trailers_ = trailers;
    nghttp2_session_resume_data(session_, stream.id_);
}

void Session::consume(H2Stream& stream, std::size_t bytes) {
    MESH_ASSERT(bytes <= stream.unacknowledged_);
    stream.unacknowledged_ -= bytes;
    if (bytes > 0) nghttp2_session_consume(session_, stream.id_, bytes);
}

void Session::release(H2Stream& stream, H2Error why) {
    if (stream.unacknowledged_ > 0)
        nghttp2_session_consume_connection(session_, stream.unacknowledged_);
    stream.unacknowledged_ = 0;
    stream.owner = nullptr;
    if (stream.is_linked()) stream.unlink();
    if (stream.is_closed_) {
        recycle(stream);
        return;
    }
    if (why == H2Error::no_error && stream.is_taken() && stream.is_answered_) {
        stream.is_released_ = true;
        if (!stream.is_all_sent_ || stream.has_ended_) return;  // on_sent, on_close
    }
    if (!stream.is_released_) nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
    nghttp2_submit_rst_stream(
        session_, NGHTTP2_FLAG_NONE, stream.id_, static_cast<std::uint32_t>(why)
    );
    if (!stream.is_released_) recycle(stream);
}

void Session::recycle(H2Stream& stream) {
    if (stream.is_linked()) stream.unlink();
    all_[stream.place_] = all_.back();
    all_[stream.place_]->place_ = stream.place_;
    all_.pop_back();
    std::unique_ptr<H2Stream> done(&stream);
    auto& shelf = thread_shelf();
    if (!core::kBlocksArePooled || shelf.full()) return;
    done->owner = nullptr;
    done->has_head_ = done->has_ended_ = done->is_closed_ = done->is_answered_ = false;
    done->is_all_sent_ = done->is_released_ = done->ended_with_head_ = false;
    done->error_ = 0;
    done->head_.clear();
    done->trailers_.clear();
    done->interim_.clear();
    shrink(done->arriving_);
    shrink(done->taken_);
    done->unacknowledged_ = 0;
    done->outgoing_ = {};
    done->outgoing_last_ = done->sent_end_ = false;
    done->sent_trailers_ = nullptr;
    shelf.put(std::move(done));
}

void sweep_kept_streams() {
    thread_shelf().sweep();
}

void Session::announce_end() {
    nghttp2_submit_shutdown_notice(session_);
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, kEndPing);
}

void Session::end() {
    nghttp2_submit_goaway(
        session_,
        NGHTTP2_FLAG_NONE,
        nghttp2_session_get_last_proc_stream_id(session_),
        NGHTTP2_NO_ERROR,
        nullptr,
        0
    );
}

void Session::ping() {
    nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, kLifePing.data());
}

bool Session::is_over() const noexcept {
    return nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0;
}

}  // namespace datapunk::mesh::wire::http2
