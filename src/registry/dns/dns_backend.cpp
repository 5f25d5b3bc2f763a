#include "registry/dns/dns_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/strings.h"

namespace datapunk::mesh::registry::dns {

using wire::dns::DnsName;
using wire::dns::DnsType;

namespace {

// Services remembered; discovery follows fewer. Beyond, those that nobody waits for are forgotten.
constexpr std::size_t kKnownMax = 4096;
constexpr std::string_view kListing = "_services._dns-sd._udp";

}  // namespace

struct DnsBackend::Known {
    explicit Known(io::Loop& loop) : moved(loop) {}

    std::vector<ServiceEndpoint> endpoints;
    std::uint64_t index = 0;  // 0 = never answered
    Instant fresh_until = Instant::min();
    std::uint64_t notified = 0;  // NOTIFYs that concerned it
    bool is_refreshing = false;
    io::Event moved;  // set for a moment when a question ends or a NOTIFY comes
    std::size_t waiting = 0;

    void stir() {
        moved.set();
        moved.clear();
    }
};

namespace {

// Holds a flag or count for as long as a task runs, also if it is destroyed.
template <class F>
class Finally {
  public:
    explicit Finally(F f) : f_(std::move(f)) {}

    Finally(const Finally&) = delete;
    Finally& operator=(const Finally&) = delete;

    ~Finally() { f_(); }

  private:
    F f_;
};

}  // namespace

Result<std::unique_ptr<DnsBackend>> DnsBackend::create(
    io::Network& network, DnsConfig config, core::Logger log, metrics::MetricRegistry* metrics
) {
    if (auto verdict = check(config); !verdict) return verdict.error();
    std::unique_ptr<DnsBackend> backend(new DnsBackend(network, std::move(config)));
    if (metrics != nullptr) backend->client_.count_into(*metrics);
    if (!backend->config_.notify.address.empty()) {
        auto notify = DnsNotify::start(
            network,
            backend->config_.notify,
            backend->client_.servers(),
            log,
            [self = backend.get()](const DnsName& zone) { self->on_notify(zone); }
        );
        if (!notify) return std::move(notify).error();
        backend->notify_ = *std::move(notify);
    }
    return backend;
}

DnsBackend::DnsBackend(io::Network& network, DnsConfig config)
    : network_(network), config_(std::move(config)), client_(network, config_) {}

DnsBackend::~DnsBackend() = default;

DnsBackend::Known& DnsBackend::known(const std::string& service) {
    auto& entry = known_[service];
    if (entry != nullptr) return *entry;
    if (known_.size() > kKnownMax) {
        std::erase_if(known_, [&](const auto& one) {
            return one.second != nullptr && one.second->waiting == 0;
        });
    }
    auto& made = known_[service];
    made = std::make_shared<Known>(network_.loop());
    return *made;
}

void DnsBackend::on_notify(const DnsName& zone) {
    for (const auto& [service, entry] : known_) {
        const auto name = name_of(config_, service);
        if (!name || !DnsName::parse(*name)->is_under(zone)) continue;
        entry->fresh_until = Instant::min();
        ++entry->notified;
        entry->stir();
    }
}

io::Task<Result<>> DnsBackend::refresh(
    std::shared_ptr<Known> entry, std::string service, Instant deadline
) {
    entry->is_refreshing = true;
    const std::uint64_t notified = entry->notified;
    const Finally done([&] {
        entry->is_refreshing = false;
        entry->stir();
    });
    DnsLookup lookup(network_.loop(), client_, config_);
    auto found = co_await lookup.run(service, deadline);
    if (!found) co_return std::move(found).error();
    const bool is_new = entry->index == 0 || !(entry->endpoints == found->endpoints);
    if (is_new) {
        entry->endpoints = std::move(found->endpoints);
        entry->index = ++last_index_;
    }
    // A NOTIFY that came meanwhile may be of a change that this answer does not have yet.
    const bool is_current = entry->notified == notified;
    entry->fresh_until = is_current ? network_.loop().now() + found->holds_for : Instant::min();
    co_return Ok{};
}

io::Task<Result<Answer>> DnsBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    io::Loop& loop = network_.loop();
    known(service);
    const std::shared_ptr<Known> entry = known_[service];
    ++entry->waiting;
    const Finally left([&] { --entry->waiting; });
    const Instant end = std::min(deadline, loop.now() + std::max(longest, Duration::zero()));
    bool has_asked = after != 0 && entry->index != 0;
    for (;;) {
        const bool is_known = entry->index != 0 && has_asked;
        if (is_known && (entry->index > after || entry->index < after)) break;
        if (is_known && loop.now() >= end) break;
        if (entry->is_refreshing) {
            // Whoever asks has the same question; if it is given up, one of us asks again.
            const bool ended = co_await entry->moved.wait(deadline);
            if (!ended) {
                co_return Error{
                    .code = Code::timeout,
                    .what = fmt::format("dns: no answer about {} in time", service),
                    .source = Source::registry,
                    .retryable = true
                };
            }
            // Its answer is as new as ours would be.
            if (!entry->is_refreshing && loop.now() < entry->fresh_until) has_asked = true;
            continue;
        }
        if (is_known && loop.now() < entry->fresh_until) {
            const Instant until = std::min(end, entry->fresh_until);
            co_await entry->moved.wait(until);
            continue;
        }
        auto asked = co_await refresh(entry, service, deadline);
        if (!asked) co_return std::move(asked).error();
        has_asked = true;
    }
    co_return Answer{.endpoints = entry->endpoints, .index = entry->index};
}

// "_http._tcp.example.org" -> "http", for the name "_{service}._tcp.example.org"; empty if it does
// not fit the pattern.
std::string DnsBackend::service_of(const DnsName& type) const {
    constexpr std::string_view kPlace = "{service}";
    const std::string text = core::lowercase(type.text());
    std::string pattern = core::lowercase(config_.name);
    if (!pattern.ends_with('.')) pattern += '.';
    const std::size_t at = pattern.find(kPlace);
    const std::string_view before = std::string_view(pattern).substr(0, at);
    const std::string_view behind = std::string_view(pattern).substr(at + kPlace.size());
    const bool fits = text.size() > before.size() + behind.size() && text.starts_with(before) &&
                      text.ends_with(behind);
    if (!fits) return {};
    std::string service = text.substr(before.size(), text.size() - before.size() - behind.size());
    return check_service_name(service).ok() ? service : "";
}

io::Task<Result<std::vector<ServiceSummary>>> DnsBackend::services(Instant deadline) {
    if (config_.records != DnsRecords::dns_sd) {
        co_return Error{
            .code = Code::invalid,
            .what = "dns: there is no list of services in DNS, but with records: dns_sd",
            .source = Source::registry
        };
    }
    // The domain is what follows "_tcp" or "_udp".
    const DnsName pattern = *DnsName::parse(*name_of(config_, "x"));
    const auto labels = pattern.labels();
    std::size_t skip = std::min<std::size_t>(2, labels.size());
    const std::vector<std::string_view> domain(
        labels.begin() + static_cast<std::ptrdiff_t>(skip), labels.end()
    );
    const auto below = DnsName::from_labels(domain);
    if (!below) co_return below.error();
    const auto name = DnsName::parse(kListing)->below(*below);
    if (!name) co_return name.error();
    const DnsType type = DnsType::ptr;
    auto answer = co_await client_.ask(*name, type, deadline);
    if (!answer) co_return std::move(answer).error();
    std::map<std::string, ServiceSummary> sorted;
    for (const wire::dns::DnsRecord* record : records_of(*answer, *name, type).found) {
        const std::string service = service_of(std::get<wire::dns::NameData>(record->data).name);
        if (!service.empty()) sorted[service].name = service;
    }
    std::vector<ServiceSummary> summaries;
    for (auto& [service, summary] : sorted) summaries.push_back(std::move(summary));
    co_return std::move(summaries);
}

}  // namespace datapunk::mesh::registry::dns
