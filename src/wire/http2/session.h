#pragma once

// Session: an HTTP/2 connection with its streams, either side, without IO: bytes in, bytes out.
//
//     feed(bytes) ─► next_changed() … the streams that have news
//     respond / request / interim, offer(piece) ─► pull() ─► output() ─► the peer
//
// A server's stream begins with its head; a client's with request(). Either is its owner's from
// then on, until release(). Framing, HPACK and flow control are nghttp2's. On top of it:
//   * data is acknowledged to its sender when consume() says so, and not before: the windows bound
//     what a connection can make us hold;
//   * a piece to be sent is not copied before the peer may have it (offer(); is_taken());
//   * frames for streams that are closed are errors (RFC 9113 5.1), which nghttp2 forgives;
//   * who makes us work without getting anything done is cut off: Abuse.
//
// One thread's object. Time is an argument. Costs ~30 KB, and per stream ~1 KB and what it holds.
// Source: RFC 9113; the attacks: CVE-2019-9511..9518, CVE-2023-44487, CVE-2024-27316,
// CVE-2025-8671.

#include <datapunk/mesh/time.h>

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/intrusive_list.h"
#include "wire/http2/head_block.h"

struct nghttp2_session;

namespace datapunk::mesh::wire::http2 {

// Error codes of RFC 9113 7 that we use ourselves.
enum class H2Error : std::uint32_t {
    no_error = 0,
    protocol_error = 1,
    internal_error = 2,
    stream_closed = 5,
    refused_stream = 7,
    cancel = 8,
    enhance_your_calm = 11,
};

// Why a connection was ended from here. Fit for a metric label.
enum class Abuse : std::uint8_t {
    none,
    protocol_error,   // what nghttp2 answers with GOAWAY
    frame_on_closed,  // a frame for a stream that is closed or was never opened
    reset_flood,      // streams reset before they were answered, by the peer or for its errors
    frame_flood,      // frames that carry nothing
    head_too_large,   // several times the limit (HPACK bomb)
    ack_flood,        // answers that it does not read
};

std::string_view to_string(Abuse abuse) noexcept;  // "h2_reset_flood"

struct SessionLimits {
    std::uint32_t streams_max = 100;  // at a time, that the peer may open; RFC 9113 wants 100
    BlockLimits head{};
    BlockLimits trailers{.bytes_max = 8UL * 1024};
    std::uint32_t stream_window = 64U * 1024;        // data held for one stream
    std::uint32_t connection_window = 1024U * 1024;  // and for all of them
    std::size_t output_bytes_max = 64UL * 1024;      // pulled and not yet sent
    std::size_t interim_max = 16;                    // 1xx heads for one request
    bool extended_connect = false;                   // a server says that it takes that (RFC 8441)
};

class Session;
struct SessionCallbacks;
struct SessionPairs;

class H2Stream : public core::ListNode {
  public:
    std::int32_t id() const noexcept { return id_; }

    // --- received
    bool has_head() const noexcept { return has_head_; }

    HeadBlock& head() noexcept { return head_; }

    HeadBlock& trailers() noexcept { return trailers_; }

    // 1xx answers before the head, oldest first; the receiver takes them out.
    std::vector<HeadBlock>& interim() noexcept { return interim_; }

    // The head was the whole message: neither data nor trailers follow.
    bool ended_with_head() const noexcept { return ended_with_head_; }

    // The peer has finished its message; there may be data left.
    bool has_ended() const noexcept { return has_ended_; }

    bool has_data() const noexcept { return !arriving_.empty(); }

    // What has arrived; good until the next call. Give its size to Session::consume() when done.
    std::string_view take_data();

    // --- the end
    bool is_closed() const noexcept { return is_closed_; }

    std::uint32_t error() const noexcept { return error_; }

    // Closed, and not because both sides had finished.
    bool is_reset() const noexcept { return is_closed_ && (error_ != 0 || !has_ended_); }

    // --- sent
    bool is_taken() const noexcept { return outgoing_.empty() && (!outgoing_last_ || sent_end_); }

    void* owner = nullptr;  // whose it is; for its events

  private:
    friend class Session;
    friend struct SessionCallbacks;

    std::int32_t id_ = -1;
    bool has_head_ = false;
    bool ended_with_head_ = false;
    bool has_ended_ = false;
    bool is_closed_ = false;
    bool is_answered_ = false;
    bool is_all_sent_ = false;  // our END_STREAM has gone
    bool is_released_ = false;  // it only waits for that
    std::size_t place_ = 0;     // in Session::all_
    std::uint32_t error_ = 0;
    HeadBlock head_;
    HeadBlock trailers_;
    std::vector<HeadBlock> interim_;
    std::string arriving_;
    std::string taken_;
    std::size_t unacknowledged_ = 0;  // bytes of data that have come and are not consumed
    std::string_view outgoing_;
    bool outgoing_last_ = false;
    bool sent_end_ = false;
    const FieldList* sent_trailers_ = nullptr;
};

class Session {
  public:
    enum class Role : std::uint8_t { server, client };

    Session(Role role, const SessionLimits& limits, Instant now);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // False: the connection is to be closed once output() has been sent.
    bool feed(std::string_view bytes, Instant now);
    Abuse abuse() const noexcept { return abuse_; }
    std::string_view problem() const noexcept { return problem_; }  // for people

    // A stream that has news, each once; nullptr if there is none. New ones have no owner.
    H2Stream* next_changed() noexcept;

    // Everything that may be sent now goes to output(), up to output_bytes_max.
    void pull();

    std::string& output() noexcept { return output_; }

    // --- messages
    // The head of a server's answer; without a body it is the whole of it.
    void respond(H2Stream& stream, const FieldList& fields, bool has_body);
    void interim(H2Stream& stream, const FieldList& fields);
    // A client's request; nullptr if the connection takes no more (see can_request()).
    H2Stream* request(const FieldList& fields, bool has_body);
    // May so many more be begun now?
    bool can_request(std::size_t more = 1) const noexcept;
    // The next piece of a body; the one before is taken. It and the trailers stay good until
    // is_taken(), or release().
    void offer(
        H2Stream& stream, std::string_view piece, bool last, const FieldList* trailers = nullptr
    );
    // Done with so many bytes of take_data(): the sender may send as many again.
    void consume(H2Stream& stream, std::size_t bytes);
    // The owner is done with the stream. With no_error what was submitted for it still goes, and
    // only then is the peer told to send no more; with anything else it is reset now.
    void release(H2Stream& stream, H2Error why);

    // --- the connection
    std::size_t streams() const noexcept { return all_.size(); }

    // Messages that nghttp2 has refused by itself, with RST_STREAM.
    std::uint64_t malformed() const noexcept { return malformed_; }

    // GOAWAY in two steps (RFC 9113 6.8): streams that are on their way are still taken after the
    // first; the second says which was the last.
    void announce_end();
    void end();
    // The peer has seen announce_end().
    bool end_was_seen() const noexcept { return end_was_seen_; }

    // The peer's SETTINGS have come; and they say that it takes the extended CONNECT.
    bool has_settings() const noexcept { return has_settings_; }
    bool takes_extended_connect() const noexcept;

    // The peer takes no new streams on this connection.
    bool is_going() const noexcept { return is_going_; }

    // Asks for a sign of life; counted in pongs().
    void ping();

    std::uint64_t pongs() const noexcept { return pongs_; }

    // Inside a header block: its sender owes us the rest.
    bool is_midway() const noexcept { return midway_; }

    // Nothing more will be read or written.
    bool is_over() const noexcept;

  private:
    friend struct SessionCallbacks;

    // A bucket of what is forgiven: refilled by time and by useful work.
    struct Allowance {
        double left = 0;
        double max = 0;
        double per_second = 0;

        void refill(double seconds) noexcept { earn(per_second * seconds); }

        void earn(double amount) noexcept { left = left + amount < max ? left + amount : max; }

        bool spend() noexcept { return (left -= 1) >= 0; }
    };

    bool read(std::string_view bytes);
    bool check_frame();
    bool check_priority(std::string_view payload);
    H2Stream& make_stream(std::int32_t id);
    void recycle(H2Stream& stream);
    void note(H2Stream& stream) noexcept;
    void stop(Abuse abuse, H2Error code, std::string_view why);
    bool is_abusive_frame(
        std::int32_t stream, std::uint8_t type, std::size_t length, std::uint8_t flags
    );
    bool is_on_closed(std::int32_t stream, std::uint8_t type);
    void note_opened(std::int32_t stream);
    void fill_pairs(const FieldList& fields);

    static constexpr std::size_t kOpenedKept = 1024;
    static constexpr std::size_t kResetKept = 128;

    Role role_;
    SessionLimits limits_;
    nghttp2_session* session_ = nullptr;
    std::string output_;
    core::IntrusiveList<H2Stream> changed_;
    std::vector<H2Stream*> all_;  // owned
    std::uint64_t malformed_ = 0;
    std::unique_ptr<SessionPairs> pairs_;  // a list of fields as nghttp2 wants it
    // Where the peer's frames begin.
    std::array<unsigned char, 9> frame_head_{};
    std::size_t frame_head_have_ = 0;
    std::size_t frame_rest_ = 0;     // until the next one: a payload, or the preface
    std::int32_t prioritised_ = -1;  // the stream of a PRIORITY frame that is being read
    std::uint32_t depends_on_ = 0;   // its first bytes
    unsigned dependency_have_ = 0;
    Instant fed_at_;
    Allowance resets_;
    Allowance frames_;
    Abuse abuse_ = Abuse::none;
    std::string problem_;
    bool midway_ = false;
    bool is_going_ = false;
    bool end_was_seen_ = false;
    bool has_settings_ = false;
    std::uint64_t pongs_ = 0;
    // Which of the peer's latest streams were opened at all, and which were reset from here.
    std::int32_t last_opened_ = 0;
    std::bitset<kOpenedKept> opened_;
    std::array<std::int32_t, kResetKept> reset_here_{};
    std::size_t next_reset_ = 0;
};

// Half of the closed streams that this thread keeps for its sessions, and has not needed since the
// last time, go back to the heap. Call about once a second.
void sweep_kept_streams();

}  // namespace datapunk::mesh::wire::http2
