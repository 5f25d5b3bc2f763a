#include "proxy/deadline_header.h"

#include <algorithm>

#include "core/strings.h"
#include "wire/grpc/call.h"

namespace datapunk::mesh::proxy {

using wire::http1::Field;
using wire::http1::Header;
using wire::http1::RequestHead;

namespace {

bool is_named(std::string_view name, std::string_view header) noexcept {
    return name.size() == header.size() && core::equals_ignoring_case(name, header);
}

}  // namespace

Result<std::optional<Duration>> callers_patience(
    const RequestHead& request, std::string_view header
) {
    std::optional<Duration> shortest;
    const bool grpc = wire::grpc::is_content_type(request.value(Header::content_type));
    for (const Field& field : request.fields) {
        if (field.id != Header::unknown) continue;
        const bool is_ours = !header.empty() && is_named(field.name, header);
        if (!is_ours && !(grpc && is_named(field.name, kGrpcTimeout))) continue;
        auto said = is_ours ? resilience::parse_deadline_ms(field.value)
                            : resilience::parse_grpc_timeout(field.value);
        if (!said) {
            Error error = std::move(said).error();
            error.what = std::string(field.name) + ": " + error.what;
            return error;
        }
        shortest = std::min(shortest.value_or(Duration::max()), *said);
    }
    return shortest;
}

bool TimeLeft::replaces(std::string_view name) const noexcept {
    if (left == Duration::max()) return false;
    return (!header.empty() && is_named(name, header)) || (is_grpc && is_named(name, kGrpcTimeout));
}

}  // namespace datapunk::mesh::proxy
