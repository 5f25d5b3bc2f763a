#pragma once

// How a relay ended, in the word that metrics and logs have for it; `a` is the caller.

#include <string_view>

#include "io/relay.h"

namespace datapunk::mesh::proxy {

constexpr std::string_view outcome_of(io::RelayEnd end) noexcept {
    switch (end) {
        case io::RelayEnd::finished:
            return "finished";
        case io::RelayEnd::idle:
            return "idle";
        case io::RelayEnd::deadline:
            return "duration_max";
        case io::RelayEnd::a_failed:
            return "caller_reset";
        case io::RelayEnd::b_failed:
            return "upstream_reset";
        case io::RelayEnd::stopped:
            break;
    }
    return "cut";
}

}  // namespace datapunk::mesh::proxy
