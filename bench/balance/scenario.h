#pragma once

// Scenario: what happens to a service while algorithms are compared on it, read from a text file of
// "key value" lines; scenarios/ has them, and docs/policies.md what they are for.
//
//     endpoints 10            how many there are at the start
//     concurrency 4           calls one endpoint works on at a time; more wait in its queue
//     service_time 5ms        median of the time a call takes (log-normal)
//     spread 0.5              sigma of its logarithm; 0 = always the same
//     load 0.6                share of what all endpoints together could do when well
//     clients 2               processes that know nothing of each other's calls
//     duration 30s            measured after `warm_up 5s`
//     weights 1 1 2 4         of the endpoints in turn, repeated; capacity follows them
//     at 10s 0 slow 10        from then on endpoint 0 takes ten times as long; `0-4` five of them
//     at 10s 0 fail 1ms       answers with an error after so long, whatever it is asked
//     at 10s 0 well           works again
//     at 10s 0 leave          leaves the registry; `join` comes (back), with an empty queue

#include <datapunk/mesh/result.h>
#include <datapunk/mesh/time.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace datapunk::mesh::bench {

struct ScenarioEvent {
    enum class Kind : std::uint8_t { slow, fail, well, leave, join };

    Duration at{};
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    Kind kind = Kind::well;
    double factor = 1;       // slow
    Duration fails_after{};  // fail
};

struct Scenario {
    std::string name;
    std::uint32_t endpoints = 10;
    std::uint32_t concurrency = 4;
    Duration service_time = std::chrono::milliseconds(5);
    double spread = 0.5;
    double load = 0.6;
    std::uint32_t clients = 1;
    Duration warm_up = std::chrono::seconds(5);
    Duration duration = std::chrono::seconds(30);
    std::vector<std::uint32_t> weights{1};
    std::vector<ScenarioEvent> events{};

    std::uint32_t weight(std::uint32_t endpoint) const {
        return weights[endpoint % weights.size()];
    }
};

// The error names the line.
Result<Scenario> parse_scenario(std::string name, std::string_view text);

}  // namespace datapunk::mesh::bench
