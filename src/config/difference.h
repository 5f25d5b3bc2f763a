#pragma once

// differences(): what one configuration says otherwise than another, key by key, every default
// written out and secrets redacted; and which of it a running agent can take over.
//
// Pure. Cost: O(keys log keys).

#include <set>
#include <string>
#include <vector>

#include "config/load.h"

namespace datapunk::mesh::config {

enum class Effect : std::uint8_t {
    at_once,  // a running agent applies it
    restart,  // only a new process can
};

struct Difference {
    std::string key;     // "services.api.policy.retry.attempts"
    std::string from;    // as YAML has it; empty = not there
    std::string to;      // likewise
    std::string origin;  // of `to`: "mesh.yaml:3"
    Effect effect = Effect::at_once;

    friend bool operator==(const Difference&, const Difference&) = default;
};

// Sorted by key. Both hold a config. A secret that is another one is told as such.
std::vector<Difference> differences(const Loaded& before, const Loaded& after);

// One line each: "key: from -> to (mesh.yaml:3, needs a restart)".
std::string to_text(const std::vector<Difference>& differences);

// Every service that is named: by routes, by listeners, or for itself.
std::set<std::string> services_of(const Config& config);
// Those that listeners of protocol tcp lead to.
std::set<std::string> tcp_services_of(const Config& config);

}  // namespace datapunk::mesh::config
