#pragma once

// ClientExchange: one request and its answer over an HTTP/2 connection made for it (RFC 9113),
// without IO: bytes in, bytes out.
//
//     start(request) ─> take_output() ──────────► peer
//                       feed(bytes) ◄──────────── peer      … until is_done()
//
// Framing, HPACK, settings, pings and flow control are nghttp2's; pushes are refused. What the peer
// may make us keep is bounded by Limits, what it may make us do by traffic_bytes_max: a peer that
// floods with pings or settings is an error. One thread's object; costs about 40 KB while it lives.

#include <datapunk/mesh/result.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

struct nghttp2_session;

namespace datapunk::mesh::wire::http2 {

// Names in lower case; ":status" and its like stand first.
struct H2Field {
    std::string name;
    std::string value;

    friend bool operator==(const H2Field&, const H2Field&) = default;
};

// The value of the first field of that name, or "".
std::string_view find_field(const std::vector<H2Field>& fields, std::string_view name) noexcept;

struct ExchangeLimits {
    std::size_t fields_bytes_max = 16UL * 1024;     // headers and trailers, each, names and values
    std::size_t body_bytes_max = 64UL * 1024;       // of the answer
    std::size_t traffic_bytes_max = 1024UL * 1024;  // all that the peer may send
};

struct ExchangeAnswer {
    std::vector<H2Field> headers;  // of the final answer, not of a 1xx before it
    std::vector<H2Field> trailers;
    std::string body;
};

class ClientExchange {
  public:
    explicit ClientExchange(ExchangeLimits limits = {});
    ~ClientExchange();
    ClientExchange(const ClientExchange&) = delete;
    ClientExchange& operator=(const ClientExchange&) = delete;

    // Once, first. Code::invalid if a field is not fit for HTTP/2.
    Result<> start(const std::vector<H2Field>& fields, std::string body);

    // What is to be sent now; empty if nothing is.
    std::string take_output();

    // An error ends the exchange: a broken protocol, a limit, a stream that the peer reset, a
    // connection that it gave up.
    Result<> feed(std::string_view bytes);

    // The answer is complete.
    bool is_done() const noexcept { return is_done_; }

    const ExchangeAnswer& answer() const noexcept { return answer_; }

  private:
    struct Callbacks;

    void collect_output();
    Error broken(std::string_view why) const;

    ExchangeLimits limits_;
    nghttp2_session* session_ = nullptr;
    std::string request_body_;
    std::size_t body_sent_ = 0;
    std::string output_;  // not taken yet
    std::int32_t stream_ = -1;
    ExchangeAnswer answer_;
    std::size_t fields_bytes_ = 0;  // of the block that is being read
    std::size_t traffic_bytes_ = 0;
    bool is_final_ = false;  // the headers of the final answer are complete
    bool is_done_ = false;
    std::string problem_;  // why the exchange cannot go on
};

}  // namespace datapunk::mesh::wire::http2
