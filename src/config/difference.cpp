#include "config/difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include "config/effective.h"
#include "config/schema.h"
#include "core/assert.h"
#include "routing/route.h"

namespace datapunk::mesh::config {

namespace {

struct Leaf {
    std::string text;
    Place place;
};

using Leaves = std::map<std::string, Leaf, std::less<>>;

void flatten(const Tree& tree, const std::string& path, Leaves& out) {
    for (const Tree::Entry& entry : tree.map) flatten(entry.value, join_path(path, entry.key), out);
    for (std::size_t i = 0; i < tree.list.size(); ++i)
        flatten(tree.list[i], join_path(path, i), out);
    if (!tree.map.empty() || !tree.list.empty()) return;
    std::string text = tree.text;
    if (tree.kind == Tree::Kind::map) text = "{}";
    if (tree.kind == Tree::Kind::list) text = "[]";
    if (tree.kind == Tree::Kind::scalar && text.empty()) text = "\"\"";
    out[path] = {std::move(text), tree.place};
}

bool is_part_of(std::string_view key, std::string_view whole) {
    return key.starts_with(whole) &&
           (key.size() == whole.size() || key[whole.size()] == '.' || key[whole.size()] == '[');
}

// What is set up once in a process's life.
std::vector<std::string> restart_keys(const Config& a, const Config& b) {
    std::vector<std::string> keys;
    const auto note = [&keys](std::string key, bool is_same) {
        if (!is_same) keys.push_back(std::move(key));
    };
    note("node", a.node == b.node);
    note("log.format", a.log.format == b.log.format);
    note("access_log.file", a.access_log.file == b.access_log.file);
    note("admin", a.admin == b.admin);
    note("upgrade", a.upgrade == b.upgrade);
    note("metrics", a.metrics == b.metrics);
    note("registry", a.registry == b.registry);
    note("discovery", a.discovery == b.discovery);
    note("redis", a.redis == b.redis);
    note("workers", a.workers == b.workers);
    note("drain_delay", a.drain_delay == b.drain_delay);
    note("register", a.registrations == b.registrations);
    // A worker's connections to a service speak TLS, or do not, for as long as it runs.
    const std::set<std::string> after = services_of(b);
    for (const std::string& name : services_of(a)) {
        if (!after.contains(name)) continue;
        const ServiceTlsSection& one = a.tls_of(name);
        const ServiceTlsSection& other = b.tls_of(name);
        note("services." + name + ".tls.enabled", one.enabled == other.enabled);
        note("services." + name + ".tls.server_name", one.server_name == other.server_name);
    }
    return keys;
}

// Parts that hold secrets, which read the same whatever they are.
std::vector<std::string> changed_parts(const Config& a, const Config& b) {
    std::vector<std::string> parts;
    for (const ListenerSection& listener : b.listeners) {
        const auto same =
            std::find_if(a.listeners.begin(), a.listeners.end(), [&](const ListenerSection& one) {
                return one.name == listener.name;
            });
        if (same != a.listeners.end() && !(same->tls == listener.tls))
            parts.push_back(fmt::format("listeners[{}].tls", &listener - b.listeners.data()));
    }
    for (const auto& [name, section] : b.services) {
        const auto same = a.services.find(name);
        if (same != a.services.end() && !(same->second.tls == section.tls))
            parts.push_back("services." + name + ".tls");
    }
    if (!(a.defaults.tls == b.defaults.tls)) parts.emplace_back("defaults.tls");
    return parts;
}

}  // namespace

std::set<std::string> tcp_services_of(const Config& config) {
    std::set<std::string> names;
    for (const ListenerSection& listener : config.listeners) {
        if (listener.protocol != ListenerProtocol::tcp) continue;
        if (!listener.tcp.service.empty()) names.insert(listener.tcp.service);
        for (const SniRouteSection& route : listener.tcp.sni) names.insert(route.service);
        for (const auto& to : listener.capture.destinations) names.insert(to.service);
    }
    return names;
}

std::set<std::string> services_of(const Config& config) {
    std::set<std::string> names = tcp_services_of(config);
    for (const routing::Route& route : config.routes) {
        for (const auto& target : routing::targets_of(route)) names.insert(target.service);
    }
    for (const auto& [name, section] : config.services) names.insert(name);
    return names;
}

std::vector<Difference> differences(const Loaded& before, const Loaded& after) {
    MESH_ASSERT(before.config.has_value() && after.config.has_value());
    Leaves old;
    Leaves fresh;
    flatten(effective(before), "", old);
    flatten(effective(after), "", fresh);
    std::map<std::string, Difference> found;
    for (const auto& [key, leaf] : fresh) {
        const auto was = old.find(key);
        if (was != old.end() && was->second.text == leaf.text) continue;
        found[key] = {
            .key = key,
            .from = was == old.end() ? std::string() : was->second.text,
            .to = leaf.text,
            .origin = leaf.place.text()
        };
    }
    for (const auto& [key, leaf] : old) {
        if (!fresh.contains(key)) found[key] = {.key = key, .from = leaf.text};
    }
    const auto tell_hidden = [&found](const std::string& part) {
        const bool is_told = std::any_of(found.begin(), found.end(), [&](const auto& one) {
            return is_part_of(one.first, part) || is_part_of(part, one.first);
        });
        if (is_told) return;
        found[part] = {
            .key = part, .from = std::string(kRedacted), .to = "another " + std::string(kRedacted)
        };
    };
    for (const std::string& part : changed_parts(*before.config, *after.config)) tell_hidden(part);
    for (const std::string& key : restart_keys(*before.config, *after.config)) {
        tell_hidden(key);
        for (auto& [path, difference] : found) {
            if (is_part_of(path, key) || is_part_of(key, path)) difference.effect = Effect::restart;
        }
    }
    std::vector<Difference> out;
    out.reserve(found.size());
    for (auto& [key, difference] : found) out.push_back(std::move(difference));
    return out;
}

std::string to_text(const std::vector<Difference>& differences) {
    std::string out;
    for (const Difference& one : differences) {
        fmt::format_to(
            std::back_inserter(out),
            "{}: {} -> {}",
            one.key,
            one.from.empty() ? "(absent)" : one.from,
            one.to.empty() ? "(absent)" : one.to
        );
        const bool is_hot = one.effect == Effect::at_once;
        if (!one.origin.empty() || !is_hot) {
            fmt::format_to(
                std::back_inserter(out),
                " ({}{}{})",
                one.origin,
                one.origin.empty() || is_hot ? "" : ", ",
                is_hot ? "" : "needs a restart"
            );
        }
        out += '\n';
    }
    return out;
}

}  // namespace datapunk::mesh::config
