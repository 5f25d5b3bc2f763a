#include "mesh/mesh_core.h"

#include <fmt/format.h>

#include "core/assert.h"
#include "io/epoll_loop.h"
#include "io/process_usage.h"
#include "io/signal_fd.h"
#include "mesh/log_function.h"
#include "metrics/exposition.h"
#include "metrics/names.h"

namespace datapunk::mesh::internal {

namespace {

// How often a stopping mesh looks whether its callers have left.
constexpr Duration kDrainInterval = std::chrono::milliseconds(1);

constexpr metrics::BuildInfo kBuild = {
    .version = DATAPUNK_MESH_VERSION, .revision = "", .compiler = __VERSION__
};

}  // namespace

MeshCore::MeshCore(World world, MeshOptions options)
    : options_(std::move(options)),
      process_id_(io::process_id()),
      log_(make_logger(options_.log_level, options_.log)),
      delivery_(metrics_, log_),
      world_(std::move(world)),
      process_metrics_(metrics_, kBuild),
      hedger_(*world_.clock) {
    link_->core = this;
    control_ = std::make_unique<Control>(ControlParts{
        .loop = *world_.loop,
        .backend = std::move(world_.backend),
        .log = log_,
        .metrics = metrics_,
        .services = services_,
        .collect_mutex = collect_mutex_,
        .discovery = options_.discovery,
        .timeout = options_.timeout,
        .drain_delay = options_.drain_delay,
        .who = Ownership::of_this_process(options_.owner),
        .elsewhere = [this](std::function<void()> work) { delivery_.post(std::move(work)); },
        .network = world_.network.get(),
    });
    const io::AllSignalsBlocked blocked;  // its handlers are the program's, not this thread's
    thread_ = std::thread([this] {
        control_->start();
        world_.loop->run();
        control_->cancel();
    });
}

MeshCore::~MeshCore() {
    MESH_ASSERT(!thread_.joinable());
}

bool MeshCore::is_ours() const noexcept {
    return io::process_id() == process_id_;
}

bool MeshCore::is_own_thread() const noexcept {
    return thread_.get_id() == std::this_thread::get_id();
}

bool MeshCore::stop() {
    MESH_ASSERT(!is_own_thread() && !delivery_.is_own_thread());  // it cannot wait for itself
    const Instant deadline = world_.clock->now() + options_.stop_timeout;
    {
        const std::lock_guard lock(link_->mutex);
        link_->core = nullptr;
    }
    gate_.close();
    {
        const std::lock_guard lock(sleep_mutex_);
    }
    woken_.notify_all();
    services_.for_each([](ServiceState& service) {
        service.fail(stopping_error());
        service.policies.admission().close();
    });

    struct Withdrawn {
        std::mutex mutex;
        bool is_over = false;
        std::condition_variable changed;
    };

    const auto withdrawn = std::make_shared<Withdrawn>();
    auto note = [withdrawn](const Result<>&) {
        {
            const std::lock_guard lock(withdrawn->mutex);
            withdrawn->is_over = true;
        }
        withdrawn->changed.notify_all();
    };
    world_.loop->post([this, deadline, done = Done<Ok>(std::move(note))]() mutable {
        control_->stop(deadline, std::move(done));
    });
    const bool is_empty = drain(deadline);
    if (is_empty) hedger_.stop();
    {
        std::unique_lock lock(withdrawn->mutex);
        withdrawn->changed.wait(lock, [&] { return withdrawn->is_over; });
    }
    world_.loop->stop();
    thread_.join();
    const bool is_delivered = delivery_.stop(*world_.clock, deadline);
    if (!is_delivered) {
        log_.error("callbacks run longer than stop_timeout; what they use is left behind");
    }
    return is_empty && is_delivered;
}

bool MeshCore::drain(Instant deadline) {
    std::mutex nobody;
    std::condition_variable nothing;
    std::unique_lock lock(nobody);
    const auto wait_until = [&](const auto& is_over) {
        while (!is_over()) {
            const Instant now = world_.clock->now();
            if (now >= deadline) {
                log_.error(
                    "calls or leases are still out after stop_timeout; their memory is left behind"
                );
                return false;
            }
            world_.clock->wait(lock, nothing, now + kDrainInterval);
        }
        return true;
    };
    // Those who were between "is it closed?" and their lease.
    core::RetiredList coming;
    coming.add([] {});
    const bool is_idle = wait_until([&] {
        coming.collect();
        if (coming.size() > 0 || !gate_.is_empty()) return false;
        std::uint64_t in_flight = 0;
        services_.for_each([&](ServiceState& service) {
            in_flight += service.policies.totals().in_flight;
        });
        return in_flight == 0;
    });
    if (!is_idle) return false;
    // Those who have given their lease back, and are counted, but not out of the function yet.
    core::RetiredList leaving;
    leaving.add([] {});
    return wait_until([&] {
        leaving.collect();
        return leaving.size() == 0;
    });
}

Result<> MeshCore::may_ask() const {
    if (!is_ours()) {
        return Error{
            .code = Code::invalid,
            .what =
                fmt::format("this mesh belongs to process {}; create one after fork()", process_id_)
        };
    }
    if (is_own_thread()) {
        return Error{
            .code = Code::invalid,
            .what =
                "a function that waits was called on the mesh's own thread (from a check or a "
                "registry of yours); use its _async form there"
        };
    }
    return Ok{};
}

template <class T, class Start>
Result<T> MeshCore::ask(Start start) {
    const Gate::Pass pass(gate_);
    if (!pass) return stopping_error();
    if (auto may = may_ask(); !may) return std::move(may).error();

    struct Answer {
        std::mutex mutex;
        std::condition_variable changed;
        std::optional<Result<T>> result;
    };

    const auto answer = std::make_shared<Answer>();
    world_.loop->post([start = std::move(start), done = Done<T>([answer](Result<T> result) {
                                                     // Under the lock: the waiter may be gone right
                                                     // after it.
                                                     const std::lock_guard lock(answer->mutex);
                                                     answer->result.emplace(std::move(result));
                                                     answer->changed.notify_all();
                                                 })]() mutable { start(std::move(done)); });
    // No time limit here: the control half answers by its own deadlines, or when it is stopped.
    std::unique_lock lock(answer->mutex);
    answer->changed.wait(lock, [&] { return answer->result.has_value(); });
    return *std::move(answer->result);
}

template <class T>
Done<T> MeshCore::delivered(std::function<void(Result<T>)> callback) {
    return Done<T>([this, callback = std::move(callback)](Result<T> result) {
        delivery_.post([callback, result = std::move(result)]() mutable {
            callback(std::move(result));
        });
    });
}

Result<ServiceRegistration> MeshCore::register_service(ServiceConfig config) {
    auto good = checked(std::move(config));
    if (!good) return std::move(good).error();
    auto ticket = ask<Registrar::Ticket>([this, copy = *good](Done<Registrar::Ticket> done) {
        control_->register_service(copy, std::move(done));
    });
    if (!ticket) return std::move(ticket).error();
    return ServiceRegistration(std::make_shared<RegistrationState>(link_, *std::move(good), *ticket)
    );
}

void MeshCore::register_service_async(
    ServiceConfig config, std::function<void(Result<ServiceRegistration>)> callback
) {
    const Gate::Pass pass(gate_);
    auto good = checked(config);
    auto answer = [link = link_,
                   announced = good ? *good : config,
                   callback = std::move(callback)](Result<Registrar::Ticket> ticket) {
        if (!ticket) return callback(std::move(ticket).error());
        callback(ServiceRegistration(std::make_shared<RegistrationState>(link, announced, *ticket))
        );
    };
    // Errors come on another thread, too.
    world_.loop->post([this,
                       good = std::move(good),
                       done = delivered<Registrar::Ticket>(std::move(answer))]() mutable {
        if (!good) return done(std::move(good).error());
        control_->register_service(*std::move(good), std::move(done));
    });
}

Result<> MeshCore::deregister_service(std::string_view id) {
    return ask<Ok>([this, copy = std::string(id)](Done<Ok> done) {
        control_->withdraw_id(copy, std::move(done));
    });
}

Result<> MeshCore::withdraw(Registrar::Ticket ticket) {
    if (is_own_thread()) {  // dropped in a callback, which cannot wait
        control_->withdraw(ticket, Done<Ok>([](const Result<>&) {}));
        return Ok{};
    }
    return ask<Ok>([this, ticket](Done<Ok> done) { control_->withdraw(ticket, std::move(done)); });
}

Result<> MeshCore::set_health(Registrar::Ticket ticket, Health health, std::string_view note) {
    return ask<Ok>([this, ticket, health, copy = std::string(note)](Done<Ok> done) {
        control_->set_health(ticket, health, copy, std::move(done));
    });
}

void MeshCore::forget(Registrar::Ticket ticket) {
    world_.loop->post([this, ticket] { control_->registrar().forget(ticket); });
}

Result<EndpointSetPtr> MeshCore::discover_service(
    std::string_view name, const DiscoveryFilter& filter, bool use_cache
) {
    if (auto good = mesh::check(filter); !good) return std::move(good).error();
    return ask<EndpointSetPtr>([this, use_cache, filter, copy = std::string(name)](
                                   Done<EndpointSetPtr> done
                               ) { control_->discover(copy, filter, use_cache, std::move(done)); });
}

void MeshCore::discover_service_async(
    std::string_view name, std::function<void(Result<EndpointSetPtr>)> callback
) {
    const Gate::Pass pass(gate_);
    world_.loop->post(
        [this, copy = std::string(name), done = delivered<EndpointSetPtr>(std::move(callback))](
        ) mutable { control_->discover(std::move(copy), {}, true, std::move(done)); }
    );
}

Result<Watch> MeshCore::watch_service(
    std::string_view name, const DiscoveryFilter& filter, WatchCallback callback
) {
    if (auto good = mesh::check(filter); !good) return std::move(good).error();
    const auto state = std::make_shared<WatchState>(std::move(callback));
    auto begun = ask<Ok>([this, state, filter, copy = std::string(name)](Done<Ok> done) {
        done(control_->watch(copy, filter, state));
    });
    if (!begun) return std::move(begun).error();
    return Watch([state, link = link_] {
        state->stop();
        const std::lock_guard lock(link->mutex);
        if (link->core != nullptr) link->core->unlink_watch(state);
    });
}

void MeshCore::unlink_watch(const std::shared_ptr<WatchState>& watch) {
    if (!is_ours()) return;
    world_.loop->post([this, watch] { control_->unwatch(watch.get()); });
}

Result<ServiceState*> MeshCore::use(std::string_view name, const ServicePolicy* policy) {
    const Gate::Pass pass(gate_);
    if (!pass) return stopping_error();
    if (auto good = check_service_name(name); !good) return std::move(good).error();
    if (services_.size() >= ServiceMesh::kServicesMax && services_.find(name) == nullptr) {
        return Error{
            .code = Code::exhausted,
            .what = fmt::format("{}: {} services in use already", name, ServiceMesh::kServicesMax)
        };
    }
    if (policy == nullptr) {
        const auto at = options_.services.find(std::string(name));
        policy = at == options_.services.end() ? &options_.policy : &at->second;
    }
    const auto [service, is_new] = services_.find_or_add(name, [&] {
        return std::make_unique<ServiceState>(
            std::string(name), *policy, io::random_seed(), metrics_
        );
    });
    if (is_new) {
        // A child made by fork() has nobody to follow it.
        if (!is_ours()) service->fail(may_ask().error());
        world_.loop->post([this, added = service] { control_->follow(*added); });
    }
    return service;
}

Result<Service> MeshCore::service(std::string_view name, const ServicePolicy* policy) {
    if (policy != nullptr) {
        if (auto good = check_policy(options_, *policy); !good) return std::move(good).error();
    }
    auto used = use(name, policy);
    if (!used) return std::move(used).error();
    if (policy != nullptr && *(*used)->policies.policy() != *policy) {
        return Error{
            .code = Code::conflict,
            .what = fmt::format("{}: already in use under another policy", name)
        };
    }
    return Service(*this, **used);
}

Result<> MeshCore::readiness() const {
    return control_->readiness();
}

std::string MeshCore::metrics_text() {
    const Instant now = world_.clock->now();
    const auto usage = io::read_process_usage();
    const std::lock_guard lock(collect_mutex_);
    services_.for_each([&](ServiceState& service) {
        service.collector.update(service.policies, now);
    });
    process_metrics_.update(
        {.resident_bytes = usage.resident_bytes,
         .open_fds = usage.open_fds,
         .max_fds = usage.max_fds,
         .cpu = usage.cpu,
         .started_at = usage.started_at}
    );
    return metrics::expose(metrics_.snapshot(), metrics::ExpositionFormat::prometheus);
}

}  // namespace datapunk::mesh::internal
