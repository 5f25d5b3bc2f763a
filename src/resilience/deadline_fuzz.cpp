#include "core/assert.h"
#include "resilience/deadline.h"
#include "resilience/retry_policy.h"

// Whatever a client sends: no crash, a bounded time, and what we write of it reads back no longer.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace datapunk::mesh;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto& parsed :
         {resilience::parse_deadline_ms(text), resilience::parse_grpc_timeout(text)}) {
        if (!parsed) continue;
        MESH_ASSERT(*parsed >= Duration::zero() && *parsed <= resilience::kDeadlineMax);
        const auto grpc = resilience::parse_grpc_timeout(resilience::format_grpc_timeout(*parsed));
        MESH_ASSERT(grpc && *grpc <= *parsed);
        const auto ms = resilience::parse_deadline_ms(resilience::format_deadline_ms(*parsed));
        MESH_ASSERT(ms && *ms <= *parsed);
    }
    const auto on = resilience::parse_retry_on(text);
    if (on) {
        const std::string names = resilience::format_retry_on(*on);
        MESH_ASSERT(resilience::parse_retry_on(names).value() == *on);
    }
    return 0;
}
