#pragma once

// EtcdBackend: a registry in etcd v3, through its JSON gateway.
//
//   register    a swap of two keys under a lease that is renewed for as long as this object lives
//   deregister  a swap that deletes them; with the last one the lease is revoked
//   heartbeat   health is part of the record: written when it changes
//   wait        one watch a service, shared by its waits (watched_service.h)
//   services    a read of all records
//
// etcd knows nothing of health: who registers must run the check and report it by heartbeat(). See
// keys.h for what stands where. One loop's object; tasks must end before it does.

#include <datapunk/mesh/result.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/log.h"
#include "io/network.h"
#include "registry/backend.h"
#include "registry/etcd/etcd_client.h"
#include "registry/etcd/etcd_config.h"
#include "registry/etcd/lease_store.h"
#include "registry/etcd/watched_service.h"
#include "registry/held_registrations.h"

namespace datapunk::mesh::registry::etcd {

class EtcdBackend final : public Backend {
  public:
    // Talks to nobody yet. Code::invalid if the configuration is not usable.
    static Result<std::unique_ptr<EtcdBackend>> create(
        io::Network& network, EtcdConfig config, core::Logger log
    );

    std::string_view kind() const noexcept override { return "etcd"; }

    Capabilities capabilities() const noexcept override {
        return {.kept_alive_by = KeptAliveBy::lease};
    }

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override;
    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override;
    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override;
    io::Task<Result<std::optional<Metadata>>> metadata_of(std::string id, Instant deadline)
        override;
    io::Task<Result<>> heartbeat(std::string id, Health health, std::string note, Instant deadline)
        override;
    io::Task<Result<Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override;
    io::Task<Result<std::vector<ServiceSummary>>> services(Instant deadline) override;

  private:
    EtcdBackend(
        io::Network& network,
        EtcdConfig config,
        std::shared_ptr<const io::TlsContext> tls,
        core::Logger log
    );

    EtcdClient client_;
    LeaseStore store_;
    HeldRegistrations registrations_;
    std::map<std::string, std::shared_ptr<WatchedService>, std::less<>> views_;
};

}  // namespace datapunk::mesh::registry::etcd
