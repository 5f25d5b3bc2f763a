#include "registry/backend.h"

#include <fmt/format.h>

namespace datapunk::mesh::registry {

Error refuse_write(std::string_view kind) {
    return {
        .code = Code::denied,
        .what = fmt::format(
            "a registry of kind {} is read-only: services cannot be registered there", kind
        ),
        .source = Source::registry
    };
}

io::Task<Result<>> ReadOnlyBackend::register_service(ServiceConfig, Instant) {
    co_return refuse_write(kind());
}

io::Task<Result<>> ReadOnlyBackend::deregister_service(std::string, Instant) {
    co_return refuse_write(kind());
}

io::Task<Result<bool>> ReadOnlyBackend::has_service(std::string, Instant) {
    co_return false;
}

io::Task<Result<>> ReadOnlyBackend::heartbeat(std::string, Health, std::string, Instant) {
    co_return refuse_write(kind());
}

}  // namespace datapunk::mesh::registry
