#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "catalog/access_prepare.h"
#include "catalog/command.h"
#include "catalog/limits.h"
#include "core/strings.h"

namespace datapunk::mesh::catalog {

namespace {

Error invalid(std::string what) {
    return {.code = Code::invalid, .what = std::move(what), .source = Source::downstream};
}

bool fits(std::string_view text, std::size_t bytes_max) {
    return text.size() <= bytes_max;
}

Result<> check_text(std::string_view what, std::string_view text, std::size_t bytes_max) {
    if (fits(text, bytes_max)) return Ok{};
    return invalid(fmt::format("{} is too long: {} bytes, at most {}", what, text.size(), bytes_max)
    );
}

bool valid_meta_key(std::string_view key) {
    return std::all_of(key.begin(), key.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_';
    });
}

Result<> check_meta(std::string_view whose, const Metadata& meta) {
    if (meta.size() > kMetaPairsMax) {
        return invalid(fmt::format(
            "Invalid {} Meta: Node metadata cannot contain more than {} key/value pairs",
            whose,
            kMetaPairsMax
        ));
    }
    for (const auto& [key, value] : meta) {
        std::string_view why;
        if (key.empty()) {
            why = "Key cannot be blank";
        } else if (!valid_meta_key(key)) {
            why = "Key contains invalid characters";
        } else if (!fits(key, kMetaKeyBytesMax)) {
            why = "Key is too long (limit: 128 characters)";
        } else if (!fits(value, kMetaValueBytesMax)) {
            why = "Value is too long (limit: 512 characters)";
        } else {
            continue;
        }
        return invalid(fmt::format(
            "Invalid {} Meta: Couldn't load metadata pair ('{}', '{}'): {}", whose, key, value, why
        ));
    }
    return Ok{};
}

// "ipv4", "ipv6", or nothing for a host name.
std::string_view ip_family(const std::string& address) {
    std::array<unsigned char, sizeof(in6_addr)> parsed;
    if (inet_pton(AF_INET, address.c_str(), parsed.data()) == 1) return "ipv4";
    if (inet_pton(AF_INET6, address.c_str(), parsed.data()) == 1) return "ipv6";
    return {};
}

Result<> check_service(const ServiceRow& service) {
    if (service.address == "0.0.0.0" || service.address == "::" || service.address == "[::]") {
        return invalid("Invalid service address");
    }
    if (service.weights.passing < 1) {
        return invalid("Invalid Weights: Passing must be greater than 0");
    }
    if (service.weights.passing > 65535 || service.weights.warning > 65535) {
        return invalid("Invalid Weights: DNS Weight must be between 0 and 65535");
    }
    if (service.tags.size() > kTagsMax) {
        return invalid(fmt::format("{} tags, at most {}", service.tags.size(), kTagsMax));
    }
    if (service.tagged_addresses.size() > kTaggedAddressesMax) {
        return invalid(fmt::format(
            "{} tagged addresses, at most {}", service.tagged_addresses.size(), kTaggedAddressesMax
        ));
    }
    Result<> result = check_text("service name", service.name, kNameBytesMax);
    if (result) result = check_text("service ID", service.id, kNameBytesMax);
    if (result) result = check_text("service address", service.address, kNameBytesMax);
    for (const std::string& tag : service.tags) {
        if (result) result = check_text("tag", tag, kTagBytesMax);
    }
    for (const auto& [name, tagged] : service.tagged_addresses) {
        if (result) result = check_text("tagged address name", name, kNameBytesMax);
        if (result) result = check_text("tagged address", tagged.address, kNameBytesMax);
    }
    if (result) result = check_meta("Service", service.meta);
    return result;
}

Result<> check_node(const NodeRow& node) {
    Result<> result = check_text("node name", node.name, kNameBytesMax);
    if (result) result = check_text("node ID", node.id, kNameBytesMax);
    if (result) result = check_text("node address", node.address, kNameBytesMax);
    if (result) result = check_meta("Node", node.meta);
    if (result) result = check_meta("Node", node.tagged_addresses);
    return result;
}

Result<> check_definition(const CheckDefinition& d) {
    if (d.header.size() > kHeadersMax || d.args.size() > kHeadersMax) {
        return invalid(fmt::format("Invalid check: more than {} headers or arguments", kHeadersMax)
        );
    }
    Result<> result = Ok{};
    for (const std::string* text :
         {&d.url,
          &d.method,
          &d.body,
          &d.tls_server_name,
          &d.place,
          &d.grpc,
          &d.alias_node,
          &d.alias_service}) {
        if (result) result = check_text("check definition", *text, kDefinitionBytesMax);
    }
    for (const std::string& arg : d.args) {
        if (result) result = check_text("check argument", arg, kDefinitionBytesMax);
    }
    for (const auto& [name, values] : d.header) {
        if (result) result = check_text("check header", name, kNameBytesMax);
        if (values.size() > kHeadersMax) return invalid("Invalid check: too many header values");
        for (const std::string& value : values) {
            if (result) result = check_text("check header", value, kDefinitionBytesMax);
        }
    }
    return result;
}

Result<> check_row(CheckRow& check) {
    if (check.output.size() > kOutputBytesMax) check.output.resize(kOutputBytesMax);
    Result<> result = check_text("check ID", check.id, kNameBytesMax);
    if (result) result = check_text("check name", check.name, kNameBytesMax);
    if (result) result = check_text("check notes", check.notes, kNotesBytesMax);
    if (result) result = check_text("service ID", check.service_id, kNameBytesMax);
    if (result) result = check_definition(check.definition);
    return result;
}

// agent/structs/check_type.go Validate(), in its order.
Result<> check_agent_check(CheckRow& check, Duration deregister_after_min) {
    CheckDefinition& d = check.definition;
    const bool by_interval = d.kind == CheckKind::http || d.kind == CheckKind::tcp ||
                             d.kind == CheckKind::udp || d.kind == CheckKind::grpc ||
                             d.kind == CheckKind::script;
    if (d.interval > Duration::zero() && d.ttl > Duration::zero()) {
        return invalid("Invalid check: Interval and TTL cannot both be specified");
    }
    if (by_interval && d.interval <= Duration::zero()) {
        return invalid(
            "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService "
            "checks"
        );
    }
    const bool is_alias = !d.alias_node.empty() || !d.alias_service.empty();
    if (by_interval && is_alias) {
        return invalid("Invalid check: Interval cannot be set for Alias checks");
    }
    if (is_alias && d.ttl > Duration::zero()) {
        return invalid("Invalid check: TTL must be not be set for Alias checks");
    }
    if (is_alias) d.kind = CheckKind::alias;
    if (!is_alias && d.kind == CheckKind::alias) {
        return invalid("Invalid check: an Alias check needs AliasService or AliasNode");
    }
    if (!by_interval && !is_alias && d.ttl <= Duration::zero()) {
        return invalid("Invalid check: TTL must be > 0 for TTL checks");
    }
    if (d.failures_before_warning > d.failures_before_critical) {
        return invalid(
            "Invalid check: FailuresBeforeWarning can't be higher than FailuresBeforeCritical"
        );
    }
    if (d.timeout < Duration::zero() || d.deregister_after < Duration::zero()) {
        return invalid("Invalid check: durations must not be negative");
    }
    if (d.kind == CheckKind::none || d.kind == CheckKind::maintenance) d.kind = CheckKind::ttl;
    if (by_interval) d.interval = std::max(d.interval, kIntervalMin);
    if (d.deregister_after > Duration::zero()) {
        d.deregister_after = std::max(d.deregister_after, deregister_after_min);
    }
    return check_row(check);
}

// In the words of Consul's session_endpoint.go.
Result<> check_ttl(const std::string& text) {
    if (text.empty()) return Ok{};
    const auto ttl = core::parse_duration(text);
    if (!ttl) {
        return invalid(fmt::format(
            "Session TTL '{0}' invalid: time: invalid duration \"{0}\"", text.substr(0, 64)
        ));
    }
    if (*ttl == Duration::zero() || (*ttl >= kSessionTtlMin && *ttl <= kSessionTtlMax)) return Ok{};
    return invalid(fmt::format(
        "Invalid Session TTL '{}', must be between [{}={}]",
        ttl->count(),
        core::format_go_duration(kSessionTtlMin),
        core::format_go_duration(kSessionTtlMax)
    ));
}

Result<> check_value(std::string_view value) {
    if (value.size() <= kKvValueBytesMax) return Ok{};
    return Error{
        .code = Code::exhausted,
        .what = fmt::format(
            "Request body({} bytes) too large, max size: {} bytes. See "
            "https://www.consul.io/docs/agent/config/config-files#kv_max_value_size.",
            value.size(),
            kKvValueBytesMax
        ),
        .source = Source::downstream,
    };
}

template <class Lock>
Result<> check_lock(const Lock& c) {
    if (c.key.empty()) return invalid("Missing key name");
    Result<> result = check_value(c.value);
    if (result) result = check_text("key", c.key, kKvKeyBytesMax);
    if (result) result = check_text("session", c.session, kNameBytesMax);
    if (result && c.session.empty()) {
        return Error{
            .code = Code::conflict,
            .what = "raft apply failed: missing session",
            .source = Source::downstream,
        };
    }
    return result;
}

struct Prepare {
    Duration deregister_after_min;

    Result<> operator()(SetLocalNode& c) const {
        if (c.node.name.empty()) return invalid("Must provide node");
        if (c.node.address.empty())
            return invalid("Must provide address if SkipNodeUpdate is not set");
        const std::string_view family = ip_family(c.node.address);
        for (const std::string_view side : {"lan", "wan"}) {
            c.node.tagged_addresses.emplace(side, c.node.address);
            if (!family.empty()) {
                c.node.tagged_addresses.insert_or_assign(
                    fmt::format("{}_{}", side, family), c.node.address
                );
            }
        }
        return check_node(c.node);
    }

    Result<> operator()(RegisterService& c) const {
        ServiceRow& service = c.service;
        if (service.name.empty()) return invalid("Missing service name");
        if (service.id.empty()) service.id = service.name;
        if (c.checks.size() > kChecksPerServiceMax) {
            return invalid(fmt::format(
                "{} checks, at most {} a service", c.checks.size(), kChecksPerServiceMax
            ));
        }
        if (const std::string_view family = ip_family(service.address); !family.empty()) {
            for (const std::string_view side : {"lan", "wan"}) {
                service.tagged_addresses.insert_or_assign(
                    fmt::format("{}_{}", side, family), TaggedAddress{service.address, service.port}
                );
            }
        }
        Result<> result = check_service(service);
        for (std::size_t i = 0; i < c.checks.size() && result; ++i) {
            CheckRow& check = c.checks[i].check;
            if (check.id.empty()) {
                check.id = c.checks.size() == 1 ? fmt::format("service:{}", service.id)
                                                : fmt::format("service:{}:{}", service.id, i + 1);
            }
            if (check.name.empty()) check.name = fmt::format("Service '{}' check", service.name);
            check.service_id = service.id;
            result = check_agent_check(check, deregister_after_min);
        }
        return result;
    }

    Result<> operator()(RegisterCheck& c) const {
        CheckRow& check = c.check.check;
        if (check.name.empty()) return invalid("Missing check name");
        if (check.id.empty()) check.id = check.name;
        check.is_alone = true;
        return check_agent_check(check, deregister_after_min);
    }

    Result<> operator()(UpdateCheck& c) const {
        if (c.output.size() > kOutputBytesMax) c.output.resize(kOutputBytesMax);
        return check_text("check ID", c.check_id, kNameBytesMax);
    }

    Result<> operator()(ServiceMaintenance& c) const {
        if (c.service_id.empty()) return invalid("Missing service ID");
        return check_text("reason", c.reason, kNotesBytesMax);
    }

    Result<> operator()(NodeMaintenance& c) const {
        return check_text("reason", c.reason, kNotesBytesMax);
    }

    Result<> operator()(CatalogRegister& c) const {
        if (c.node.name.empty()) return invalid("Must provide node");
        if (c.node.address.empty() && !c.skip_node_update) {
            return invalid("Must provide address if SkipNodeUpdate is not set");
        }
        if (c.checks.size() > kChecksPerServiceMax) {
            return invalid(
                fmt::format("{} checks, at most {} a call", c.checks.size(), kChecksPerServiceMax)
            );
        }
        Result<> result = check_node(c.node);
        if (result && c.service) {
            if (c.service->name.empty()) {
                return invalid(
                    "Must provide service name (Service.Service) when service ID is provided"
                );
            }
            if (c.service->id.empty()) c.service->id = c.service->name;
            result = check_service(*c.service);
        }
        for (CheckRow& check : c.checks) {
            if (!result) break;
            if (check.id.empty()) check.id = check.name;
            if (check.id.empty()) return invalid("Must provide check ID or name");
            result = check_row(check);
        }
        return result;
    }

    Result<> operator()(CatalogDeregister& c) const {
        if (c.node.empty()) return invalid("Must provide node");
        return Ok{};
    }

    Result<> operator()(KvPut& c) const {
        if (c.key.empty()) return invalid("Missing key name");
        if (Result<> result = check_value(c.value); !result) return result;
        return check_text("key", c.key, kKvKeyBytesMax);
    }

    Result<> operator()(KvDelete& c) const {
        if (c.key.empty() && !c.recurse) return invalid("Missing key name");
        if (c.recurse && c.cas) {
            return invalid(fmt::format("Conflicting flags: cas={}&recurse=", *c.cas));
        }
        return check_text("key", c.key, kKvKeyBytesMax);
    }

    Result<> operator()(KvAcquire& c) const { return check_lock(c); }

    Result<> operator()(KvRelease& c) const { return check_lock(c); }

    Result<> operator()(CreateSession& c) const {
        const SessionRow& session = c.session;
        if (session.id.empty()) return invalid("Must provide ID");
        if (session.node.empty()) return invalid("Must provide Node");
        const std::size_t checks =
            session.node_checks.size() + session.service_checks.size() + session.checks.size();
        if (checks > kSessionChecksMax) {
            return invalid(fmt::format("{} checks, at most {} a session", checks, kSessionChecksMax)
            );
        }
        if (session.lock_delay < Duration::zero()) return invalid("LockDelay must not be negative");
        Result<> result = check_ttl(session.ttl);
        if (result) result = check_text("session ID", session.id, kNameBytesMax);
        if (result) result = check_text("session name", session.name, kNameBytesMax);
        if (result) result = check_text("session TTL", session.ttl, kNameBytesMax);
        if (result) result = check_text("node name", session.node, kNameBytesMax);
        for (const std::string& id : session.node_checks) {
            if (result) result = check_text("check ID", id, kNameBytesMax);
        }
        for (const std::string& id : session.checks) {
            if (result) result = check_text("check ID", id, kNameBytesMax);
        }
        for (const SessionServiceCheck& check : session.service_checks) {
            if (result) result = check_text("check ID", check.id, kNameBytesMax);
            if (result) result = check_text("namespace", check.name_space, kNameBytesMax);
        }
        return result;
    }

    Result<> operator()(DestroySession& c) const {
        if (c.session_id.empty()) return invalid("Must provide ID");
        return Ok{};
    }

    Result<> operator()(RenewSession&) const { return Ok{}; }

    Result<> operator()(EndLockDelays&) const { return Ok{}; }

    Result<> operator()(FireEvent& c) const {
        if (c.event.name.empty()) return invalid("User event missing name");
        if (c.event.payload.size() > kEventPayloadBytesMax) {
            return Error{
                .code = Code::conflict,
                .what = fmt::format(
                    "user event exceeds sane limit of {} bytes before encoding",
                    kEventPayloadBytesMax
                ),
                .source = Source::downstream,
            };
        }
        Result<> result = check_text("event name", c.event.name, kNameBytesMax);
        for (const std::string* filter :
             {&c.event.node_filter, &c.event.service_filter, &c.event.tag_filter}) {
            if (result) result = check_text("event filter", *filter, kEventFilterBytesMax);
        }
        return result;
    }

    // Its operations are prepared one by one when they run.
    Result<> operator()(Txn& c) const {
        for (const TxnOp& op : c.ops) {
            const bool is_whole = op.kind == TxnKind::key || op.kind == TxnKind::session ||
                                  (op.kind == TxnKind::node && op.node_row) ||
                                  (op.kind == TxnKind::service && op.service) ||
                                  (op.kind == TxnKind::check && op.check);
            if (!is_whole) return invalid("a transaction's operation lacks what it is about");
        }
        return Ok{};
    }

    Result<> operator()(RestoreState&) const { return Ok{}; }

    Result<> operator()(BootstrapAcl& c) const { return prepare_access(c); }

    Result<> operator()(SetAclToken& c) const { return prepare_access(c); }

    Result<> operator()(SetAclPolicy& c) const { return prepare_access(c); }

    Result<> operator()(SetQuery& c) const { return prepare_access(c); }

    Result<> operator()(DeleteAclToken&) const { return Ok{}; }

    Result<> operator()(DeleteAclPolicy&) const { return Ok{}; }

    Result<> operator()(DeleteQuery&) const { return Ok{}; }

    Result<> operator()(DeregisterService&) const { return Ok{}; }

    Result<> operator()(DeregisterCheck&) const { return Ok{}; }
};

}  // namespace

std::string_view to_string(CheckKind kind) noexcept {
    constexpr std::array<std::string_view, 9> kNames = {
        "", "ttl", "http", "tcp", "grpc", "script", "alias", "maintenance", "udp"
    };
    return kNames[static_cast<std::size_t>(kind)];
}

Result<> prepare(Command& command, Duration deregister_after_min) {
    return std::visit(Prepare{deregister_after_min}, command);
}

unsigned http_status(const Command& command, const Error& error) noexcept {
    // Whatever the servers refuse, and not the agent, Consul answers with 500.
    const bool catalog_endpoint = std::holds_alternative<CatalogRegister>(command) ||
                                  std::holds_alternative<CatalogDeregister>(command) ||
                                  std::holds_alternative<CreateSession>(command) ||
                                  std::holds_alternative<SetAclToken>(command) ||
                                  std::holds_alternative<DeleteAclToken>(command) ||
                                  std::holds_alternative<SetAclPolicy>(command) ||
                                  std::holds_alternative<DeleteAclPolicy>(command) ||
                                  std::holds_alternative<SetQuery>(command);
    switch (error.code) {
        case Code::invalid:
            return catalog_endpoint ? 500 : 400;
        case Code::not_found:
            return catalog_endpoint ? 500 : 404;
        case Code::exhausted: {
            const std::size_t value_bytes = std::visit(
                [](const auto& c) -> std::size_t {
                    if constexpr (requires { c.value.size(); }) return c.value.size();
                    return 0;
                },
                command
            );
            return value_bytes > kKvValueBytesMax ? 413 : 429;
        }
        case Code::denied:
            return 403;
        default:
            return 500;
    }
}

Result<Health> parse_status(std::string_view text) {
    if (text == "passing") return Health::passing;
    if (text == "warning") return Health::warning;
    if (text == "critical") return Health::critical;
    return invalid(fmt::format("Invalid check status: '{}'", text.substr(0, 64)));
}

}  // namespace datapunk::mesh::catalog
