#include "proxy/caller_key.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace datapunk::mesh::proxy {
namespace {

using policy::CallerKind;

std::string_view network_of(const io::SocketAddress& address) noexcept {
    const auto* bytes = reinterpret_cast<const char*>(address.ip.data());
    if (!address.is_v6) return {bytes, 4};
    // ::ffff:10.0.0.1, an IPv4 caller of a socket for both.
    constexpr std::array<std::uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (std::equal(kMapped.begin(), kMapped.end(), address.ip.begin())) return {bytes + 12, 4};
    return {bytes, 8};
}

}  // namespace

std::uint64_t caller_of(
    const policy::CallLimits& limits,
    const CallersConfig& config,
    const wire::http1::RequestHead& request,
    const ConnectionInfo& from
) noexcept {
    if (!limits.limits_callers()) return 0;
    if (from.identity.empty() && !config.header.empty()) {
        const wire::http1::Field* field = request.find(config.header);
        if (field != nullptr && !field->value.empty()) {
            return limits.caller_key(CallerKind::header, field->value);
        }
    }
    return caller_of(limits, from);
}

std::uint64_t caller_of(const policy::CallLimits& limits, const ConnectionInfo& from) noexcept {
    if (!limits.limits_callers()) return 0;
    if (!from.identity.empty()) return limits.caller_key(CallerKind::identity, from.identity);
    return limits.caller_key(CallerKind::address, network_of(from.from));
}

}  // namespace datapunk::mesh::proxy
