#include "registry/backend.h"

#include <fmt/format.h>

#include <utility>

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

io::Task<Result<std::optional<Metadata>>> Backend::metadata_of(std::string id, Instant deadline) {
    auto has = co_await has_service(std::move(id), deadline);
    if (!has) co_return std::move(has).error();
    std::optional<Metadata> found;
    if (*has) found.emplace();
    co_return found;
}

io::Task<Result<News>> Backend::follow(
    std::string service, KnownAnswer known, Duration longest, Instant deadline
) {
    auto answer = co_await wait(std::move(service), known.index, longest, deadline);
    if (!answer) co_return std::move(answer).error();
    News news;
    news.what = *std::move(answer);
    co_return news;
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
