#include <fmt/format.h>

#include <optional>
#include <utility>

#include "server/endpoints.h"
#include "server/rows_json.h"
#include "server/session_body.h"
#include "server/uuid.h"

namespace datapunk::mesh::server {

namespace {

Reply refuse(int status, std::string text) {
    co_return plain_answer(status, std::move(text));
}

// Writes take ?dc and nothing else of a read's options.
std::optional<http::Response> wrong_datacenter(const Context& context, const Call& call) {
    const auto dc = call.query.value("dc");
    if (!dc || dc->empty() || *dc == context.config->datacenter) return std::nullopt;
    return plain_answer(500, "No path to datacenter");
}

// Sessions belong to nodes, and so do the rights to them.
std::optional<http::Response> refuse_change(const Context& context, const Call& call) {
    const catalog::SessionRow* session = context.catalog().session(call.name).data;
    if (session == nullptr) return std::nullopt;  // that is another error, or none
    return refuse_unless(call, Resource::session, Verb::write, session->node);
}

std::string rows(const Call& call, const std::vector<const catalog::SessionRow*>& sessions) {
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_array();
    for (const catalog::SessionRow* session : sessions) write_session(json, *session);
    json.end_array();
    return out;
}

http::Response answer_list(
    const Call& call,
    catalog::Indexed<std::vector<const catalog::SessionRow*>> answer,
    const ReadOptions& options
) {
    VisibleTo visible(call);
    std::erase_if(answer.data, [&](const catalog::SessionRow* session) {
        return !visible.may(Resource::session, session->node);
    });
    http::Response response = json_answer(call, rows(call, answer.data));
    add_index(response, answer.index, options);
    visible.tell(response);
    return response;
}

http::Response render_list(const Context& context, const Call& call, const ReadOptions& options) {
    return answer_list(call, context.catalog().sessions(), options);
}

http::Response render_node(const Context& context, const Call& call, const ReadOptions& options) {
    return answer_list(call, context.catalog().node_sessions(call.name), options);
}

http::Response render_info(const Context& context, const Call& call, const ReadOptions& options) {
    const auto answer = context.catalog().session(call.name);
    std::vector<const catalog::SessionRow*> sessions;
    if (answer.data != nullptr) sessions.push_back(answer.data);
    return answer_list(call, {answer.index, std::move(sessions)}, options);
}

}  // namespace

Reply session_create(Context context, Call call) {
    if (auto refused = wrong_datacenter(context, call)) co_return *std::move(refused);
    catalog::CreateSession command;
    catalog::SessionRow& session = command.session;
    session.node = context.node_name();
    if (session.node.empty()) co_return plain_answer(500, "No cluster leader");  // yet
    session.node_checks = {"serfHealth"};
    if (!call.request.body.empty()) {
        if (auto read = read_session(call.request.body, session); !read) {
            const int status = read.error().code == Code::invalid ? 400 : 500;
            co_return plain_answer(status, read.error().what);
        }
    }
    auto refused = refuse_unless(call, Resource::session, Verb::write, session.node);
    if (refused) co_return *std::move(refused);
    session.id = new_uuid(context.registry->loop().rng());
    const std::string id = session.id;
    const catalog::Command kind = command;  // for the status of an error
    const Instant deadline = context.write_deadline();
    catalog::Command any = std::move(command);
    auto outcome = co_await context.registry->execute(std::move(any), deadline);
    if (!outcome) co_return error_answer(kind, outcome.error());
    std::string out;
    JsonWriter json(out, call.is_pretty);
    json.begin_object().key("ID").string(id).end_object();
    co_return json_answer(call, std::move(out));
}

Reply session_destroy(Context context, Call call) {
    if (auto refused = wrong_datacenter(context, call)) co_return *std::move(refused);
    if (call.name.empty()) co_return plain_answer(400, "Missing session");
    if (auto refused = refuse_change(context, call)) co_return *std::move(refused);
    const catalog::Command kind = catalog::DestroySession{call.name};
    catalog::Command command = kind;
    const Instant deadline = context.write_deadline();
    auto outcome = co_await context.registry->execute(std::move(command), deadline);
    if (!outcome) co_return error_answer(kind, outcome.error());
    co_return json_answer(call, "true");
}

Reply session_renew(Context context, Call call) {
    ReadOptions options;
    if (auto refused = read_options(context, call, options)) co_return *std::move(refused);
    if (call.name.empty()) co_return plain_answer(400, "Missing session");
    if (auto refused = refuse_change(context, call)) co_return *std::move(refused);
    const catalog::Command kind = catalog::RenewSession{call.name};
    catalog::Command command = kind;
    const Instant deadline = context.write_deadline();
    auto outcome = co_await context.registry->execute(std::move(command), deadline);
    if (!outcome) co_return error_answer(kind, outcome.error());
    const catalog::SessionRow* session = context.catalog().session(call.name).data;
    // It may have ended between the write and this turn of the loop.
    if (session == nullptr) {
        co_return plain_answer(404, fmt::format("Session id '{}' not found", call.name));
    }
    co_return json_answer(call, rows(call, {session}));
}

Reply session_info(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing session");
    catalog::WatchKey key{catalog::WatchTopic::session, call.name};
    return read(context, std::move(call), std::move(key), Jitter::sixteenth, render_info);
}

Reply session_node(Context context, Call call) {
    if (call.name.empty()) return refuse(400, "Missing node name");
    catalog::WatchKey key{catalog::WatchTopic::session_node, call.name};
    return read(context, std::move(call), std::move(key), Jitter::sixteenth, render_node);
}

Reply session_list(Context context, Call call) {
    return read(
        context,
        std::move(call),
        {catalog::WatchTopic::sessions, ""},
        Jitter::sixteenth,
        render_list
    );
}

}  // namespace datapunk::mesh::server
