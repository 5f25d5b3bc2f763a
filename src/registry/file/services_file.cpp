#include "registry/file/services_file.h"

#include <datapunk/mesh/registration.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "core/strings.h"
#include "tree/json.h"
#include "tree/yaml.h"

namespace datapunk::mesh::registry::file {

using tree::Problem;
using tree::problem_at;
using tree::Tree;

namespace {

constexpr std::size_t kShownMax = 3;  // problems in the one line of an error

const std::vector<std::string_view> kEndpointKeys = {
    "host", "port", "id", "weight", "tags", "meta"
};

class Reader {
  public:
    explicit Reader(std::size_t endpoints_max) : endpoints_max_(endpoints_max) {}

    void read(const NamedText& file) {
        const bool is_json = file.name.ends_with(".json");
        const std::size_t before = problems_.size();
        const Tree root = is_json ? tree::parse_json(file.name, file.text, problems_)
                                  : tree::parse_yaml(file.name, file.text, problems_);
        if (problems_.size() != before) return;
        if (root.kind == Tree::Kind::null) return;  // an empty file registers nothing
        if (!is(root, Tree::Kind::map, "")) return;
        for (const Tree::Entry& entry : root.map) {
            if (entry.key == "services") {
                read_services(entry.value);
            } else {
                complain(entry.place, entry.key, "unknown key, expected \"services\"");
            }
        }
    }

    Result<std::vector<ServiceEndpoint>> result() {
        if (!problems_.empty()) return refused();
        std::sort(endpoints_.begin(), endpoints_.end(), [](const auto& a, const auto& b) {
            return std::tie(a.service, a.id) < std::tie(b.service, b.id);
        });
        return std::move(endpoints_);
    }

  private:
    void complain(const tree::Place& place, std::string path, std::string text) {
        problems_.push_back(problem_at(place, std::move(path), std::move(text)));
    }

    bool is(const Tree& node, Tree::Kind kind, const std::string& path) {
        if (node.kind == kind) return true;
        complain(
            node.place,
            path,
            fmt::format("must be {}, is {}", to_string(kind), to_string(node.kind))
        );
        return false;
    }

    void read_services(const Tree& services) {
        if (services.kind == Tree::Kind::null) return;
        if (!is(services, Tree::Kind::map, "services")) return;
        for (const Tree::Entry& entry : services.map) {
            const std::string path = "services." + entry.key.substr(0, 80);
            if (auto verdict = check_service_name(entry.key); !verdict) {
                complain(entry.place, path, verdict.error().what);
                continue;
            }
            if (entry.value.kind == Tree::Kind::null) continue;
            if (!is(entry.value, Tree::Kind::list, path)) continue;
            std::size_t at = 0;
            for (const Tree& one : entry.value.list) {
                read_endpoint(entry.key, one, fmt::format("{}[{}]", path, at++));
            }
        }
    }

    void read_endpoint(const std::string& service, const Tree& node, const std::string& path) {
        if (!is(node, Tree::Kind::map, path)) return;
        if (endpoints_.size() == endpoints_max_) {
            complain(node.place, path, fmt::format("more than {} endpoints", endpoints_max_));
        }
        if (endpoints_.size() >= endpoints_max_) return;
        ServiceConfig config{.name = service};
        config.check.kind = HealthCheck::Kind::none;
        const std::size_t before = problems_.size();
        for (const Tree::Entry& entry : node.map) read_field(entry, path, config);
        if (problems_.size() != before) return;
        auto verdict = checked(std::move(config));
        if (!verdict) return complain(node.place, path, verdict.error().what);
        const auto [first, is_new] =
            places_.emplace(std::pair(service, verdict->id), node.place.text());
        if (!is_new) {
            complain(
                node.place,
                path,
                fmt::format("the id \"{}\" is at {} already", verdict->id, first->second)
            );
            return;
        }
        endpoints_.push_back(
            {.id = std::move(verdict->id),
             .service = service,
             .host = std::move(verdict->host),
             .port = verdict->port,
             .weight = verdict->weight,
             .tags = std::move(verdict->tags),
             .metadata = std::move(verdict->meta)}
        );
    }

    void read_field(const Tree::Entry& entry, const std::string& parent, ServiceConfig& config) {
        const std::string path = fmt::format("{}.{}", parent, entry.key.substr(0, 80));
        const Tree& value = entry.value;
        if (entry.key == "host" && is(value, Tree::Kind::scalar, path)) {
            config.host = value.text;
        } else if (entry.key == "id" && is(value, Tree::Kind::scalar, path)) {
            config.id = value.text;
        } else if (entry.key == "port" && is(value, Tree::Kind::scalar, path)) {
            read_number(value, path, 65535, config.port);
        } else if (entry.key == "weight" && is(value, Tree::Kind::scalar, path)) {
            read_number(value, path, 65535, config.weight);
        } else if (entry.key == "tags" && is(value, Tree::Kind::list, path)) {
            for (const Tree& tag : value.list) {
                if (is(tag, Tree::Kind::scalar, path)) config.tags.push_back(tag.text);
            }
        } else if (entry.key == "meta" && is(value, Tree::Kind::map, path)) {
            for (const Tree::Entry& pair : value.map) {
                if (is(pair.value, Tree::Kind::scalar, path)) {
                    config.meta[pair.key] = pair.value.text;
                }
            }
        } else if (std::find(kEndpointKeys.begin(), kEndpointKeys.end(), entry.key) ==
                   kEndpointKeys.end()) {
            const auto meant = core::did_you_mean(entry.key, kEndpointKeys);
            complain(
                entry.place,
                path,
                meant ? fmt::format("unknown key, did you mean \"{}\"", *meant) : "unknown key"
            );
        }
    }

    template <class T>
    void read_number(const Tree& node, const std::string& path, std::uint32_t most, T& out) {
        const auto number = core::parse_number<std::uint32_t>(node.text);
        // No leading zeros: others would take them for octal.
        const bool is_plain = node.text.size() == 1 || !node.text.starts_with('0');
        if (!number || *number < 1 || *number > most || !is_plain) {
            return complain(
                node.place,
                path,
                fmt::format("must be a number of 1..{}, is \"{}\"", most, node.text.substr(0, 40))
            );
        }
        out = static_cast<T>(*number);
    }

    Error refused() const {
        std::string what;
        for (std::size_t i = 0; i < problems_.size() && i < kShownMax; ++i) {
            const Problem& one = problems_[i];
            what += fmt::format("{}{}", i == 0 ? "" : "; ", one.file);
            if (one.line > 0) what += fmt::format(":{}", one.line);
            if (!one.path.empty()) what += fmt::format(": {}", one.path);
            what += fmt::format(": {}", one.text);
        }
        if (problems_.size() > kShownMax) {
            what += fmt::format("; and {} more", problems_.size() - kShownMax);
        }
        std::replace_if(
            what.begin(),
            what.end(),
            [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; },
            ' '
        );
        return {.code = Code::invalid, .what = std::move(what), .source = Source::registry};
    }

    std::size_t endpoints_max_;
    std::vector<ServiceEndpoint> endpoints_;
    std::map<std::pair<std::string, std::string>, std::string> places_;  // by service and id
    std::vector<Problem> problems_;
};

}  // namespace

Result<std::vector<ServiceEndpoint>> parse_services_files(
    const std::vector<NamedText>& files, std::size_t endpoints_max
) {
    Reader reader(endpoints_max);
    for (const NamedText& file : files) reader.read(file);
    return reader.result();
}

}  // namespace datapunk::mesh::registry::file
