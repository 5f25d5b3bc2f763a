#pragma once

// DnsBackend: DNS as a registry that others write: SRV, A/AAAA or DNS-SD (dns_lookup.h).
//
//   wait ── known and fresh ── until the TTL is over, or NOTIFY came ──┐
//     └──────────────────────────────────────────────── asks ◄─────────┘── changed: a new index
//
// There is no index in DNS: each service has one of ours, that moves when its endpoints do. A
// service is asked about once at a time, however many wait. No such name is a service without
// endpoints; a server that fails is an error, so that discovery keeps what it had. All endpoints
// are passing: a server that checks health leaves out the others. One loop's object; tasks must end
// before it does.

#include <datapunk/mesh/result.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/log.h"
#include "registry/backend.h"
#include "registry/dns/dns_client.h"
#include "registry/dns/dns_lookup.h"
#include "registry/dns/dns_notify.h"

namespace datapunk::mesh::registry::dns {

class DnsBackend final : public ReadOnlyBackend {
  public:
    // Asks nobody yet; listens for NOTIFY, if configured. Code::invalid: the configuration is not
    // usable; conflict: the port for NOTIFY is taken.
    static Result<std::unique_ptr<DnsBackend>> create(
        io::Network& network,
        DnsConfig config,
        core::Logger log = {},
        metrics::MetricRegistry* metrics = nullptr
    );
    ~DnsBackend() override;

    std::string_view kind() const noexcept override { return "dns"; }

    io::Task<Result<Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override;
    // With dns_sd, what "_services._dns-sd._udp" lists (RFC 6763 9). Otherwise Code::invalid: DNS
    // has no list.
    io::Task<Result<std::vector<ServiceSummary>>> services(Instant deadline) override;

    const DnsClientStats& stats() const noexcept { return client_.stats(); }

    // Null without notify.address.
    const DnsNotify* notify() const noexcept { return notify_.get(); }

  private:
    struct Known;

    DnsBackend(io::Network& network, DnsConfig config);

    Known& known(const std::string& service);
    io::Task<Result<>> refresh(std::shared_ptr<Known> entry, std::string service, Instant deadline);
    void on_notify(const wire::dns::DnsName& zone);
    std::string service_of(const wire::dns::DnsName& type) const;

    io::Network& network_;
    const DnsConfig config_;
    DnsClient client_;
    std::map<std::string, std::shared_ptr<Known>> known_;
    std::uint64_t last_index_ = 0;
    std::unique_ptr<DnsNotify> notify_;  // last: its task calls us
};

}  // namespace datapunk::mesh::registry::dns
