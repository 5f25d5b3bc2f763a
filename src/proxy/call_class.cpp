#include "proxy/call_class.h"

#include <array>
#include <string_view>

namespace datapunk::mesh::proxy {

CallPriority priority_of(
    const PriorityConfig& config, const wire::http1::RequestHead& request
) noexcept {
    static constexpr std::array<std::string_view, 5> kNames = {
        "critical", "high", "normal", "low", "bulk"
    };
    if (!config.enabled || config.header.empty()) return CallPriority::normal;
    const wire::http1::Field* field = request.find(config.header);
    if (field == nullptr) return CallPriority::normal;
    for (std::size_t i = 0; i < kNames.size(); ++i) {
        if (field->value == kNames[i]) return static_cast<CallPriority>(i);
    }
    return CallPriority::normal;
}

}  // namespace datapunk::mesh::proxy
