// Any bytes as a request body: no crash, no exception, and what is accepted prepares and encodes.

#include <cstdint>
#include <string_view>

#include "server/bodies.h"

namespace {

using namespace datapunk::mesh;

template <class T>
void check(Result<T> parsed) {
    if (!parsed) return;
    catalog::Command command = *std::move(parsed);
    if (!catalog::prepare(command)) return;
    const auto decoded = catalog::decode_command(catalog::encode(command));
    if (!decoded || *decoded != command) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    check(server::parse_service(body));
    check(server::parse_check(body));
    check(server::parse_check_update(body));
    check(server::parse_catalog_register(body));
    check(server::parse_catalog_deregister(body));
    return 0;
}
