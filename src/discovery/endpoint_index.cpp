#include "discovery/endpoint_index.h"

#include <algorithm>
#include <numeric>

namespace datapunk::mesh::discovery {

namespace {

// No metadata key has these names: '#' is not allowed in one.
const std::string kTags = "#tags";
const std::string kCapabilities = "#capabilities";

}  // namespace

void EndpointIndex::follow(EndpointSetPtr set) {
    if (set == set_) return;
    // Confirmed again, or taken from the cache: the same endpoints at the same places.
    const bool is_same = set_ != nullptr && set_->generation == set->generation &&
                         set_->service == set->service &&
                         set_->endpoints.size() == set->endpoints.size();
    if (!is_same) dimensions_.clear();
    answers_.clear();
    set_ = std::move(set);
}

const EndpointIndex::Positions& EndpointIndex::having(
    const std::string& dimension, const std::string& value
) {
    static const Positions kNone;
    auto at = dimensions_.find(dimension);
    if (at == dimensions_.end()) {
        ++scans_;
        ByValue by_value;
        for (std::uint32_t i = 0; i < set_->endpoints.size(); ++i) {
            const ServiceEndpoint& endpoint = set_->endpoints[i];
            if (dimension == kTags) {
                for (const std::string& tag : endpoint.tags) by_value[tag].push_back(i);
            } else if (dimension == kCapabilities) {
                for (const std::string_view one : endpoint.capabilities()) {
                    by_value[std::string(one)].push_back(i);
                }
            } else if (const auto pair = endpoint.metadata.find(dimension);
                       pair != endpoint.metadata.end()) {
                by_value[pair->second].push_back(i);
            }
        }
        at = dimensions_.emplace(dimension, std::move(by_value)).first;
    }
    const auto found = at->second.find(value);
    return found == at->second.end() ? kNone : found->second;
}

EndpointIndex::Positions EndpointIndex::positions(const DiscoveryFilter& filter) {
    std::vector<const Positions*> terms;
    const auto add = [&](const std::string& dimension, const std::string& value) {
        terms.push_back(&having(dimension, value));
    };
    const auto add_field = [&](std::string_view key, const std::string& value) {
        if (!value.empty()) add(std::string(key), value);
    };
    for (const std::string& tag : filter.tags) add(kTags, tag);
    for (const std::string& one : filter.capabilities) add(kCapabilities, one);
    for (const auto& [key, value] : filter.metadata) add(key, value);
    add_field(meta_key::version, filter.version);
    add_field(meta_key::environment, filter.environment);
    add_field(meta_key::region, filter.region);
    add_field(meta_key::zone, filter.zone);
    if (terms.empty()) {
        Positions all(set_->endpoints.size());
        std::iota(all.begin(), all.end(), 0U);
        return all;
    }
    std::sort(terms.begin(), terms.end(), [](const auto* a, const auto* b) {
        return a->size() < b->size();
    });
    Positions both = *terms[0];
    // An endpoint that has a tag twice is there once.
    both.erase(std::unique(both.begin(), both.end()), both.end());
    for (std::size_t i = 1; i < terms.size() && !both.empty(); ++i) {
        std::erase_if(both, [&](std::uint32_t at) {
            return !std::binary_search(terms[i]->begin(), terms[i]->end(), at);
        });
    }
    return both;
}

EndpointSetPtr EndpointIndex::select(EndpointSetPtr set, const DiscoveryFilter& filter) {
    if (set == nullptr || filter.empty()) return set;
    follow(std::move(set));
    const auto known = std::find_if(answers_.begin(), answers_.end(), [&](const auto& answer) {
        return answer.first == filter;
    });
    if (known != answers_.end()) return known->second;
    auto selected = std::make_shared<EndpointSet>();
    selected->service = set_->service;
    selected->index = set_->index;
    selected->generation = set_->generation;
    selected->learned_at = set_->learned_at;
    selected->origin = set_->origin;
    selected->stale = set_->stale;
    for (const std::uint32_t at : positions(filter)) {
        const ServiceEndpoint& endpoint = set_->endpoints[at];
        if (!filter.healthy || endpoint.healthy()) selected->endpoints.push_back(endpoint);
    }
    if (answers_.size() < kAnswersMax) answers_.emplace_back(filter, selected);
    return selected;
}

}  // namespace datapunk::mesh::discovery
