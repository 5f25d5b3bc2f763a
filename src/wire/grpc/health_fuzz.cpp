#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "wire/grpc/health.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh::wire::grpc;
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    if (const auto status = parse_health_response(body); status) (void)to_string(*status);
    if (health_request(body).size() < size) std::abort();
    (void)status_name(body);
    return 0;
}
