#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/delta.h"
#include "server/endpoints.h"
#include "server/filter/filter_rows.h"
#include "server/near.h"
#include "server/rows_json.h"

namespace datapunk::mesh::server {

namespace {

// Go's strconv.ParseBool; "?passing" without a value means yes.
std::optional<bool> passing_only(const Call& call) {
    const auto value = call.query.value("passing");
    if (!value) return false;
    if (value->empty()) return true;
    for (const std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
        if (*value == yes) return true;
    }
    for (const std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
        if (*value == no) return false;
    }
    return std::nullopt;
}

// Names the answer: the same text, the same bytes for one index. What comes from outside is told
// with its length, so that no value reads as two.
std::string answer_name(const Call& call, const catalog::ServiceFilter& filter) {
    std::string name;
    const auto add = [&name](char what, std::string_view value) {
        fmt::format_to(std::back_inserter(name), "\n{}{}:{}", what, value.size(), value);
    };
    add('s', call.name);
    name += filter.passing_only ? "\np" : "\na";
    name += call.is_pretty ? "p" : "-";
    for (const std::string& tag : filter.tags) add('t', tag);
    for (const auto& [key, value] : filter.node_meta) {
        add('k', key);
        add('v', value);
    }
    if (const auto near = call.query.value("near")) add('n', *near);
    if (const auto text = call.query.value("filter")) add('f', *text);
    return name;
}

http::Response render_service(
    const Context& context, const Call& call, const ReadOptions& options
) {
    catalog::ServiceFilter filter{.tags = {}, .passing_only = false, .node_meta = node_meta(call)};
    for (const std::string_view tag : call.query.values("tag")) {
        if (!tag.empty()) filter.tags.emplace_back(tag);
    }
    const auto passing = passing_only(call);
    const std::uint64_t index =
        context.catalog().index_of({catalog::WatchTopic::health_service, call.name});
    if (!passing) {
        http::Response refused = plain_answer(400, "Invalid value for ?passing");
        add_index(refused, index, options);
        return refused;
    }
    filter.passing_only = *passing;
    const std::string name = answer_name(call, filter);
    const HealthView view{name, filter, index};
    if (auto delta = delta_answer(context, call, options, view)) return *std::move(delta);
    VisibleTo visible(call);
    const auto encode = [&] {
        std::string out;
        JsonWriter json(out, call.is_pretty);
        json.begin_array();
        auto answer = context.catalog().health_service(call.name, filter);
        const auto near = call.query.value("near").value_or("");
        nearest_first(context.catalog(), near, answer.data, node_of_ref);
        for (const catalog::InstanceRef& ref : answer.data) {
            const InstanceView row{ref, context.config->datacenter};
            if (!options.accepts(&row) || !visible.instance(ref)) continue;
            write_health(json, ref, context.config->datacenter);
        }
        json.end_array();
        if (call.is_pretty) out += '\n';
        return out;
    };
    // What depends on who asks is not shared.
    http::Response response;
    if (call.access.may_everything()) {
        response = shared_answer(context, name, index, options, encode);
    } else {
        response = http::json_response(200, encode());
        add_index(response, index, options);
        visible.tell(response);
    }
    offer_delta(context, call, view, response);
    return response;
}

http::Response checks_answer(
    const Context& context,
    const Call& call,
    const ReadOptions& options,
    catalog::Indexed<std::vector<catalog::CheckRef>> answer
) {
    const auto near = call.query.value("near").value_or("");
    nearest_first(context.catalog(), near, answer.data, node_of_ref);
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    const Metadata meta = node_meta(call);
    VisibleTo visible(call);
    for (const catalog::CheckRef& ref : answer.data) {
        const CheckRowView view{ref, ref.check->output};
        const bool is_on_node = catalog::contains_all(ref.node->row.meta, meta);
        if (!is_on_node || !options.accepts(&view) || !visible.check(ref)) continue;
        write_check(json, ref.node->row, ref.service, *ref.check);
    }
    json.end_array();
    http::Response response = json_answer(call, std::move(out));
    add_index(response, answer.index, options);
    visible.tell(response);
    return response;
}

http::Response render_checks(const Context& context, const Call& call, const ReadOptions& options) {
    return checks_answer(context, call, options, context.catalog().health_checks(call.name));
}

http::Response render_node(const Context& context, const Call& call, const ReadOptions& options) {
    return checks_answer(context, call, options, context.catalog().health_node(call.name));
}

http::Response render_state(const Context& context, const Call& call, const ReadOptions& options) {
    return checks_answer(context, call, options, context.catalog().health_state(call.name));
}

Reply refuse(std::string text) {
    co_return plain_answer(400, std::move(text));
}

Reply read_named(
    Context context,
    Call call,
    catalog::WatchTopic topic,
    Jitter jitter,
    Render render,
    const FilterSchema& filterable
) {
    catalog::WatchKey key{topic, call.name};
    return read(context, std::move(call), std::move(key), jitter, render, &filterable);
}

}  // namespace

Reply health_service(Context context, Call call) {
    if (call.name.empty()) return refuse("Missing service name");
    return read_named(
        context,
        std::move(call),
        catalog::WatchTopic::health_service,
        Jitter::none,
        render_service,
        health_schema()
    );
}

Reply health_checks(Context context, Call call) {
    if (call.name.empty()) return refuse("Missing service name");
    return read_named(
        context,
        std::move(call),
        catalog::WatchTopic::health_checks,
        Jitter::sixteenth,
        render_checks,
        check_schema()
    );
}

Reply health_node(Context context, Call call) {
    if (call.name.empty()) return refuse("Missing node name");
    return read_named(
        context,
        std::move(call),
        catalog::WatchTopic::health_node,
        Jitter::sixteenth,
        render_node,
        check_schema()
    );
}

Reply health_state(Context context, Call call) {
    if (call.name.empty()) return refuse("Missing check state");
    return read_named(
        context,
        std::move(call),
        catalog::WatchTopic::health_state,
        Jitter::sixteenth,
        render_state,
        check_schema()
    );
}

}  // namespace datapunk::mesh::server
