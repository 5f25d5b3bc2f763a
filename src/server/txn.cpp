#include "catalog/txn.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "catalog/limits.h"
#include "server/endpoints.h"
#include "server/rows_json.h"
#include "server/txn_body.h"

namespace datapunk::mesh::server {

namespace {

using catalog::TxnKind;

void write_result(JsonWriter& json, const catalog::TxnResult& result, std::string_view datacenter) {
    json.begin_object();
    switch (result.kind) {
        case TxnKind::key:
            json.key("KV");
            write_kv(json, result.key, result.row);
            break;
        case TxnKind::node:
            json.key("Node");
            write_node(json, result.node, datacenter);
            break;
        case TxnKind::service:
            json.key("Service");
            write_service(json, result.service, NoTags::null);
            break;
        case TxnKind::check: {
            const bool of_service = !result.check.service_id.empty();
            json.key("Check");
            write_check(
                json,
                result.node,
                of_service ? &result.service : nullptr,
                result.check,
                NoTags::null
            );
            break;
        }
        case TxnKind::session:
            break;  // has no result
    }
    json.end_object();
}

http::Response render(
    const Context& context, const Call& call, const catalog::TxnOutcome& outcome, bool only_reads
) {
    const bool conflict = !outcome.errors.empty();
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object().key("Results");
    if (conflict) {
        json.null();
    } else {
        json.begin_array();
        for (const auto& result : outcome.results) {
            write_result(json, result, context.config->datacenter);
        }
        json.end_array();
    }
    json.key("Errors");
    if (conflict) {
        json.begin_array();
        for (const catalog::TxnError& error : outcome.errors) {
            json.begin_object().key("OpIndex").number(error.op);
            json.key("What").string(error.what).end_object();
        }
        json.end_array();
    } else {
        json.null();
    }
    if (only_reads) {
        json.key("Index").number(1).key("LastContact").number(0).key("KnownLeader").boolean(true);
        json.key("ConsistencyLevel").string("").key("NotModified").boolean(false);
        json.key("Backend").number(0).key("ResultsFilteredByACLs").boolean(false);
    }
    json.end_object();
    http::Response response = json_answer(call, std::move(out), conflict ? 409 : 200);
    if (only_reads) {
        response.headers.push_back({"X-Consul-Knownleader", "true"});
        response.headers.push_back({"X-Consul-Lastcontact", "0"});
    }
    return response;
}

}  // namespace

Reply txn(Context context, Call call) {
    ReadOptions options;
    if (auto refused = read_options(context, call, options)) co_return *std::move(refused);
    if (call.request.body.size() > catalog::kTxnBytesMax) {
        co_return plain_answer(
            413,
            fmt::format(
                "Request body({} bytes) too large, max size: {} bytes. See "
                "https://www.consul.io/docs/agent/config/config-files#txn_max_req_len.",
                call.request.body.size(),
                catalog::kTxnBytesMax
            )
        );
    }
    auto parsed = parse_txn(call.request.body);
    if (!parsed) {
        const int status = parsed.error().code == Code::exhausted ? 413 : 400;
        co_return plain_answer(status, parsed.error().what);
    }
    const bool only_reads = std::none_of(parsed->ops.begin(), parsed->ops.end(), catalog::writes);
    // Also what would fail is known before anything is logged.
    catalog::TxnOutcome now = context.catalog().rehearse(*parsed);
    if (only_reads || !now.errors.empty()) co_return render(context, call, now, only_reads);
    const Instant deadline = context.write_deadline();
    const catalog::Command kind = catalog::Txn{};  // for the status of an error
    catalog::Command command = *std::move(parsed);
    auto outcome = co_await context.registry->execute(std::move(command), deadline);
    if (!outcome) co_return error_answer(kind, outcome.error());
    co_return render(context, call, outcome->txn, false);
}

}  // namespace datapunk::mesh::server
