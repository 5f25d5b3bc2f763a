#include "core/metadata.h"

#include <fmt/format.h>

#include <algorithm>

namespace datapunk::mesh::core {

namespace {

constexpr std::size_t kVersionBytesMax = 64;
constexpr std::size_t kPlaceBytesMax = 63;  // as a DNS label
constexpr std::size_t kCapabilityBytesMax = 63;

bool is_word(std::string_view text, std::size_t bytes_max, std::string_view also) {
    const auto fits = [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               also.find(c) != std::string_view::npos;
    };
    return !text.empty() && text.size() <= bytes_max && std::all_of(text.begin(), text.end(), fits);
}

std::string unfit(std::string_view key, std::string_view value, std::string_view rule) {
    return fmt::format("{} \"{}\" must be {}", key, value.substr(0, 80), rule);
}

std::string list_problem(std::string_view key, std::string_view value) {
    const bool is_services = key == meta_key::dependencies;
    for (const std::string_view word : words_of(value)) {
        if (is_services) {
            const auto verdict = check_service_name(word);
            if (!verdict) return fmt::format("{}: {}", key, verdict.error().what);
        } else if (!is_word(word, kCapabilityBytesMax, "._:/-")) {
            return unfit(key, word, "1..63 of [A-Za-z0-9._:/-]");
        }
    }
    return {};
}

void settle_text(
    ServiceConfig& config,
    std::string_view key,
    std::string& field,
    std::vector<std::string>& problems
) {
    const auto at = config.meta.find(key);
    if (at == config.meta.end()) {
        if (!field.empty()) config.meta.emplace(key, field);
    } else if (field.empty()) {
        field = at->second;
    } else if (field != at->second) {
        problems.push_back(fmt::format(
            "{} is \"{}\", but \"{}\" in the metadata",
            key,
            field.substr(0, 80),
            at->second.substr(0, 80)
        ));
    }
    if (auto problem = meta_problem(key, field); !problem.empty()) problems.push_back(problem);
}

void settle_list(
    ServiceConfig& config,
    std::string_view key,
    std::vector<std::string>& field,
    std::vector<std::string>& problems
) {
    for (const std::string& word : field) {
        if (word.empty() || word.find(',') != std::string::npos) {
            problems.push_back(unfit(key, word, "a word without commas"));
            return;
        }
    }
    std::string joined = fmt::format("{}", fmt::join(field, ","));
    settle_text(config, key, joined, problems);
    field.clear();
    for (const std::string_view word : words_of(joined)) field.emplace_back(word);
}

}  // namespace

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    while (!text.empty()) {
        const std::size_t comma = std::min(text.find(','), text.size());
        words.push_back(text.substr(0, comma));
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return words;
}

std::string meta_problem(std::string_view key, std::string_view value) {
    if (value.empty()) return {};
    if (key == meta_key::version) {
        const bool fits = is_word(value, kVersionBytesMax, "._+~:-");
        return fits ? std::string() : unfit(key, value, "1..64 of [A-Za-z0-9._+~:-]");
    }
    if (key == meta_key::environment || key == meta_key::region || key == meta_key::zone) {
        const bool fits = is_word(value, kPlaceBytesMax, "._-");
        return fits ? std::string() : unfit(key, value, "1..63 of [A-Za-z0-9._-]");
    }
    if (key == meta_key::capabilities || key == meta_key::dependencies) {
        return list_problem(key, value);
    }
    return {};
}

std::vector<std::string> settle_metadata(ServiceConfig& config) {
    std::vector<std::string> problems;
    settle_text(config, meta_key::version, config.version, problems);
    settle_text(config, meta_key::environment, config.environment, problems);
    settle_text(config, meta_key::region, config.region, problems);
    settle_text(config, meta_key::zone, config.zone, problems);
    settle_list(config, meta_key::capabilities, config.capabilities, problems);
    settle_list(config, meta_key::dependencies, config.dependencies, problems);
    return problems;
}

}  // namespace datapunk::mesh::core
