#include <datapunk/mesh/result.h>

namespace datapunk::mesh {

std::string_view to_string(Code code) noexcept {
    switch (code) {
        case Code::invalid:
            return "invalid";
        case Code::not_found:
            return "not found";
        case Code::conflict:
            return "conflict";
        case Code::unavailable:
            return "unavailable";
        case Code::timeout:
            return "timeout";
        case Code::exhausted:
            return "exhausted";
        case Code::denied:
            return "denied";
        case Code::aborted:
            return "aborted";
        case Code::internal:
            return "internal";
    }
    return "unknown";
}

std::string_view to_string(Source source) noexcept {
    switch (source) {
        case Source::internal:
            return "internal";
        case Source::downstream:
            return "downstream";
        case Source::upstream:
            return "upstream";
        case Source::registry:
            return "registry";
    }
    return "unknown";
}

}  // namespace datapunk::mesh
