// demo_traffic: steady traffic through a mesh listener, with one live line a second and a summary.
// Used by `make run`. Standard library and sockets only.
//
//   demo_traffic --target 127.0.0.1:PORT --admin 127.0.0.1:PORT [--rate 400] [--seconds N]
//
// Exit status 1 if any request failed: the demonstration kills one endpoint and slows another, and
// a mesh should save every request.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Address {
    std::string host;
    int port = 0;
};

Address parse_address(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    return {text.substr(0, colon), std::atoi(text.substr(colon + 1).c_str())};
}

// A blocking keep-alive connection that reads whole answers by their Content-Length.
class Connection {
  public:
    explicit Connection(Address to) : to_(std::move(to)) {}

    ~Connection() { close(); }

    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // The status, 0 if there was no answer.
    int get(const std::string& path, std::string* body = nullptr) {
        if (fd_ < 0 && !open()) return 0;
        const std::string request = "GET " + path + " HTTP/1.1\r\nHost: " + to_.host + ":" +
                                    std::to_string(to_.port) + "\r\n\r\n";
        if (::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(request.size())) {
            close();
            return 0;
        }
        std::string answer;
        std::size_t head_end = std::string::npos;
        std::size_t whole = std::string::npos;
        while (whole == std::string::npos || answer.size() < whole) {
            char buffer[16384];
            const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
            if (got <= 0) {
                close();
                return 0;
            }
            answer.append(buffer, static_cast<std::size_t>(got));
            if (head_end == std::string::npos) {
                head_end = answer.find("\r\n\r\n");
                if (head_end != std::string::npos)
                    whole = head_end + 4 + length_of(answer.substr(0, head_end));
            }
        }
        if (body != nullptr) *body = answer.substr(head_end + 4);
        if (answer.find("onnection: close") < head_end) close();
        return std::atoi(answer.c_str() + 9);
    }

  private:
    static std::size_t length_of(std::string head) {
        std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) {
            return std::tolower(c);
        });
        const std::size_t at = head.find("content-length:");
        return at == std::string::npos
                   ? 0
                   : static_cast<std::size_t>(std::atoll(head.c_str() + at + 15));
    }

    bool open() {
        fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(to_.port));
        inet_pton(AF_INET, to_.host.c_str(), &address.sin_addr);
        const timeval limit{20, 0};
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        const int on = 1;
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return true;
        close();
        return false;
    }

    void close() {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }

    Address to_;
    int fd_ = -1;
};

struct Counts {
    std::uint64_t requests = 0;
    std::uint64_t failed = 0;
    std::vector<double> milliseconds;

    double quantile(double q) {
        if (milliseconds.empty()) return 0;
        const auto at = static_cast<std::size_t>(q * static_cast<double>(milliseconds.size() - 1));
        std::nth_element(
            milliseconds.begin(),
            milliseconds.begin() + static_cast<std::ptrdiff_t>(at),
            milliseconds.end()
        );
        return milliseconds[at];
    }
};

std::atomic<bool> stopping{false};

std::size_t count(const std::string& text, const std::string& what) {
    std::size_t found = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
        ++found;
    return found;
}

// "endpoints 3/3 healthy, 0 ejected, breakers 3 closed 0 half-open 0 open"
std::string endpoint_line(Connection& admin) {
    std::string body;
    if (admin.get("/endpoints", &body) != 200) return "endpoints ?";
    const std::size_t known = count(body, "\"address\":");
    const std::size_t critical = count(body, "\"health\": \"critical\"");
    char text[160];
    std::snprintf(
        text,
        sizeof text,
        "endpoints %zu/%zu healthy, %zu ejected, breakers %zu closed %zu half-open %zu open",
        known - critical,
        known,
        count(body, "\"ejected_because\""),
        count(body, "\"breaker\": \"closed\""),
        count(body, "\"breaker\": \"half_open\""),
        count(body, "\"breaker\": \"open\"")
    );
    return text;
}

}  // namespace

int main(int argc, char** argv) {
    Address target;
    Address admin;
    int rate = 400;
    int seconds = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string option = argv[i];
        if (option == "--target") target = parse_address(argv[i + 1]);
        if (option == "--admin") admin = parse_address(argv[i + 1]);
        if (option == "--rate") rate = std::atoi(argv[i + 1]);
        if (option == "--seconds") seconds = std::atoi(argv[i + 1]);
    }
    if (target.port == 0 || admin.port == 0 || rate < 1) {
        std::fprintf(
            stderr,
            "usage: demo_traffic --target HOST:PORT --admin HOST:PORT [--rate N] [--seconds N]\n"
        );
        return 2;
    }
    std::signal(SIGINT, [](int) { stopping = true; });
    std::signal(SIGTERM, [](int) { stopping = true; });
    std::signal(SIGPIPE, SIG_IGN);

    constexpr int kThreads = 4;
    std::mutex mutex;
    Counts second;
    std::vector<std::thread> threads;
    const Clock::time_point start = Clock::now();
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            Connection connection(target);
            const auto gap = std::chrono::nanoseconds(1'000'000'000LL * kThreads / rate);
            Clock::time_point next = start + gap * t / kThreads;
            while (!stopping) {
                std::this_thread::sleep_until(next);
                if (stopping) break;  // what we ask through may be going too
                const Clock::time_point begun = Clock::now();
                next = std::max(next + gap, begun);
                const int status = connection.get("/");
                const double took =
                    std::chrono::duration<double, std::milli>(Clock::now() - begun).count();
                const std::lock_guard lock(mutex);
                ++second.requests;
                second.failed += status == 200 ? 0 : 1;
                second.milliseconds.push_back(took);
            }
        });
    }
    Counts total;
    Connection admin_connection(admin);
    for (int s = 1; !stopping && (seconds == 0 || s <= seconds); ++s) {
        std::this_thread::sleep_until(start + std::chrono::seconds(s));
        if (stopping) break;
        Counts now;
        {
            const std::lock_guard lock(mutex);
            std::swap(now, second);
        }
        total.requests += now.requests;
        total.failed += now.failed;
        // Bounded: a day of running must not fill memory; the summary is of the last million.
        if (total.milliseconds.size() > 1'000'000) total.milliseconds.clear();
        total.milliseconds.insert(
            total.milliseconds.end(), now.milliseconds.begin(), now.milliseconds.end()
        );
        const double success = now.requests == 0
                                   ? 0
                                   : 100.0 * static_cast<double>(now.requests - now.failed) /
                                         static_cast<double>(now.requests);
        std::printf(
            "%4ds  %5llu req/s  %6.2f %% ok  p50 %6.2f ms  p99 %7.2f ms  %s\n",
            s,
            static_cast<unsigned long long>(now.requests),
            success,
            now.quantile(0.5),
            now.quantile(0.99),
            endpoint_line(admin_connection).c_str()
        );
        std::fflush(stdout);
    }
    stopping = true;
    for (std::thread& thread : threads) thread.join();
    total.requests += second.requests;
    total.failed += second.failed;
    total.milliseconds.insert(
        total.milliseconds.end(), second.milliseconds.begin(), second.milliseconds.end()
    );
    std::printf(
        "requests=%llu failed=%llu p50=%.2fms p99=%.2fms\n",
        static_cast<unsigned long long>(total.requests),
        static_cast<unsigned long long>(total.failed),
        total.quantile(0.5),
        total.quantile(0.99)
    );
    return total.failed == 0 && total.requests > 0 ? 0 : 1;
}
