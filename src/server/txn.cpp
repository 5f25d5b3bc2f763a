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
using catalog::TxnOp;
using catalog::TxnVerb;

// Collects what a call may not do, in the order it is asked.
class Rights {
  public:
    Rights(const Context& context, const Call& call)
        : catalog_(context.catalog()), access_(call.access) {}

    // Why the operation is refused; "" if it is not. What only shows rows is filtered afterwards.
    std::string refusal(const TxnOp& op) const {
        switch (op.kind) {
            case TxnKind::key:
                return refuse_key(op);
            case TxnKind::node:
                return op.verb == TxnVerb::get
                           ? std::string()
                           : need(Resource::node, Verb::write, op.node_row->name);
            case TxnKind::service:
                return op.verb == TxnVerb::get ? std::string() : refuse_service(op);
            case TxnKind::check:
                return op.verb == TxnVerb::get ? std::string() : refuse_check(op);
            case TxnKind::session: {
                const catalog::SessionRow* session = catalog_.session(op.session).data;
                if (session == nullptr) return {};
                return need(Resource::session, Verb::write, session->node);
            }
        }
        return {};
    }

    bool shows(const catalog::TxnResult& result) const {
        const auto may = [&](Resource resource, const std::string& name) {
            return access_.may(resource, Verb::read, name);
        };
        switch (result.kind) {
            case TxnKind::key:
                return may(Resource::key, result.key);
            case TxnKind::node:
                return may(Resource::node, result.node.name);
            case TxnKind::service:
                return may(Resource::service, result.service.name);
            case TxnKind::check:
                return may(Resource::node, result.node.name) &&
                       (result.check.service_id.empty() ||
                        may(Resource::service, result.service.name));
            case TxnKind::session:
                break;
        }
        return true;
    }

  private:
    std::string need(Resource resource, Verb verb, std::string_view name) const {
        return access_.may(resource, verb, name) ? std::string()
                                                 : access_.refusal(resource, verb, name);
    }

    std::string refuse_key(const TxnOp& op) const {
        switch (op.verb) {
            case TxnVerb::get:
            case TxnVerb::get_or_empty:
            case TxnVerb::get_tree:
            case TxnVerb::unknown:
                return {};
            case TxnVerb::check_index:
            case TxnVerb::check_session:
            case TxnVerb::check_not_exists:
                return need(Resource::key, Verb::read, op.key);  // the verdict tells something
            case TxnVerb::erase_tree:
                return access_.may_write_all(Resource::key, op.key)
                           ? std::string()
                           : access_.refusal(Resource::key, Verb::write, op.key);
            default:
                return need(Resource::key, Verb::write, op.key);
        }
    }

    // The name of the service that has this id on the node now, or "".
    std::string name_of(const std::string& node, const std::string& id) const {
        const catalog::CatalogNode* at = catalog_.node(node).data;
        if (at == nullptr) return {};
        const auto found = at->services.find(id);
        return found == at->services.end() ? std::string() : found->second.row.name;
    }

    std::string refuse_service(const TxnOp& op) const {
        const std::string& id = op.service->id.empty() ? op.service->name : op.service->id;
        const std::string now = name_of(op.node, id);
        std::string refused;
        if (!now.empty()) refused = need(Resource::service, Verb::write, now);
        const bool sets = op.verb == TxnVerb::set || op.verb == TxnVerb::cas;
        if (refused.empty() && sets) {
            refused = need(Resource::service, Verb::write, op.service->name);
        }
        return refused;
    }

    std::string refuse_check(const TxnOp& op) const {
        std::vector<std::string> owners;
        if (const catalog::CatalogNode* node = catalog_.node(op.node).data; node != nullptr) {
            const auto owner = node->check_owner.find(op.check->id);
            if (owner != node->check_owner.end()) owners.push_back(owner->second);
        }
        if (op.verb == TxnVerb::set || op.verb == TxnVerb::cas) {
            owners.push_back(op.check->service_id);
        }
        for (const std::string& id : owners) {
            const std::string name = id.empty() ? std::string() : name_of(op.node, id);
            std::string refused = name.empty() ? need(Resource::node, Verb::write, op.node)
                                               : need(Resource::service, Verb::write, name);
            if (!refused.empty()) return refused;
        }
        return {};
    }

    const catalog::Catalog& catalog_;
    const Access& access_;
};

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
    const Rights rights(context, call);
    bool hides = false;
    const bool conflict = !outcome.errors.empty();
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object().key("Results");
    if (conflict) {
        json.null();
    } else {
        json.begin_array();
        for (const auto& result : outcome.results) {
            if (rights.shows(result)) {
                write_result(json, result, context.config->datacenter);
            } else {
                hides = true;
            }
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
        json.key("Backend").number(0).key("ResultsFilteredByACLs");
        json.boolean(hides && call.access.has_token());
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
    catalog::TxnOutcome denied;
    const Rights rights(context, call);
    for (std::size_t i = 0; i < parsed->ops.size(); ++i) {
        std::string refused = rights.refusal(parsed->ops[i]);
        if (!refused.empty()) denied.errors.push_back({i, std::move(refused)});
    }
    if (!denied.errors.empty()) co_return render(context, call, denied, only_reads);
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
