#include <fmt/format.h>

#include "server/endpoints.h"

namespace datapunk::mesh::server {

Reply absent(Context, Call call) {
    co_return plain_answer(
        501,
        fmt::format(
            "{} is not supported by this registry: see docs/consul-compatibility.md",
            call.request.path().substr(0, 200)
        )
    );
}

}  // namespace datapunk::mesh::server
