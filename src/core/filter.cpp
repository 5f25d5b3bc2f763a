// DiscoveryFilter, and what an endpoint's metadata says (include/datapunk/mesh/).

#include <datapunk/mesh/filter.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/metadata.h"

namespace datapunk::mesh {

namespace {

constexpr std::size_t kTermsMax = 64;  // as many as a registration may have

bool has_word(std::string_view list, std::string_view word) noexcept {
    while (!list.empty()) {
        const std::size_t comma = std::min(list.find(','), list.size());
        if (list.substr(0, comma) == word) return true;
        list.remove_prefix(std::min(comma + 1, list.size()));
    }
    return false;
}

bool is_or_empty(std::string_view wanted, std::string_view actual) noexcept {
    return wanted.empty() || wanted == actual;
}

}  // namespace

std::string_view ServiceEndpoint::meta(std::string_view key) const noexcept {
    const auto at = metadata.find(key);
    return at == metadata.end() ? std::string_view() : std::string_view(at->second);
}

std::vector<std::string_view> ServiceEndpoint::capabilities() const {
    return core::words_of(meta(meta_key::capabilities));
}

bool ServiceEndpoint::has_capability(std::string_view capability) const noexcept {
    return has_word(meta(meta_key::capabilities), capability);
}

std::vector<std::string_view> ServiceEndpoint::dependencies() const {
    return core::words_of(meta(meta_key::dependencies));
}

bool DiscoveryFilter::empty() const noexcept {
    return tags.empty() && metadata.empty() && version.empty() && environment.empty() &&
           region.empty() && zone.empty() && capabilities.empty() && !healthy;
}

bool DiscoveryFilter::matches(const ServiceEndpoint& endpoint) const noexcept {
    if (healthy && !endpoint.healthy()) return false;
    if (!is_or_empty(zone, endpoint.zone()) || !is_or_empty(region, endpoint.region()) ||
        !is_or_empty(environment, endpoint.environment()) ||
        !is_or_empty(version, endpoint.version())) {
        return false;
    }
    const bool has_tags = std::all_of(tags.begin(), tags.end(), [&](const std::string& tag) {
        return std::find(endpoint.tags.begin(), endpoint.tags.end(), tag) != endpoint.tags.end();
    });
    return has_tags &&
           std::all_of(
               metadata.begin(),
               metadata.end(),
               [&](const auto& pair) {
                   const auto at = endpoint.metadata.find(pair.first);
                   return at != endpoint.metadata.end() && at->second == pair.second;
               }
           ) &&
           std::all_of(capabilities.begin(), capabilities.end(), [&](const std::string& one) {
               return endpoint.has_capability(one);
           });
}

Result<> check(const DiscoveryFilter& filter) {
    std::string problems;
    const auto add = [&](const std::string& problem) {
        if (problem.empty()) return;
        if (!problems.empty()) problems += "; ";
        problems += problem;
    };
    const auto add_field = [&](std::string_view key, const std::string& value) {
        add(core::meta_problem(key, value));
        const auto at = filter.metadata.find(key);
        if (!value.empty() && at != filter.metadata.end() && at->second != value) {
            add(fmt::format("two values for {}", key));
        }
    };
    add_field(meta_key::version, filter.version);
    add_field(meta_key::environment, filter.environment);
    add_field(meta_key::region, filter.region);
    add_field(meta_key::zone, filter.zone);
    for (const std::string& one : filter.capabilities) {
        const bool is_word = !one.empty() && one.find(',') == std::string::npos;
        add(is_word ? core::meta_problem(meta_key::capabilities, one)
                    : fmt::format("capability \"{}\" must be a word", one.substr(0, 80)));
    }
    const bool has_empty = std::any_of(filter.tags.begin(), filter.tags.end(), [](const auto& tag) {
        return tag.empty();
    });
    if (has_empty) add("an empty tag");
    if (filter.metadata.contains("")) add("an empty metadata key");
    const std::size_t terms =
        std::max({filter.tags.size(), filter.metadata.size(), filter.capabilities.size()});
    if (terms > kTermsMax) add(fmt::format("at most {} tags, pairs or capabilities", kTermsMax));
    if (problems.empty()) return Ok{};
    return Error{.code = Code::invalid, .what = "filter: " + problems};
}

std::string to_string(const DiscoveryFilter& filter) {
    std::vector<std::string> terms;
    const auto add = [&](std::string_view key, std::string_view value) {
        if (!value.empty()) terms.push_back(fmt::format("{}={}", key, value));
    };
    for (const std::string& tag : filter.tags) add("tag", tag);
    for (const auto& [key, value] : filter.metadata) {
        terms.push_back(fmt::format("{}={}", key, value));
    }
    add(meta_key::version, filter.version);
    add(meta_key::environment, filter.environment);
    add(meta_key::region, filter.region);
    add(meta_key::zone, filter.zone);
    for (const std::string& one : filter.capabilities) add("capability", one);
    if (filter.healthy) terms.emplace_back("healthy");
    return fmt::format("{}", fmt::join(terms, " "));
}

}  // namespace datapunk::mesh
