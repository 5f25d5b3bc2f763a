// services, endpoints, watch, register, deregister: asking the registry from the command line.

#include <fmt/format.h>

#include <cstdio>
#include <string_view>
#include <utility>

#include "apps/commands.h"
#include "apps/registry_session.h"
#include "apps/text_table.h"
#include "core/strings.h"
#include "wire/json_writer.h"

namespace datapunk::mesh::apps {

namespace {

void write_endpoint(wire::JsonWriter& json, const ServiceEndpoint& endpoint) {
    json.begin_object();
    json.key("id").string(endpoint.id).key("service").string(endpoint.service);
    json.key("host").string(endpoint.host).key("port").number(endpoint.port);
    json.key("weight").number(endpoint.weight).key("health").string(to_string(endpoint.health));
    json.key("node").string(endpoint.node);
    json.key("tags").begin_array();
    for (const std::string& tag : endpoint.tags) json.string(tag);
    json.end_array();
    json.key("metadata").begin_object();
    for (const auto& [key, value] : endpoint.metadata) json.key(key).string(value);
    json.end_object();
    json.end_object();
}

void print_json_line(const std::string& json) {
    fmt::print("{}\n", json);
    std::fflush(stdout);
}

std::string joined(const std::vector<std::string>& words) {
    return words.empty() ? "-" : fmt::format("{}", fmt::join(words, ","));
}

std::string joined(const Metadata& metadata) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : metadata) pairs.push_back(key + "=" + value);
    return joined(pairs);
}

void print_endpoints(const std::vector<ServiceEndpoint>& endpoints, Output output) {
    if (output == Output::json) {
        std::string text;
        wire::JsonWriter json(text);
        json.begin_array();
        for (const ServiceEndpoint& endpoint : endpoints) write_endpoint(json, endpoint);
        json.end_array();
        print_json_line(text);
        return;
    }
    TextTable table({"ID", "ADDRESS", "HEALTH", "WEIGHT", "TAGS", "METADATA"});
    for (const ServiceEndpoint& endpoint : endpoints) {
        table.add(
            {endpoint.id,
             endpoint.address(),
             std::string(to_string(endpoint.health)),
             fmt::to_string(endpoint.weight),
             joined(endpoint.tags),
             joined(endpoint.metadata)}
        );
    }
    fmt::print("{}", table.text());
}

// What changed between two answers; both are sorted by id.
void print_change(
    const std::vector<ServiceEndpoint>& before,
    const std::vector<ServiceEndpoint>& after,
    Output output
) {
    const auto show = [&](std::string_view what, const ServiceEndpoint& endpoint) {
        if (output == Output::json) {
            std::string text;
            wire::JsonWriter json(text);
            json.begin_object().key("change").string(what).key("endpoint");
            write_endpoint(json, endpoint);
            json.end_object();
            print_json_line(text);
        } else {
            fmt::print(
                "{:<8} {} {} {}\n",
                what,
                endpoint.id,
                endpoint.address(),
                to_string(endpoint.health)
            );
            std::fflush(stdout);
        }
    };
    std::size_t a = 0;
    std::size_t b = 0;
    while (a < before.size() || b < after.size()) {
        if (b == after.size() || (a < before.size() && before[a].id < after[b].id)) {
            show("removed", before[a++]);
        } else if (a == before.size() || after[b].id < before[a].id) {
            show("added", after[b++]);
        } else {
            if (!(before[a] == after[b])) show("changed", after[b]);
            ++a;
            ++b;
        }
    }
}

// "k=v" texts into `out`. The error names the one that is not.
Result<> read_pairs(const std::vector<std::string>& texts, Metadata& out) {
    for (const std::string& pair : texts) {
        const std::size_t equals = pair.find('=');
        if (equals == std::string::npos) {
            return Error{
                .code = Code::invalid, .what = fmt::format("--meta \"{}\" is not key=value", pair)
            };
        }
        out[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
    return Ok{};
}

Result<DiscoveryFilter> filter_of(const EndpointsCommand& command) {
    DiscoveryFilter filter = command.filter;
    if (auto read = read_pairs(command.meta, filter.metadata); !read) {
        return std::move(read).error();
    }
    if (auto good = check(filter); !good) return std::move(good).error();
    return filter;
}

Result<HealthCheck> check_of(const RegisterCommand& command) {
    using Kind = HealthCheck::Kind;
    constexpr std::pair<std::string_view, Kind> kKinds[] = {
        {"http", Kind::http},
        {"tcp", Kind::tcp},
        {"udp", Kind::udp},
        {"grpc", Kind::grpc},
        {"ttl", Kind::ttl},
        {"none", Kind::none}
    };
    HealthCheck check;
    for (const auto& [name, kind] : kKinds) {
        if (command.check == name) check.kind = kind;
    }
    const auto refused = [&](std::string_view flag) {
        const std::string what =
            fmt::format("{} has no effect with --check {}", flag, command.check);
        return Error{.code = Code::invalid, .what = what};
    };
    if (!command.check_grpc_service.empty() && check.kind != Kind::grpc)
        return refused("--check-grpc-service");
    if (command.check_tls && check.kind != Kind::http && check.kind != Kind::grpc)
        return refused("--check-tls");
    if (!command.check_target.empty() && (check.kind == Kind::ttl || check.kind == Kind::none))
        return refused("--check-target");
    check.path = command.check_path;
    check.target = command.check_target;
    check.grpc_service = command.check_grpc_service;
    check.tls.enabled = command.check_tls;
    const auto interval = core::parse_duration(command.check_interval);
    if (!interval) return interval.error();
    const auto timeout = core::parse_duration(command.check_timeout);
    if (!timeout) return timeout.error();
    check.interval = *interval;
    check.ttl = *interval;
    check.timeout = *timeout;
    return check;
}

void keep_matching(std::vector<ServiceEndpoint>& endpoints, const DiscoveryFilter& filter) {
    std::erase_if(endpoints, [&](const ServiceEndpoint& one) { return !filter.matches(one); });
}

}  // namespace

int run_services(const RegistryAccess& access) {
    auto session = RegistrySession::open(access);
    if (!session) return report(session.error());
    auto services = (*session)->run((*session)->backend().services((*session)->deadline()));
    if (!services) return report(services.error());
    if (access.output == Output::json) {
        std::string text;
        wire::JsonWriter json(text);
        json.begin_array();
        for (const auto& service : *services) {
            json.begin_object().key("name").string(service.name).key("tags").begin_array();
            for (const std::string& tag : service.tags) json.string(tag);
            json.end_array().end_object();
        }
        json.end_array();
        print_json_line(text);
        return exit_ok;
    }
    TextTable table({"SERVICE", "TAGS"});
    for (const auto& service : *services) table.add({service.name, joined(service.tags)});
    fmt::print("{}", table.text());
    return exit_ok;
}

int run_endpoints(const EndpointsCommand& command) {
    const auto filter = filter_of(command);
    if (!filter) return report(filter.error());
    auto session = RegistrySession::open(command.access);
    if (!session) return report(session.error());
    auto answer = (*session)->run(
        (*session)->backend().wait(command.name, 0, Duration::zero(), (*session)->deadline())
    );
    if (!answer) return report(answer.error());
    if (answer->endpoints.empty()) {
        fmt::print(stderr, "dpmesh: the registry knows no endpoint of {}\n", command.name);
        return exit_failed;
    }
    const std::size_t known = answer->endpoints.size();
    keep_matching(answer->endpoints, *filter);
    if (answer->endpoints.empty()) {
        fmt::print(
            stderr,
            "dpmesh: none of the {} endpoints of {} matches {}\n",
            known,
            command.name,
            to_string(*filter)
        );
        return exit_failed;
    }
    print_endpoints(answer->endpoints, command.access.output);
    return exit_ok;
}

int run_watch(const EndpointsCommand& command) {
    const auto filter = filter_of(command);
    if (!filter) return report(filter.error());
    auto session = RegistrySession::open(command.access);
    if (!session) return report(session.error());
    constexpr Duration kWait = std::chrono::seconds(55);
    std::vector<ServiceEndpoint> known;
    std::uint64_t index = 0;
    bool first = true;
    for (;;) {
        const Instant deadline =
            (*session)->deadline() + (index == 0 ? Duration::zero() : kWait + kWait / 16);
        auto answer =
            (*session)->run((*session)->backend().wait(command.name, index, kWait, deadline));
        if (!answer) return report(answer.error());
        keep_matching(answer->endpoints, *filter);
        print_change(known, answer->endpoints, command.access.output);
        if (first && answer->endpoints.empty())
            fmt::print(stderr, "no endpoint yet; waiting for changes of {}\n", command.name);
        first = false;
        known = std::move(answer->endpoints);
        index = answer->index < index ? 0 : answer->index;
    }
}

int run_register(const RegisterCommand& command) {
    ServiceConfig config{
        .name = command.name,
        .id = command.id,
        .host = command.host,
        .port = command.port,
        .weight = command.weight,
        .tags = command.tags
    };
    config.version = command.version;
    config.environment = command.environment;
    config.region = command.region;
    config.zone = command.zone;
    config.capabilities = command.capabilities;
    config.dependencies = command.dependencies;
    if (auto read = read_pairs(command.meta, config.meta); !read) return report(read.error());
    auto check = check_of(command);
    if (!check) return report(check.error());
    config.check = *std::move(check);
    auto good = checked(std::move(config));
    if (!good) return report(good.error());
    auto session = RegistrySession::open(command.access);
    if (!session) return report(session.error());
    const ServiceConfig announced = *good;
    auto done =
        (*session)->run((*session)->backend().register_service(announced, (*session)->deadline()));
    if (!done) return report(done.error());
    if (command.access.output == Output::json) {
        std::string text;
        wire::JsonWriter json(text);
        json.begin_object().key("id").string(announced.id).end_object();
        print_json_line(text);
    } else {
        fmt::print("{}\n", announced.id);
    }
    return exit_ok;
}

int run_deregister(const DeregisterCommand& command) {
    auto session = RegistrySession::open(command.access);
    if (!session) return report(session.error());
    auto done =
        (*session)->run((*session)->backend().deregister_service(command.id, (*session)->deadline())
        );
    if (!done) return report(done.error());
    return exit_ok;
}

}  // namespace datapunk::mesh::apps
