// The public functions: from handles to MeshCore.

#include <datapunk/mesh/mesh.h>

#include <algorithm>
#include <new>
#include <utility>

#include "core/assert.h"
#include "mesh/log_function.h"
#include "mesh/mesh_core.h"
#include "mesh/world.h"
#include "wire/load_report.h"

namespace datapunk::mesh {

// --- Lease

static_assert(sizeof(internal::LeaseState) <= 48);
static_assert(alignof(internal::LeaseState) <= alignof(std::max_align_t));

Lease::Lease(internal::LeaseState&& state) noexcept : is_held_(true) {
    ::new (static_cast<void*>(storage_)) internal::LeaseState(std::move(state));
}

Lease::Lease(Lease&& other) noexcept : is_held_(other.is_held_) {
    if (!is_held_) return;
    ::new (static_cast<void*>(storage_)) internal::LeaseState(std::move(other.state()));
    other.drop();
}

Lease& Lease::operator=(Lease&& other) noexcept {
    if (this == &other) return *this;
    drop();
    if (other.is_held_) {
        ::new (static_cast<void*>(storage_)) internal::LeaseState(std::move(other.state()));
        is_held_ = true;
        other.drop();
    }
    return *this;
}

Lease::~Lease() {
    drop();
}

internal::LeaseState& Lease::state() noexcept {
    MESH_ASSERT(is_held_);
    return *std::launder(reinterpret_cast<internal::LeaseState*>(storage_));
}

const internal::LeaseState& Lease::state() const noexcept {
    MESH_ASSERT(is_held_);
    return *std::launder(reinterpret_cast<const internal::LeaseState*>(storage_));
}

void Lease::drop() noexcept {
    if (!is_held_) return;
    state().~LeaseState();
    is_held_ = false;
}

const ServiceEndpoint& Lease::endpoint() const noexcept {
    return state().attempt.endpoint();
}

const std::string& Lease::address() const noexcept {
    return state().attempt.address();
}

void Lease::report(Outcome outcome, Duration latency) noexcept {
    if (!is_held_) return;
    internal::LeaseState& held = state();
    const Instant now = held.clock->now();
    const Instant begun = held.attempt.begun();
    // A latency longer than the lease is a slip; believed, it would move the policies' time ahead.
    const Instant end = latency > Duration::zero() ? std::min(now, begun + latency) : now;
    policy::ServicePolicies* policies = held.attempt.owner();
    policies->finish_attempt(std::move(held.attempt), outcome, end);
    drop();
}

std::string Lease::explain() const {
    const internal::LeaseState& held = state();
    return held.attempt.owner()->explain(held.attempt, held.clock->now());
}

void Lease::report_load(const LoadReport& load) noexcept {
    if (!is_held_) return;
    state().attempt.owner()->report_load(state().attempt, load, state().clock->now());
}

Result<LoadReport> parse_load_report(std::string_view header_value) {
    return wire::parse_load_report(header_value);
}

// --- Attempt

Duration Attempt::remaining() const noexcept {
    if (deadline_ == kNever) return Duration::max();
    return std::max(Duration::zero(), deadline_ - clock_->now());
}

// --- ServiceRegistration

ServiceRegistration::ServiceRegistration(std::shared_ptr<internal::RegistrationState> state
) noexcept
    : state_(std::move(state)) {}

ServiceRegistration::ServiceRegistration(ServiceRegistration&&) noexcept = default;

ServiceRegistration& ServiceRegistration::operator=(ServiceRegistration&& other) noexcept {
    if (this != &other) {
        if (state_ != nullptr) static_cast<void>(state_->deregister());
        state_ = std::move(other.state_);
    }
    return *this;
}

ServiceRegistration::~ServiceRegistration() {
    if (state_ != nullptr) static_cast<void>(state_->deregister());
}

const std::string& ServiceRegistration::id() const noexcept {
    return state_->config().id;
}

const ServiceConfig& ServiceRegistration::config() const noexcept {
    return state_->config();
}

Result<> ServiceRegistration::set_health(Health health, std::string_view note) {
    return state_->set_health(health, note);
}

Result<> ServiceRegistration::deregister() {
    return state_->deregister();
}

void ServiceRegistration::detach() noexcept {
    state_->detach();
}

// --- Service

const std::string& Service::name() const noexcept {
    return state_->policies.name();
}

ServicePolicy Service::policy() const {
    return *state_->policies.policy();
}

Result<> Service::set_policy(const ServicePolicy& policy) const {
    return core_->set_policy(*state_, policy);
}

Result<> Service::force_breaker(BreakerForce how, std::string_view endpoint) const {
    return core_->force_breaker(*state_, how, endpoint);
}

std::string Service::degraded_because() const {
    return state_->policies.degraded_because();
}

Result<Lease> Service::get_service_instance() const {
    return core_->lease(*state_);
}

std::vector<std::string> Service::explain() const {
    std::vector<std::string> lines;
    for (policy::DecisionText& decision : state_->policies.decisions()) {
        lines.push_back(std::move(decision.text));
    }
    return lines;
}

Result<> Service::run(const CallOptions& options, const AttemptFunction& attempt) const {
    return core_->run(*state_, options, attempt);
}

// --- ServiceMesh

Result<ServiceMesh> ServiceMesh::create(MeshOptions options) {
    if (auto good = internal::check(options); !good) return std::move(good).error();
    auto world =
        internal::make_world(options, internal::make_logger(options.log_level, options.log));
    if (!world) return std::move(world).error();
    return ServiceMesh(std::make_unique<internal::MeshCore>(*std::move(world), std::move(options)));
}

ServiceMesh::ServiceMesh(std::unique_ptr<internal::MeshCore> core) noexcept
    : core_(std::move(core)) {}

ServiceMesh::ServiceMesh(ServiceMesh&&) noexcept = default;

ServiceMesh& ServiceMesh::operator=(ServiceMesh&& other) noexcept {
    if (this != &other) {
        const ServiceMesh old(std::move(core_));
        core_ = std::move(other.core_);
    }
    return *this;
}

ServiceMesh::~ServiceMesh() {
    if (core_ == nullptr) return;
    // After fork() its thread, its registrations and everyone who waits in it are the parent's.
    if (core_->is_ours() && core_->stop()) return;
    static_cast<void>(core_.release());
}

Result<ServiceRegistration> ServiceMesh::register_service(ServiceConfig config) {
    return core_->register_service(std::move(config));
}

Result<> ServiceMesh::deregister_service(std::string_view id) {
    return core_->deregister_service(id);
}

Result<EndpointSetPtr> ServiceMesh::discover_service(std::string_view name, bool use_cache) {
    return core_->discover_service(name, {}, use_cache);
}

Result<EndpointSetPtr> ServiceMesh::discover_service(
    std::string_view name, const DiscoveryFilter& filter, bool use_cache
) {
    return core_->discover_service(name, filter, use_cache);
}

Result<Watch> ServiceMesh::watch_service(std::string_view name, WatchCallback callback) {
    return core_->watch_service(name, {}, std::move(callback));
}

Result<Watch> ServiceMesh::watch_service(
    std::string_view name, const DiscoveryFilter& filter, WatchCallback callback
) {
    return core_->watch_service(name, filter, std::move(callback));
}

Result<Service> ServiceMesh::service(std::string_view name) {
    return core_->service(name, nullptr);
}

Result<Service> ServiceMesh::service(std::string_view name, const ServicePolicy& policy) {
    return core_->service(name, &policy);
}

Result<> ServiceMesh::set_policy(std::string_view name, const ServicePolicy& policy) {
    return core_->set_policy(name, policy);
}

Result<Lease> ServiceMesh::get_service_instance(std::string_view name) {
    return core_->lease(name);
}

Result<> ServiceMesh::run(
    std::string_view name, const CallOptions& options, const AttemptFunction& attempt
) {
    return core_->run(name, options, attempt);
}

void ServiceMesh::discover_service_async(
    std::string_view name, std::function<void(Result<EndpointSetPtr>)> callback
) {
    core_->discover_service_async(name, std::move(callback));
}

void ServiceMesh::register_service_async(
    ServiceConfig config, std::function<void(Result<ServiceRegistration>)> callback
) {
    core_->register_service_async(std::move(config), std::move(callback));
}

Result<> ServiceMesh::is_ready() const {
    return core_->readiness();
}

std::string ServiceMesh::metrics_text() const {
    return core_->metrics_text();
}

}  // namespace datapunk::mesh
