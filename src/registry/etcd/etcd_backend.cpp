#include "registry/etcd/etcd_backend.h"

#include <utility>

#include "registry/etcd/keys.h"
#include "registry/etcd/range_reader.h"
#include "registry/instance_record.h"

namespace datapunk::mesh::registry::etcd {

Result<std::unique_ptr<EtcdBackend>> EtcdBackend::create(
    io::Network& network, EtcdConfig config, core::Logger log
) {
    if (auto verdict = check(config); !verdict) return verdict.error();
    std::shared_ptr<const io::TlsContext> tls;
    if (config.tls) {
        auto made = http::client_tls(*config.tls);
        if (!made) return std::move(made).error();
        tls = *std::move(made);
    }
    return std::unique_ptr<EtcdBackend>(
        new EtcdBackend(network, std::move(config), std::move(tls), std::move(log))
    );
}

EtcdBackend::EtcdBackend(
    io::Network& network,
    EtcdConfig config,
    std::shared_ptr<const io::TlsContext> tls,
    core::Logger log
)
    : client_(network, std::move(config), std::move(tls), std::move(log)),
      store_(client_, [this] { registrations_.lost_all(); }),
      registrations_(
          network.loop(),
          store_,
          client_.config().node,
          2 * client_.config().request_timeout,
          client_.log()
      ) {}

io::Task<Result<>> EtcdBackend::register_service(ServiceConfig config, Instant deadline) {
    return registrations_.put(std::move(config), deadline);
}

io::Task<Result<>> EtcdBackend::deregister_service(std::string id, Instant deadline) {
    return registrations_.remove(std::move(id), deadline);
}

io::Task<Result<bool>> EtcdBackend::has_service(std::string id, Instant deadline) {
    auto found = co_await store_.metadata_of(std::move(id), deadline);
    if (!found) co_return std::move(found).error();
    co_return found->has_value();
}

io::Task<Result<std::optional<Metadata>>> EtcdBackend::metadata_of(
    std::string id, Instant deadline
) {
    return store_.metadata_of(std::move(id), deadline);
}

io::Task<Result<>> EtcdBackend::heartbeat(
    std::string id, Health health, std::string note, Instant deadline
) {
    return registrations_.beat(std::move(id), health, std::move(note), deadline);
}

io::Task<Result<Answer>> EtcdBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    std::erase_if(views_, [](const auto& entry) { return entry.second->is_idle(); });
    std::shared_ptr<WatchedService>& known = views_[service];
    if (known == nullptr) known = std::make_shared<WatchedService>(client_, service);
    const std::shared_ptr<WatchedService> view = known;  // stays while we wait
    auto answer = co_await view->wait(after, longest, deadline);
    co_return std::move(answer);
}

io::Task<Result<std::vector<ServiceSummary>>> EtcdBackend::services(Instant deadline) {
    const std::string& prefix = client_.config().prefix;
    auto all = co_await read_prefix(client_, services_prefix(prefix), deadline);
    if (!all) co_return std::move(all).error();
    std::vector<ServiceEndpoint> endpoints;
    for (const KeyValue& kv : all->kvs) {
        const auto key = parse_instance_key(prefix, kv.key);
        if (!key) continue;
        auto record = parse_record(kv.value, key->service, key->id);
        if (record) endpoints.push_back(std::move(record->endpoint));
    }
    co_return summarise(endpoints);
}

}  // namespace datapunk::mesh::registry::etcd
