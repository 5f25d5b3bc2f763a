#include "io/resolver_thread.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cstring>

namespace datapunk::mesh::io {

namespace {
constexpr std::size_t kQueueMax = 256;  // more names waiting than this means the resolver is stuck
}

// One asked name. Both sides hold it; the asker clears `loop` when it stops waiting.
struct ResolverThread::Question {
    explicit Question(Loop& asking) : loop(&asking), answered(asking) {}

    std::string host;
    std::uint16_t port = 0;
    std::mutex mutex;
    Loop* loop;  // guarded by mutex; nullptr once the asker has left
    Event answered;
    std::vector<SocketAddress> addresses;
    std::string problem;
};

struct ResolverQueue {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::shared_ptr<void>> waiting;
    bool closed = false;
};

ResolverThread::~ResolverThread() {
    if (queue_ == nullptr) return;
    const std::lock_guard lock(queue_->mutex);
    queue_->closed = true;
    queue_->changed.notify_all();
    // The thread is detached: it may be inside getaddrinfo for seconds and holds only the queue.
}

void ResolverThread::serve(std::shared_ptr<ResolverQueue> queue) {
    for (;;) {
        std::shared_ptr<Question> question;
        {
            std::unique_lock lock(queue->mutex);
            queue->changed.wait(lock, [&] { return queue->closed || !queue->waiting.empty(); });
            if (queue->closed) return;
            question = std::static_pointer_cast<Question>(queue->waiting.front());
            queue->waiting.pop_front();
        }
        const addrinfo hints{
            .ai_flags = AI_ADDRCONFIG, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM
        };
        addrinfo* found = nullptr;
        const int status = getaddrinfo(question->host.c_str(), nullptr, &hints, &found);
        std::vector<SocketAddress> addresses;
        for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
            sockaddr_storage raw{};
            std::memcpy(&raw, at->ai_addr, at->ai_addrlen);
            SocketAddress address = from_sockaddr(raw);
            address.port = question->port;
            addresses.push_back(address);
        }
        if (found != nullptr) freeaddrinfo(found);
        const std::lock_guard lock(question->mutex);
        question->addresses = std::move(addresses);
        if (status != 0) question->problem = gai_strerror(status);
        if (question->loop != nullptr) {
            question->loop->post([question] { question->answered.set(); });
        }
    }
}

Task<Result<std::vector<SocketAddress>>> ResolverThread::resolve(
    Loop& loop, std::string host, std::uint16_t port, Instant deadline
) {
    if (queue_ == nullptr) {
        queue_ = std::make_shared<ResolverQueue>();
        std::thread(&ResolverThread::serve, queue_).detach();
    }
    // Also when this coroutine is destroyed while it waits, the thread must not touch the loop.
    struct Asking {
        std::shared_ptr<Question> question;

        ~Asking() {
            const std::lock_guard lock(question->mutex);
            question->loop = nullptr;
        }
    };
    const Asking asking{std::make_shared<Question>(loop)};
    asking.question->host = host;
    asking.question->port = port;
    bool full = false;
    {
        const std::lock_guard lock(queue_->mutex);
        full = queue_->waiting.size() >= kQueueMax;
        if (!full) queue_->waiting.push_back(asking.question);
    }
    queue_->changed.notify_one();
    if (full)
        co_return Error{
            .code = Code::exhausted,
            .what = fmt::format("resolve {}: too many names are waiting", host)
        };
    const bool answered = co_await asking.question->answered.wait(deadline);
    if (!answered) {
        co_return Error{
            .code = Code::timeout,
            .what = fmt::format("resolve {}: no answer before the deadline", host),
            .source = Source::upstream,
            .retryable = true
        };
    }
    if (asking.question->addresses.empty()) {
        co_return Error{
            .code = Code::unavailable,
            .what = fmt::format("resolve {}: {}", host, asking.question->problem),
            .source = Source::upstream,
            .retryable = true
        };
    }
    co_return std::move(asking.question->addresses);
}

}  // namespace datapunk::mesh::io
