#pragma once

// HttpLoad: many keep-alive HTTP/1.1 connections to one server on one thread, with as little work
// of its own as can be: bodies are counted and thrown away by the kernel (MSG_TRUNC), not copied.
// What is measured is the server, ours or another's. Loopback only; a broken answer ends the run.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::load {

using Clock = std::chrono::steady_clock;

double in_ms(Clock::duration time);

struct LoadAnswer {
    int status = 0;
    std::uint64_t index = 0;  // X-Consul-Index
    std::uint64_t body_bytes = 0;
    Clock::time_point at;  // when its last byte was here
};

class HttpLoad {
  public:
    using Answered = std::function<void(std::size_t connection, const LoadAnswer& answer)>;

    explicit HttpLoad(std::uint16_t port);
    ~HttpLoad();
    HttpLoad(const HttpLoad&) = delete;
    HttpLoad& operator=(const HttpLoad&) = delete;

    // Another connection; its number.
    std::size_t connect();
    void disconnect(std::size_t connection);
    // One request at a time on each connection.
    void send(std::size_t connection, const std::string& request);
    // Handles what comes until `is_enough` says so or the time is up; true if it was enough.
    bool run(
        const Answered& answered, const std::function<bool()>& is_enough, Clock::time_point until
    );
    // One request, waited for.
    LoadAnswer ask(std::size_t connection, const std::string& request);

    std::uint64_t failures() const { return failures_; }  // connections that broke

  private:
    struct Connection {
        int fd = -1;
        std::string head;  // of the answer, until it is complete
        std::uint64_t body_left = 0;
        bool in_body = false;
        bool is_chunked = false;  // Go's servers, for bodies over 2 KB
        std::string tail;         // of a chunked body: its last bytes
        LoadAnswer answer;
    };

    bool read(Connection& connection);
    static bool take_chunked(Connection& connection, std::string_view bytes);
    bool parse_head(Connection& connection, std::size_t head_bytes);

    std::uint16_t port_;
    int epoll_;
    std::vector<Connection> connections_;
    std::uint64_t failures_ = 0;
};

std::string get_request(std::string_view target);
std::string put_request(std::string_view target, std::string_view body);

// Sorted; the value below which this share of them lies.
double percentile(const std::vector<double>& sorted, double share);

}  // namespace datapunk::mesh::load
