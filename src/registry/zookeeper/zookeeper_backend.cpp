#include "registry/zookeeper/zookeeper_backend.h"

#include <utility>

#if MESH_ZOOKEEPER

#include <map>
#include <string>
#include <vector>

#include "registry/held_registrations.h"
#include "registry/instance_record.h"
#include "registry/zookeeper/child_view.h"
#include "registry/zookeeper/ephemeral_store.h"
#include "registry/zookeeper/session.h"
#include "wire/url.h"

#endif

namespace datapunk::mesh::registry::zookeeper {

#if MESH_ZOOKEEPER

namespace {

// A view that nobody waits on is kept for so long, with its watches.
constexpr Duration kLinger = std::chrono::minutes(1);

class ZookeeperBackend final : public Backend {
  public:
    ZookeeperBackend(
        io::EpollLoop& loop, io::Network& network, ZookeeperConfig config, core::Logger log
    )
        : session_(
              loop,
              network,
              std::move(config),
              std::move(log),
              {.on_lost = [this] { on_lost(); },
               .on_changed = [this](const std::string& path) { on_changed(path); },
               .on_failing =
                   [this] {
                       for (const auto& [name, view] : views_) view->note_failing();
                   }}
          ),
          store_(session_),
          registrations_(
              loop,
              store_,
              session_.config().node,
              2 * session_.config().connect_timeout,
              session_.log()
          ) {}

    std::string_view kind() const noexcept override { return "zookeeper"; }

    Capabilities capabilities() const noexcept override {
        return {.kept_alive_by = KeptAliveBy::lease};
    }

    io::Task<Result<>> register_service(ServiceConfig config, Instant deadline) override {
        return registrations_.put(std::move(config), deadline);
    }

    io::Task<Result<>> deregister_service(std::string id, Instant deadline) override {
        return registrations_.remove(std::move(id), deadline);
    }

    io::Task<Result<bool>> has_service(std::string id, Instant deadline) override {
        return store_.has(std::move(id), deadline);
    }

    io::Task<Result<std::optional<Metadata>>> metadata_of(std::string id, Instant deadline)
        override {
        return store_.metadata_of(std::move(id), deadline);
    }

    io::Task<Result<>> heartbeat(std::string id, Health health, std::string note, Instant deadline)
        override {
        return registrations_.beat(std::move(id), health, std::move(note), deadline);
    }

    io::Task<Result<Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override {
        const Instant oldest = session_.loop().now() - kLinger;
        std::erase_if(views_, [oldest](const auto& entry) {
            return entry.second->is_idle() && entry.second->last_used() < oldest;
        });
        std::shared_ptr<ChildView>& known = views_[node_name(service)];
        if (known == nullptr) known = std::make_shared<ChildView>(session_, service);
        const std::shared_ptr<ChildView> view = known;  // stays while we wait
        auto answer = co_await view->wait(after, longest, deadline);
        co_return std::move(answer);
    }

    io::Task<Result<std::vector<ServiceSummary>>> services(Instant deadline) override {
        const std::string root = session_.config().prefix + "/services";
        std::vector<ServiceEndpoint> endpoints;
        auto names = co_await session_.children(root, false, deadline);
        if (!names && names.error().code != Code::not_found) co_return std::move(names).error();
        if (!names) co_return summarise(endpoints);
        for (const std::string& name : names->names) {
            auto service = wire::percent_decode(name);
            if (!service) continue;
            // A view of its own, which nobody keeps.
            ChildView view(session_, *service);
            auto answer = co_await view.wait(0, Duration::zero(), deadline);
            if (!answer) co_return std::move(answer).error();
            for (ServiceEndpoint& one : answer->endpoints) endpoints.push_back(std::move(one));
        }
        co_return summarise(endpoints);
    }

  private:
    void on_lost() {
        registrations_.lost_all();
        for (const auto& [name, view] : views_) view->note_lost();
    }

    // PREFIX/services/NAME or PREFIX/services/NAME/ID.
    void on_changed(const std::string& path) {
        const std::string root = session_.config().prefix + "/services/";
        if (!path.starts_with(root)) return;
        const std::string_view rest = std::string_view(path).substr(root.size());
        const std::size_t slash = rest.find('/');
        const auto view = views_.find(rest.substr(0, slash));
        if (view == views_.end()) return;
        view->second->note_changed(
            slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1)
        );
    }

    ZookeeperSession session_;
    EphemeralStore store_;
    HeldRegistrations registrations_;
    std::map<std::string, std::shared_ptr<ChildView>, std::less<>> views_;  // by node name
};

}  // namespace

bool is_built_in() noexcept {
    return true;
}

Result<std::unique_ptr<Backend>> create_zookeeper(
    io::EpollLoop& loop, io::Network& network, ZookeeperConfig config, core::Logger log
) {
    if (auto verdict = check(config); !verdict) return verdict.error();
    std::unique_ptr<Backend> made =
        std::make_unique<ZookeeperBackend>(loop, network, std::move(config), std::move(log));
    return made;
}

#else

bool is_built_in() noexcept {
    return false;
}

Result<std::unique_ptr<Backend>> create_zookeeper(
    io::EpollLoop&, io::Network&, ZookeeperConfig config, core::Logger
) {
    if (auto verdict = check(config); !verdict) return verdict.error();
    return Error{
        .code = Code::invalid,
        .what = "ZooKeeper is not built in: install libzookeeper-st-dev and build again"
    };
}

#endif

}  // namespace datapunk::mesh::registry::zookeeper
