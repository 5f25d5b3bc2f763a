#include "mesh/custom_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <tuple>
#include <utility>

#include "registry/left_alone.h"

namespace datapunk::mesh::internal {

namespace {

Error thrown(std::string_view what) {
    return {
        .code = Code::internal,
        .what = fmt::format("the registry threw an exception: {}", what),
        .source = Source::registry
    };
}

// Whatever a registry of somebody else's says, discovery gets endpoints that can be: sorted by id,
// each id once.
std::vector<ServiceEndpoint> in_order(
    std::vector<ServiceEndpoint> endpoints, const std::string& service
) {
    std::erase_if(endpoints, [](const ServiceEndpoint& e) {
        return e.host.empty() || e.port == 0;
    });
    for (ServiceEndpoint& endpoint : endpoints) {
        endpoint.service = service;
        endpoint.weight = std::clamp<std::uint32_t>(endpoint.weight, 1, 65535);
        if (endpoint.id.empty()) {
            endpoint.id = fmt::format("{}-{}-{}", service, endpoint.host, endpoint.port);
        }
    }
    std::sort(endpoints.begin(), endpoints.end(), [](const auto& a, const auto& b) {
        return std::tie(a.id, a.host, a.port) < std::tie(b.id, b.host, b.port);
    });
    const auto last =
        std::unique(endpoints.begin(), endpoints.end(), [](const auto& a, const auto& b) {
            return a.id == b.id;
        });
    endpoints.erase(last, endpoints.end());
    return endpoints;
}

registry::Capabilities capabilities_of(const RegistryTraits& traits) {
    using registry::KeptAliveBy;
    return {
        .can_register = traits.can_register,
        .kept_alive_by = !traits.can_register ? KeptAliveBy::nobody
                         : traits.runs_checks ? KeptAliveBy::checks
                                              : KeptAliveBy::heartbeats,
        .knows_health = traits.knows_health,
        .empty_is_authoritative = traits.empty_is_authoritative,
    };
}

}  // namespace

template <class T>
struct CustomBackend::Call {
    explicit Call(io::Loop& loop) : answered(loop) {}

    std::optional<Result<T>> result;
    io::Event answered;
};

Result<std::unique_ptr<CustomBackend>> CustomBackend::create(
    io::Loop& loop, std::shared_ptr<Registry> registry
) {
    if (registry == nullptr) {
        return Error{.code = Code::invalid, .what = "registry: Custom without a registry"};
    }
    std::unique_ptr<CustomBackend> backend;
    try {
        backend.reset(new CustomBackend(loop, std::move(registry)));
    } catch (const std::exception& problem) {
        return thrown(problem.what());
    }
    const std::string& kind = backend->kind_;
    const bool is_word =
        !kind.empty() && kind.size() <= 32 && std::all_of(kind.begin(), kind.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
        });
    if (!is_word) {
        return Error{
            .code = Code::invalid,
            .what = "registry: the kind of a Custom must be 1 to 32 of [a-z0-9_]"
        };
    }
    return backend;
}

CustomBackend::CustomBackend(io::Loop& loop, std::shared_ptr<Registry> registry)
    : loop_(loop),
      registry_(std::move(registry)),
      kind_(registry_->kind()),
      capabilities_(capabilities_of(registry_->traits())) {
    link_->loop = &loop;
}

CustomBackend::~CustomBackend() {
    const std::lock_guard lock(link_->mutex);
    link_->loop = nullptr;
}

template <class T>
Reply<T> CustomBackend::reply_to(const std::shared_ptr<Call<T>>& call) const {
    // Only the weak pointer leaves this thread: the call itself lives and dies on the loop.
    auto answer = [link = link_, weak = std::weak_ptr(call)](Result<T> result) {
        const std::lock_guard lock(link->mutex);
        if (link->loop == nullptr) return;
        link->loop->post([weak, result = std::move(result)]() mutable {
            const auto waiting = weak.lock();
            if (waiting == nullptr) return;
            waiting->result.emplace(std::move(result));
            waiting->answered.set();
        });
    };
    return Reply<T>(std::move(answer), [weak = std::weak_ptr(call)] { return !weak.expired(); });
}

template <class T, class Start>
io::Task<std::optional<Result<T>>> CustomBackend::ask(Start start, Instant deadline) {
    const auto call = std::make_shared<Call<T>>(loop_);
    std::optional<Error> problem;
    try {
        start(*registry_, reply_to(call));
    } catch (const std::exception& what) {
        problem = thrown(what.what());
    } catch (...) {
        problem = thrown("not a std::exception");
    }
    std::optional<Result<T>> result;
    if (problem) {
        result.emplace(*std::move(problem));
        co_return result;
    }
    const bool is_answered = co_await call->answered.wait(deadline);
    if (is_answered) result = std::move(call->result);
    if (result && !*result) {
        Error error = result->error();
        error.source = Source::registry;
        error.retry_after =
            std::clamp(error.retry_after, Duration::zero(), registry::kLeftAloneMax);
        result.emplace(std::move(error));
    }
    co_return result;
}

Error CustomBackend::late() const {
    return {
        .code = Code::timeout,
        .what = fmt::format("{}: no answer in time", kind_),
        .source = Source::registry,
        .retryable = true
    };
}

io::Task<Result<>> CustomBackend::register_service(ServiceConfig config, Instant deadline) {
    if (!capabilities_.can_register) co_return registry::refuse_write(kind_);
    const Duration timeout = deadline - loop_.now();
    auto start = [&config, timeout](Registry& registry, Reply<Ok> reply) {
        registry.register_service(config, timeout, std::move(reply));
    };
    auto done = co_await ask<Ok>(start, deadline);
    if (!done) co_return late();
    co_return *std::move(done);
}

io::Task<Result<>> CustomBackend::deregister_service(std::string id, Instant deadline) {
    if (!capabilities_.can_register) co_return registry::refuse_write(kind_);
    const Duration timeout = deadline - loop_.now();
    auto start = [&id, timeout](Registry& registry, Reply<Ok> reply) {
        registry.deregister_service(id, timeout, std::move(reply));
    };
    auto done = co_await ask<Ok>(start, deadline);
    if (!done) co_return late();
    co_return *std::move(done);
}

io::Task<Result<bool>> CustomBackend::has_service(std::string id, Instant deadline) {
    if (!capabilities_.can_register) co_return false;
    const Duration timeout = deadline - loop_.now();
    auto start = [&id, timeout](Registry& registry, Reply<bool> reply) {
        registry.has_service(id, timeout, std::move(reply));
    };
    auto has = co_await ask<bool>(start, deadline);
    if (!has) co_return late();
    co_return *std::move(has);
}

io::Task<Result<>> CustomBackend::heartbeat(
    std::string id, Health health, std::string note, Instant deadline
) {
    if (!capabilities_.can_register) co_return registry::refuse_write(kind_);
    const Duration timeout = deadline - loop_.now();
    auto start = [&id, &note, health, timeout](Registry& registry, Reply<Ok> reply) {
        registry.heartbeat(id, health, note, timeout, std::move(reply));
    };
    auto done = co_await ask<Ok>(start, deadline);
    if (!done) co_return late();
    co_return *std::move(done);
}

io::Task<Result<registry::Answer>> CustomBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    const auto start_after = [&service](std::uint64_t index, Duration time) {
        return [&service, index, time](Registry& registry, Reply<RegistryAnswer> reply) {
            registry.wait(service, index, time, std::move(reply));
        };
    };
    std::optional<Result<RegistryAnswer>> got;
    if (after > 0 && longest > Duration::zero()) {
        const Instant until = std::min(deadline, loop_.now() + longest);
        got = co_await ask<RegistryAnswer>(start_after(after, longest), until);
    }
    // At once; or nothing has changed: what it has now is the answer.
    if (!got) {
        const Duration timeout = deadline - loop_.now();
        got = co_await ask<RegistryAnswer>(start_after(0, timeout), deadline);
    }
    if (!got) co_return late();
    if (!*got) co_return std::move(*got).error();
    RegistryAnswer answer = **std::move(got);
    co_return registry::Answer{
        .endpoints = in_order(std::move(answer.endpoints), service),
        .index = std::max<std::uint64_t>(answer.index, 1)
    };
}

io::Task<Result<std::vector<registry::ServiceSummary>>> CustomBackend::services(Instant deadline) {
    const Duration timeout = deadline - loop_.now();
    auto start = [timeout](Registry& registry, Reply<std::vector<RegistryEntry>> reply) {
        registry.services(timeout, std::move(reply));
    };
    auto got = co_await ask<std::vector<RegistryEntry>>(start, deadline);
    if (!got) co_return late();
    if (!*got) co_return std::move(*got).error();
    std::vector<registry::ServiceSummary> all;
    for (RegistryEntry& one : **got) {
        std::sort(one.tags.begin(), one.tags.end());
        all.push_back({.name = std::move(one.name), .tags = std::move(one.tags)});
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    co_return all;
}

}  // namespace datapunk::mesh::internal
