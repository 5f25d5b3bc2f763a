#include "proxy/upstream_pool.h"

#include <algorithm>

#include "core/hash.h"

namespace datapunk::mesh::proxy {

std::size_t UpstreamPool::Hash::operator()(std::string_view text) const noexcept {
    return core::hash64(text);
}

UpstreamPool::UpstreamPool(io::Network& network, UpstreamPoolConfig config)
    : network_(network), config_(config) {}

UpstreamConnectionPtr UpstreamPool::take_idle(std::string_view address) {
    const auto found = idle_.find(address);
    if (found == idle_.end()) return nullptr;
    List& list = found->second;
    const Instant oldest = network_.loop().now() - config_.idle_timeout;
    while (!list.empty()) {
        UpstreamConnectionPtr connection = std::move(list.back());
        list.pop_back();
        if (connection->idle_since_ >= oldest && !connection->stream().maybe_readable()) {
            connection->reused_ = true;
            ++counters_.reused;
            return connection;
        }
        --counters_.open;
    }
    return nullptr;
}

io::Task<Result<UpstreamConnectionPtr>> UpstreamPool::connect(
    std::string host, std::uint16_t port, Instant deadline
) {
    const Instant until = std::min(deadline, network_.loop().now() + config_.connect_timeout);
    auto stream = co_await io::connect_to(network_, host, port, until);
    if (!stream) {
        ++counters_.failed;
        co_return std::move(stream).error();
    }
    ++counters_.created;
    ++counters_.open;
    co_return std::make_unique<UpstreamConnection>(*std::move(stream), config_);
}

void UpstreamPool::put_idle(std::string_view address, UpstreamConnectionPtr connection) {
    connection->reader().release();
    connection->idle_since_ = network_.loop().now();
    auto found = idle_.find(address);
    if (found == idle_.end()) found = idle_.emplace(std::string(address), List()).first;
    if (found->second.size() >= config_.idle_per_endpoint_max) {
        drop(std::move(connection));
        return;
    }
    found->second.push_back(std::move(connection));
}

void UpstreamPool::drop(UpstreamConnectionPtr connection) {
    connection.reset();
    --counters_.open;
}

void UpstreamPool::sweep() {
    const Instant oldest = network_.loop().now() - config_.idle_timeout;
    for (auto at = idle_.begin(); at != idle_.end();) {
        List& list = at->second;
        // Oldest first: the list is used from its end.
        std::size_t dead = 0;
        while (dead < list.size() &&
               (list[dead]->idle_since_ < oldest || list[dead]->stream().maybe_readable()))
            ++dead;
        counters_.open -= dead;
        list.erase(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(dead));
        at = list.empty() ? idle_.erase(at) : std::next(at);
    }
}

void UpstreamPool::clear() {
    for (const auto& [address, list] : idle_) counters_.open -= list.size();
    idle_.clear();
}

}  // namespace datapunk::mesh::proxy
