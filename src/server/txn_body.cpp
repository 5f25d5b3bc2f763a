#include "server/txn_body.h"

#include <array>
#include <optional>
#include <string>
#include <utility>

#include "catalog/command.h"
#include "catalog/limits.h"
#include "server/json_body.h"
#include "server/json_fields.h"
#include "server/row_fields.h"

namespace datapunk::mesh::server {

namespace {

using catalog::TxnKind;
using catalog::TxnOp;
using catalog::TxnVerb;
using Json = nlohmann::json;

constexpr std::string_view kPrefix = "Failed to parse body: ";

struct VerbName {
    std::string_view text;
    TxnVerb verb;
};

constexpr std::array kKeyVerbs = {
    VerbName{"set", TxnVerb::set},
    VerbName{"cas", TxnVerb::cas},
    VerbName{"lock", TxnVerb::lock},
    VerbName{"unlock", TxnVerb::unlock},
    VerbName{"get", TxnVerb::get},
    VerbName{"get-or-empty", TxnVerb::get_or_empty},
    VerbName{"get-tree", TxnVerb::get_tree},
    VerbName{"check-index", TxnVerb::check_index},
    VerbName{"check-session", TxnVerb::check_session},
    VerbName{"check-not-exists", TxnVerb::check_not_exists},
    VerbName{"delete", TxnVerb::erase},
    VerbName{"delete-cas", TxnVerb::erase_cas},
    VerbName{"delete-tree", TxnVerb::erase_tree},
};

// Of nodes, services and checks.
constexpr std::array kRowVerbs = {
    VerbName{"get", TxnVerb::get},
    VerbName{"set", TxnVerb::set},
    VerbName{"cas", TxnVerb::cas},
    VerbName{"delete", TxnVerb::erase},
    VerbName{"delete-cas", TxnVerb::erase_cas},
};

constexpr std::array kSessionVerbs = {VerbName{"delete", TxnVerb::erase}};

template <std::size_t N>
TxnVerb find_verb(const std::array<VerbName, N>& names, std::string_view text) {
    for (const VerbName& name : names) {
        if (name.text == text) return name.verb;
    }
    return TxnVerb::unknown;
}

// Where Go's decoder stops.
std::size_t first_bad_base64(std::string_view text) {
    const auto bad =
        text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    return bad == std::string_view::npos ? text.size() : bad;
}

void read_value(JsonFields& fields, const Json& json, std::string& out) {
    if (!json.is_string()) return fields.mismatch(json, "[]uint8");
    const std::string& text = json.get_ref<const std::string&>();
    auto decoded = core::base64_decode(text);
    if (!decoded) {
        return fields.fail(
            fmt::format("illegal base64 data at input byte {}", first_bad_base64(text))
        );
    }
    out = *std::move(decoded);
}

void read_key_op(JsonFields& fields, const Json& json, TxnOp& op) {
    fields.object(
        json,
        "KVTxnOp",
        {fields.text("Verb", op.verb_text),
         fields.text("Key", op.key),
         {"Value", [&](const Json& value) { read_value(fields, value, op.value); }},
         fields.number("Flags", op.flags),
         fields.number("Index", op.index),
         fields.text("Session", op.session),
         JsonFields::ignored("Namespace"),
         JsonFields::ignored("Partition")}
    );
    op.kind = TxnKind::key;
    op.verb = find_verb(kKeyVerbs, op.verb_text);
}

void read_node_op(JsonFields& fields, const Json& json, TxnOp& op) {
    catalog::NodeRow& node = op.node_row.emplace();
    const auto read_node = [&](const Json& row) {
        fields.object(
            row,
            "Node",
            {fields.text("ID", node.id),
             fields.text("Node", node.name),
             fields.text("Address", node.address),
             fields.text_map("TaggedAddresses", node.tagged_addresses),
             fields.text_map("Meta", node.meta),
             fields.number("ModifyIndex", op.index),
             JsonFields::ignored("Datacenter"),
             JsonFields::ignored("CreateIndex"),
             JsonFields::ignored("Partition"),
             JsonFields::ignored("PeerName"),
             JsonFields::ignored("Locality")}
        );
    };
    fields.object(json, "NodeTxnOp", {fields.text("Verb", op.verb_text), {"Node", read_node}});
    op.kind = TxnKind::node;
    op.verb = find_verb(kRowVerbs, op.verb_text);
}

void read_service_op(JsonFields& fields, const Json& json, TxnOp& op) {
    catalog::ServiceRow& service = op.service.emplace();
    fields.object(
        json,
        "ServiceTxnOp",
        {fields.text("Verb", op.verb_text),
         fields.text("Node", op.node),
         {"Service", [&](const Json& row) { read_node_service(fields, row, service); }}}
    );
    op.index = std::exchange(service.index, {}).modified;
    op.kind = TxnKind::service;
    op.verb = find_verb(kRowVerbs, op.verb_text);
}

void read_check_op(JsonFields& fields, const Json& json, TxnOp& op) {
    catalog::CheckRow& check = op.check.emplace();
    std::string status;
    const auto read_row = [&](const Json& row) {
        read_health_check(fields, row, op.node, check, status);
    };
    fields.object(json, "CheckTxnOp", {fields.text("Verb", op.verb_text), {"Check", read_row}});
    op.index = std::exchange(check.index, {}).modified;
    if (check.id.empty()) check.id = check.name;
    if (!status.empty()) {
        const auto parsed = catalog::parse_status(status);
        if (parsed) {
            check.status = *parsed;
        } else {
            fields.fail(parsed.error().what);
        }
    }
    op.kind = TxnKind::check;
    op.verb = find_verb(kRowVerbs, op.verb_text);
}

void read_session_op(JsonFields& fields, const Json& json, TxnOp& op) {
    const auto read_session = [&](const Json& row) {
        fields.object(row, "Session", {fields.text("ID", op.session)});
    };
    fields.object(
        json, "SessionTxnOp", {fields.text("Verb", op.verb_text), {"Session", read_session}}
    );
    op.kind = TxnKind::session;
    op.verb = find_verb(kSessionVerbs, op.verb_text);
}

}  // namespace

Result<catalog::Txn> parse_txn(std::string_view body) {
    auto json = parse_json(body, kPrefix);
    if (!json) return std::move(json).error();
    JsonFields fields;
    catalog::Txn txn;
    if (!json->is_array() && !json->is_null()) fields.mismatch(*json, "api.TxnOps");
    if (json->is_array() && json->size() > catalog::kTxnOpsMax) {
        return Error{
            .code = Code::exhausted,
            .what = fmt::format(
                "Transaction contains too many operations ({} > {})",
                json->size(),
                catalog::kTxnOpsMax
            ),
            .source = Source::downstream,
        };
    }
    for (const Json& item : *json) {
        std::optional<TxnOp> op;
        // One operation an object; further ones in it are not looked at.
        const auto reads = [&](std::string_view name, auto read_op) {
            return JsonFields::Field{name, [&fields, &op, read_op](const Json& value) {
                                         if (!op) read_op(fields, value, op.emplace());
                                     }};
        };
        fields.object(
            item,
            "TxnOp",
            {reads("KV", read_key_op),
             reads("Node", read_node_op),
             reads("Service", read_service_op),
             reads("Check", read_check_op),
             reads("Session", read_session_op)}
        );
        if (fields.problem()) break;
        if (op) txn.ops.push_back(*std::move(op));
    }
    if (fields.problem()) {
        return Error{
            .code = Code::invalid,
            .what = fmt::format("{}{}", kPrefix, *fields.problem()),
            .source = Source::downstream,
        };
    }
    return txn;
}

}  // namespace datapunk::mesh::server
