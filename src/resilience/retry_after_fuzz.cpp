#include "core/assert.h"
#include "resilience/retry_after.h"

// Whatever a server sends: no crash, and never a wait that is negative or over the cap.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace datapunk::mesh;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const WallTime now{std::chrono::seconds(1'800'000'000)};
    const auto wait = resilience::parse_retry_after(text, now);
    if (wait) MESH_ASSERT(*wait >= Duration::zero() && *wait <= resilience::kRetryAfterMax);
    return 0;
}
