// Any bytes as a request body: no crash, no exception, and what is accepted prepares and encodes.

#include <cstdint>
#include <string_view>
#include <utility>

#include "server/bodies.h"
#include "server/query_body.h"
#include "server/session_body.h"
#include "server/txn_body.h"

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
    check(server::parse_txn(body));
    catalog::CreateSession session;
    session.session.id = "s";
    session.session.node = "n";
    if (server::read_session(body, session.session)) check(Result<catalog::CreateSession>(session));
    if (auto query = server::parse_query(body)) {
        query->id = "8f246b77-f3e1-ff88-5b48-8ec93abf3e00";
        check(Result<catalog::SetQuery>(catalog::SetQuery{*std::move(query)}));
    }
    return 0;
}
