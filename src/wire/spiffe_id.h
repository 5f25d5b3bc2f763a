#pragma once

// SPIFFE ids: how a workload is named in the URI of its certificate, and which of them are meant.
//
//   spiffe://trust-domain/path/of/the/workload
//
// Views and values. Source: https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/.

#include <datapunk/mesh/result.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::wire {

struct SpiffeId {
    std::string_view trust_domain;
    std::string_view path;  // with its first '/'; empty: the trust domain itself

    friend bool operator==(const SpiffeId&, const SpiffeId&) = default;
};

// Views into `text`. Strict: what is not written as the specification wants is none.
std::optional<SpiffeId> parse_spiffe_id(std::string_view text) noexcept;

// Whose a trust domain may be: "mesh.example".
bool is_trust_domain(std::string_view text) noexcept;

// Whether this can stand in a list of who is meant: an id with a path, or all below one:
// "spiffe://mesh.example/*", "spiffe://mesh.example/prod/*".
Result<> check_spiffe_pattern(std::string_view pattern);

// `id` is one that parse_spiffe_id takes, or empty: nobody.
bool spiffe_matches(std::string_view pattern, std::string_view id) noexcept;
bool spiffe_matches_any(const std::vector<std::string>& patterns, std::string_view id) noexcept;

}  // namespace datapunk::mesh::wire
