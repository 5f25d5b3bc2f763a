// The public face of resilience/deadline.h.

#include "resilience/deadline.h"

#include <datapunk/mesh/deadline.h>

namespace datapunk::mesh {

Result<Duration> deadline_from_header(std::string_view text) {
    return resilience::parse_deadline_ms(text);
}

std::string deadline_to_header(Duration left) {
    return resilience::format_deadline_ms(left);
}

Result<Duration> deadline_from_grpc_timeout(std::string_view text) {
    return resilience::parse_grpc_timeout(text);
}

std::string deadline_to_grpc_timeout(Duration left) {
    return resilience::format_grpc_timeout(left);
}

}  // namespace datapunk::mesh
