#include "proxy/upstream_pool.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/hash.h"

namespace datapunk::mesh::proxy {

namespace {

// How long an endpoint that has agreed on HTTP/1.1 is taken to do so again. It is asked anew at
// every connection: this is only about waiting for each other.
constexpr Duration kHttp1Believed = std::chrono::minutes(1);

}  // namespace

std::size_t UpstreamPool::Hash::operator()(const KeyView& key) const noexcept {
    return core::hash64(key.address) ^ key.tls_context;
}

Result<LoopGuard::Token> guarded(LoopGuard* loops, const io::Stream& stream) {
    if (loops == nullptr || !loops->is_on()) return LoopGuard::Token();
    const io::SocketAddress remote = stream.peer();
    if (auto token = loops->made(stream.local(), remote)) return *std::move(token);
    return Error{
        .code = Code::denied,
        .what = fmt::format(
            "the connection to {} came back to this process: the rules that capture must leave its "
            "own connections alone",
            remote.to_string()
        )
    };
}

UpstreamPool::UpstreamPool(io::Network& network, UpstreamPoolConfig config)
    : network_(network), config_(config) {}

UpstreamPtr UpstreamPool::take_idle(std::string_view address, const UpstreamUse& use) {
    const auto found = idle_.find(KeyView{address, context_of(use)});
    if (found == idle_.end()) return nullptr;
    List& list = found->second;
    const Instant oldest = network_.loop().now() - config_.idle_timeout;
    while (!list.empty()) {
        std::unique_ptr<UpstreamConnection> connection = std::move(list.back());
        list.pop_back();
        if (connection->idle_since_ >= oldest && !connection->stream_->maybe_readable()) {
            ++counters_.reused;
            return connection;
        }
    }
    return nullptr;
}

std::uint64_t UpstreamPool::context_of(const UpstreamUse& use) {
    return use.tls == nullptr ? 0 : use.tls->context();
}

io::Task<Result<UpstreamPool::Dialled>> UpstreamPool::dial(
    std::string host, std::uint16_t port, Instant until, UpstreamUse& use, bool wants_http2
) {
    auto stream = co_await io::connect_to(network_, host, port, until);
    if (!stream) {
        ++counters_.failed;
        use.failed.add();
        co_return std::move(stream).error();
    }
    auto token = guarded(config_.loops, **stream);
    if (!token) co_return std::move(token).error();
    Dialled dialled;
    dialled.token = *std::move(token);
    dialled.is_http2 = wants_http2;
    dialled.stream = *std::move(stream);
    if (use.tls != nullptr) {
        auto secured =
            co_await use.tls->secure(std::move(dialled.stream), host, port, until, wants_http2);
        if (!secured) {
            ++counters_.failed;
            use.tls_failed.add();
            co_return std::move(secured).error();
        }
        dialled.tls_context = secured->context;
        dialled.is_http2 = secured->is_http2;
        dialled.stream = io::StreamPtr(std::move(secured->stream));
    }
    ++counters_.created;
    use.created.add();
    co_return dialled;
}

UpstreamPtr UpstreamPool::connection_of(Dialled dialled, ConnectionSlot slot) {
    slot.keep(std::move(dialled.token));
    return std::make_unique<UpstreamConnection>(
        std::move(dialled.stream), std::move(slot), config_.head_bytes_max, dialled.tls_context
    );
}

io::Task<Result<UpstreamPtr>> UpstreamPool::connect(
    std::string host, std::uint16_t port, Instant deadline, UpstreamUse& use
) {
    ConnectionSlot slot = slot_for(use);
    if (!slot) co_return no_slot(use);
    const Instant until = std::min(deadline, network_.loop().now() + config_.connect_timeout);
    auto dialled = co_await dial(std::move(host), port, until, use, false);
    if (!dialled) co_return std::move(dialled).error();
    co_return connection_of(*std::move(dialled), std::move(slot));
}

ConnectionSlot UpstreamPool::slot_for(UpstreamUse& use) {
    ConnectionSlot slot(use, counters_.open);
    if (!slot && close_longest_idle(use)) slot = ConnectionSlot(use, counters_.open);
    return slot;
}

Error UpstreamPool::no_slot(const UpstreamUse& use) {
    return {
        .code = Code::exhausted,
        .what = fmt::format("all {} connections of the service are in use", use.quota->max.load())
    };
}

UpstreamPtr UpstreamPool::take_stream(std::string_view address, const UpstreamUse& use) {
    const auto found = links_.find(KeyView{address, context_of(use)});
    if (found == links_.end()) return nullptr;
    auto& list = found->second->list;
    std::erase_if(list, [](const auto& link) { return link->is_over(); });
    for (const auto& link : list) {
        if (!link->can_take()) continue;
        ++counters_.reused;
        return std::make_unique<Http2Upstream>(link);
    }
    if (network_.loop().now() < found->second->http1_until) return take_idle(address, use);
    return nullptr;
}

io::Task<Result<UpstreamPtr>> UpstreamPool::connect_stream(
    std::string host, std::uint16_t port, Instant deadline, UpstreamUse& use
) {
    const Instant until = std::min(deadline, network_.loop().now() + config_.connect_timeout);
    const std::string address = fmt::format("{}:{}", host, port);
    const std::uint64_t context = context_of(use);
    auto found = links_.find(KeyView{address, context});
    if (found == links_.end()) {
        auto fresh = std::make_unique<Links>(network_.loop());
        found = links_.emplace(Key{address, context}, std::move(fresh)).first;
    }
    Links& links = *found->second;

    struct Use {
        explicit Use(Links& l) : links(l) { ++links.users; }

        ~Use() { --links.users; }

        Links& links;
    };
    const Use in_use(links);  // sweep() leaves it
    for (;;) {
        const std::shared_ptr<Http2Link> young = links.young();
        const bool is_coming = young != nullptr || links.is_connecting;
        if (!is_coming || network_.loop().now() < links.http1_until) break;
        io::Event& next = young == nullptr ? links.made : young->settled();
        const bool in_time = co_await next.wait(until);
        UpstreamPtr shared = take_stream(address, use);
        if (shared != nullptr) co_return std::move(shared);
        if (!in_time)
            co_return Error{
                .code = Code::timeout,
                .what = fmt::format("no connection to {} in time", address),
                .source = Source::upstream
            };
    }
    ConnectionSlot slot = slot_for(use);
    if (!slot) co_return no_slot(use);

    struct Connecting {
        explicit Connecting(Links& l) : links(l) {
            links.is_connecting = true;
            links.made.clear();
        }

        ~Connecting() {
            links.is_connecting = false;
            links.made.set();
        }

        Links& links;
    };
    const Connecting connecting(links);
    auto dialled = co_await dial(std::move(host), port, until, use, true);
    if (!dialled) co_return std::move(dialled).error();
    if (!dialled->is_http2) {
        links.http1_until = network_.loop().now() + kHttp1Believed;
        co_return connection_of(*std::move(dialled), std::move(slot));
    }
    links.http1_until = {};
    slot.keep(std::move(dialled->token));
    const Http2LinkConfig config{
        .head_bytes_max = config_.head_bytes_max, .idle_timeout = config_.idle_timeout
    };
    auto link = std::make_shared<Http2Link>(
        std::move(dialled->stream), std::move(slot), config, use.tls != nullptr
    );
    UpstreamPtr made = std::make_unique<Http2Upstream>(link);
    // The certificates may have been replaced meanwhile: then it carries this exchange only.
    if (dialled->tls_context == context) links.list.push_back(std::move(link));
    co_return std::move(made);
}

std::shared_ptr<Http2Link> UpstreamPool::Links::young() const {
    const auto found =
        std::find_if(list.begin(), list.end(), [](const auto& link) { return link->is_young(); });
    return found == list.end() ? nullptr : *found;
}

bool UpstreamPool::close_longest_idle(const UpstreamUse& use) {
    List* longest = nullptr;
    for (auto& [key, list] : idle_) {
        if (list.empty() || !list.front()->slot_.belongs_to(use)) continue;
        if (longest == nullptr || list.front()->idle_since_ < longest->front()->idle_since_)
            longest = &list;
    }
    // One of HTTP/2 gives its place back when nobody holds it any more.
    std::vector<std::shared_ptr<Http2Link>>* links = nullptr;
    std::size_t index = 0;
    Instant oldest = longest == nullptr ? kNever : longest->front()->idle_since_;
    for (auto& [key, of] : links_) {
        for (std::size_t i = 0; i < of->list.size(); ++i) {
            const Http2Link& link = *of->list[i];
            if (!link.is_idle() || !link.belongs_to(use) || link.idle_since() >= oldest) continue;
            oldest = link.idle_since();
            links = &of->list;
            index = i;
        }
    }
    if (links != nullptr) {
        links->erase(links->begin() + static_cast<std::ptrdiff_t>(index));
        return true;
    }
    if (longest != nullptr) longest->erase(longest->begin());
    return longest != nullptr;
}

std::size_t UpstreamPool::idle() const noexcept {
    std::size_t count = 0;
    for (const auto& [key, list] : idle_) count += list.size();
    for (const auto& [key, links] : links_) {
        for (const auto& link : links->list) count += link->is_idle() && !link->is_over() ? 1 : 0;
    }
    return count;
}

void UpstreamPool::put_idle(std::string_view address, UpstreamPtr upstream) {
    std::unique_ptr<UpstreamConnection> connection(upstream->connection());
    if (connection == nullptr) return;
    static_cast<void>(upstream.release());
    connection->reader_.release();
    connection->idle_since_ = network_.loop().now();
    const KeyView key{address, connection->tls_context_};
    auto found = idle_.find(key);
    if (found == idle_.end())
        found = idle_.emplace(Key{std::string(address), key.tls_context}, List()).first;
    if (found->second.size() >= config_.idle_per_endpoint_max) return;
    found->second.push_back(std::move(connection));
}

void UpstreamPool::sweep() {
    const Instant oldest = network_.loop().now() - config_.idle_timeout;
    for (auto at = idle_.begin(); at != idle_.end();) {
        List& list = at->second;
        // Oldest first: the list is used from its end.
        std::size_t dead = 0;
        while (dead < list.size() &&
               (list[dead]->idle_since_ < oldest || list[dead]->stream_->maybe_readable()))
            ++dead;
        list.erase(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(dead));
        at = list.empty() ? idle_.erase(at) : std::next(at);
    }
    for (auto at = links_.begin(); at != links_.end();) {
        Links& links = *at->second;
        std::erase_if(links.list, [](const auto& link) { return link->is_over(); });
        const bool is_used =
            links.users > 0 || !links.list.empty() || network_.loop().now() < links.http1_until;
        at = is_used ? std::next(at) : links_.erase(at);
    }
}

void UpstreamPool::clear() {
    idle_.clear();
    for (auto& [key, links] : links_) links->list.clear();
}

}  // namespace datapunk::mesh::proxy
