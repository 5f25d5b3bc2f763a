#include "registry/dns/dns_lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "io/address.h"

namespace datapunk::mesh::registry::dns {

using wire::dns::DnsMessage;
using wire::dns::DnsName;
using wire::dns::DnsRecord;
using wire::dns::DnsType;
using wire::dns::NameData;
using wire::dns::SrvData;
using wire::dns::TxtData;

namespace {

constexpr std::size_t kAtOnce = 8;  // questions under way for one service
constexpr std::uint32_t kWeightMax = 65'535;
constexpr int kAliasesMax = 4;  // names to go on asking for, beyond what one answer follows

std::string ip_text(const DnsRecord& record) {
    const auto& address = std::get<wire::dns::AddressData>(record.data);
    return io::SocketAddress{.ip = address.ip, .is_v6 = record.type == DnsType::aaaa}.ip_text();
}

void append_ips(const std::vector<const DnsRecord*>& records, std::vector<std::string>& ips) {
    for (const DnsRecord* record : records) {
        std::string ip = ip_text(*record);
        if (std::find(ips.begin(), ips.end(), ip) == ips.end()) ips.push_back(std::move(ip));
    }
}

Error too_many(std::string_view service, std::size_t count, std::size_t limit) {
    return {
        .code = Code::exhausted,
        .what = fmt::format("dns: {} has {} endpoints, at most {}", service, count, limit),
        .source = Source::registry
    };
}

}  // namespace

void DnsLookup::note_ttl(std::uint32_t seconds) {
    const Duration ttl =
        std::clamp<Duration>(std::chrono::seconds(seconds), config_.ttl_min, config_.ttl_max);
    found_.holds_for = has_ttl_ ? std::min(found_.holds_for, ttl) : ttl;
    has_ttl_ = true;
}

void DnsLookup::note_negative(const DnsMessage& message) {
    const Duration said = std::chrono::seconds(negative_ttl_s(message).value_or(0));
    const Duration most = std::max(config_.ttl_min, config_.negative_ttl_max);
    const Duration ttl = std::clamp<Duration>(said, config_.ttl_min, most);
    found_.holds_for = has_ttl_ ? std::min(found_.holds_for, ttl) : ttl;
    has_ttl_ = true;
}

// Additional records save questions; they come from the server that we ask anyway.
void DnsLookup::keep(const DnsMessage& message) {
    for (const DnsRecord& record : message.additional) hints_.additional.push_back(record);
}

io::Task<Result<Found>> DnsLookup::run(std::string service, Instant deadline) {
    Result<> done = Ok{};
    switch (config_.records) {
        case DnsRecords::srv: {
            auto result = co_await find_srv(service, deadline);
            done = std::move(result);
            break;
        }
        case DnsRecords::address: {
            auto result = co_await find_addresses(service, deadline);
            done = std::move(result);
            break;
        }
        case DnsRecords::dns_sd: {
            auto result = co_await browse(service, deadline);
            done = std::move(result);
            break;
        }
    }
    if (!done) co_return std::move(done).error();
    std::sort(
        found_.endpoints.begin(),
        found_.endpoints.end(),
        [](const ServiceEndpoint& a, const ServiceEndpoint& b) { return a.id < b.id; }
    );
    co_return std::move(found_);
}

std::vector<DnsLookup::Target> DnsLookup::targets_of(const std::vector<const DnsRecord*>& records
) const {
    std::vector<Target> targets;
    for (const DnsRecord* record : records) {
        const auto& srv = std::get<SrvData>(record->data);
        if (srv.target.is_root()) continue;  // "decidedly not available" (RFC 2782)
        Target target;
        target.host = srv.target;
        target.priority = srv.priority;
        target.weight = std::max<std::uint32_t>(1, srv.weight);
        target.port = srv.port;
        if (srv.port != 0) targets.push_back(std::move(target));
    }
    return targets;
}

// What stands at the service's own name. How long it holds is noted, and what came along is kept.
io::Task<Result<DnsLookup::Listed>> DnsLookup::list(
    std::string service, DnsType type, Instant deadline
) {
    const auto text = name_of(config_, service);
    if (!text) co_return text.error();
    const DnsName name = *DnsName::parse(*text);
    auto answer = co_await client_.ask(name, type, deadline);
    if (!answer) co_return std::move(answer).error();
    Listed listed;
    listed.message = *std::move(answer);
    listed.records = records_of(listed.message, name, type);
    if (listed.records.found.empty()) {
        note_negative(listed.message);
    } else {
        note_ttl(listed.records.ttl_s);
        keep(listed.message);
    }
    co_return std::move(listed);
}

io::Task<Result<>> DnsLookup::find_srv(std::string service, Instant deadline) {
    const DnsType type = DnsType::srv;
    auto listed = co_await list(service, type, deadline);
    if (!listed) co_return std::move(listed).error();
    const Records& records = listed->records;
    targets_ = targets_of(records.found);
    if (targets_.size() > config_.endpoints_max) {
        co_return too_many(service, targets_.size(), config_.endpoints_max);
    }
    // Callers use the lowest-numbered group that has anybody in it.
    std::set<std::uint16_t> priorities;
    for (const Target& target : targets_) priorities.insert(target.priority);
    const std::vector<Target> all = std::move(targets_);
    for (const std::uint16_t priority : priorities) {
        targets_.clear();
        for (const Target& target : all) {
            if (target.priority == priority) targets_.push_back(target);
        }
        auto resolved = co_await do_all(&DnsLookup::resolve, targets_.size(), deadline);
        if (!resolved) co_return std::move(resolved);
        add(service);
        if (!found_.endpoints.empty()) break;
    }
    co_return Ok{};
}

io::Task<Result<>> DnsLookup::find_addresses(std::string service, Instant deadline) {
    const auto text = name_of(config_, service);
    if (!text) co_return text.error();
    Target whole;
    whole.host = *DnsName::parse(*text);
    whole.port = config_.port;
    targets_.push_back(std::move(whole));
    const std::size_t first = 0;
    auto resolved = co_await resolve(first, deadline);
    if (!resolved) co_return std::move(resolved);
    // Every address is an instance of its own here: none shares its weight.
    const Target asked = std::move(targets_[0]);
    targets_.clear();
    for (const std::string& ip : asked.ips) {
        targets_.push_back(asked);
        targets_.back().ips = {ip};
    }
    if (targets_.size() > config_.endpoints_max) {
        co_return too_many(service, targets_.size(), config_.endpoints_max);
    }
    add(service);
    co_return Ok{};
}

io::Task<Result<>> DnsLookup::browse(std::string service, Instant deadline) {
    const DnsType type = DnsType::ptr;
    auto listed = co_await list(service, type, deadline);
    if (!listed) co_return std::move(listed).error();
    const Records& records = listed->records;
    std::set<std::string> seen;
    for (const DnsRecord* record : records.found) {
        const DnsName& instance = std::get<NameData>(record->data).name;
        if (instance.is_root() || !seen.insert(instance.key()).second) continue;
        Browsed browsed;
        browsed.name = instance;
        instances_.push_back(std::move(browsed));
    }
    if (instances_.size() > config_.endpoints_max) {
        co_return too_many(service, instances_.size(), config_.endpoints_max);
    }
    auto described = co_await do_all(&DnsLookup::describe, instances_.size(), deadline);
    if (!described) co_return std::move(described);
    for (Browsed& instance : instances_) {
        for (Target& target : instance.targets) targets_.push_back(std::move(target));
    }
    auto resolved = co_await do_all(&DnsLookup::resolve, targets_.size(), deadline);
    if (!resolved) co_return std::move(resolved);
    add(service);
    co_return Ok{};
}

io::Task<Result<>> DnsLookup::do_all(Work work, std::size_t count, Instant deadline) {
    next_ = 0;
    working_ = 0;
    problem_.reset();
    io::TaskGroup workers;
    const std::size_t at_once = std::min(kAtOnce, count);
    for (std::size_t i = 0; i < at_once; ++i) {
        ++working_;
        workers.spawn(do_some(work, count, deadline));
    }
    // Every question has the deadline, so they end by themselves.
    while (working_ > 0) {
        all_done_.clear();
        co_await all_done_.wait(kNever);
    }
    if (problem_) co_return *std::move(problem_);
    co_return Ok{};
}

io::Task<void> DnsLookup::do_some(Work work, std::size_t count, Instant deadline) {
    while (next_ < count && !problem_) {
        const std::size_t which = next_++;
        auto done = co_await (this->*work)(which, deadline);
        if (!done && !problem_) problem_ = std::move(done).error();
    }
    if (--working_ == 0) all_done_.set();
}

// An instance's SRV and TXT: from what came with the browsing, or asked for.
io::Task<Result<>> DnsLookup::describe(std::size_t which, Instant deadline) {
    const DnsName name = instances_[which].name;
    std::vector<Target> targets;
    const DnsType srv = DnsType::srv;
    const auto known = mentioned(hints_, name, srv);
    if (!known.empty()) {
        for (const DnsRecord* record : known) note_ttl(record->ttl_s);
        targets = targets_of(known);
    } else {
        auto answer = co_await client_.ask(name, srv, deadline);
        if (!answer) co_return std::move(answer).error();
        const Records records = records_of(*answer, name, srv);
        if (records.found.empty()) note_negative(*answer);
        if (!records.found.empty()) note_ttl(records.ttl_s);
        keep(*answer);
        targets = targets_of(records.found);
    }
    if (targets.empty()) co_return Ok{};  // going: listed still, but without an address
    const auto best =
        std::min_element(targets.begin(), targets.end(), [](const Target& a, const Target& b) {
            return a.priority < b.priority;
        });
    const std::uint16_t priority = best->priority;
    std::erase_if(targets, [&](const Target& target) { return target.priority != priority; });
    std::vector<std::string> texts;
    const DnsType txt = DnsType::txt;
    const auto told = mentioned(hints_, name, txt);
    if (!told.empty()) {
        texts = std::get<TxtData>(told[0]->data).texts;
    } else {
        auto answer = co_await client_.ask(name, txt, deadline);
        if (!answer) co_return std::move(answer).error();
        const Records records = records_of(*answer, name, txt);
        if (!records.found.empty()) {
            note_ttl(records.ttl_s);
            texts = std::get<TxtData>(records.found[0]->data).texts;
        }
    }
    for (Target& target : targets) {
        target.id = id_of(name.labels().front());
        target.text = read_texts(texts);
    }
    instances_[which].targets = std::move(targets);
    co_return Ok{};
}

io::Task<Result<>> DnsLookup::resolve(std::size_t which, Instant deadline) {
    const DnsName host = targets_[which].host;
    const bool v6_first = config_.family == DnsFamily::ipv6_first;
    std::vector<std::string> ips;
    for (int i = 0; i < 2; ++i) {
        const bool is_v6 = (i == 0) == v6_first;
        if (!ips.empty() && config_.family != DnsFamily::both) break;
        const DnsType type = is_v6 ? DnsType::aaaa : DnsType::a;
        const auto known = mentioned(hints_, host, type);
        for (const DnsRecord* record : known) note_ttl(record->ttl_s);
        append_ips(known, ips);
        if (!known.empty()) continue;
        // The other family is known: who says that much says all.
        const DnsType other = is_v6 ? DnsType::a : DnsType::aaaa;
        if (i == 0 && config_.family != DnsFamily::both) {
            const bool has_other = !mentioned(hints_, host, other).empty();
            if (has_other) continue;
        }
        auto more = co_await ask_ips(host, type, deadline);
        if (!more) co_return std::move(more).error();
        for (std::string& ip : *more) ips.push_back(std::move(ip));
    }
    targets_[which].ips = std::move(ips);
    co_return Ok{};
}

io::Task<Result<std::vector<std::string>>> DnsLookup::ask_ips(
    Name name, DnsType type, Instant deadline
) {
    std::vector<std::string> ips;
    for (int alias = 0; alias < kAliasesMax; ++alias) {
        auto answer = co_await client_.ask(name, type, deadline);
        if (!answer) co_return std::move(answer).error();
        const Records records = records_of(*answer, name, type);
        append_ips(records.found, ips);
        const bool is_elsewhere = records.found.empty() && !(records.name == name);
        if (records.found.empty() && !is_elsewhere) note_negative(*answer);
        if (records.ttl_s != UINT32_MAX) note_ttl(records.ttl_s);
        if (!is_elsewhere || answer->rcode == wire::dns::DnsRcode::name_error) break;
        name = records.name;
    }
    co_return std::move(ips);
}

// The targets as endpoints. An address and port that two of them share is one endpoint.
void DnsLookup::add(const std::string& service) {
    for (const Target& target : targets_) {
        const auto shares = static_cast<std::uint32_t>(std::max<std::size_t>(target.ips.size(), 1));
        for (const std::string& ip : target.ips) {
            ServiceEndpoint endpoint;
            endpoint.service = service;
            endpoint.host = ip;
            endpoint.port = target.port;
            endpoint.weight = std::clamp<std::uint32_t>(target.weight / shares, 1, kWeightMax);
            endpoint.tags = target.text.tags;
            endpoint.metadata = target.text.metadata;
            if (target.priority != 0) {
                endpoint.metadata["dns-priority"] = std::to_string(target.priority);
            }
            const std::string place = fmt::format("{}-{}", ip, target.port);
            endpoint.id = target.id.empty() ? service + "-" + place : target.id;
            // An instance with several addresses, or two whose names came out the same.
            if (!target.id.empty() && ids_.contains(endpoint.id)) endpoint.id += "-" + place;
            if (ids_.insert(endpoint.id).second) found_.endpoints.push_back(std::move(endpoint));
        }
    }
}

}  // namespace datapunk::mesh::registry::dns
