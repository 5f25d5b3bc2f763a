// registry snapshot: a registry's state into a file, back into a registry, and what a file holds.

#include <fmt/format.h>

#include <cstdio>

#include "apps/commands.h"
#include "apps/registry_session.h"
#include "apps/text_table.h"
#include "io/files.h"
#include "registry/embedded/backup.h"
#include "wire/json_writer.h"

namespace datapunk::mesh::apps {

namespace {

using registry::embedded::Backup;
using registry::embedded::BackupHead;

constexpr std::size_t kFileBytesMax = 1UL << 30U;

int fail(std::string_view what) {
    fmt::print(stderr, "dpmesh: {}\n", what);
    return exit_failed;
}

void print(const BackupHead& head, const std::string& file, Output output) {
    const std::pair<const char*, std::uint64_t> numbers[] = {
        {"index", head.index},
        {"nodes", head.nodes},
        {"services", head.services},
        {"instances", head.instances},
        {"keys", head.keys},
        {"sessions", head.sessions},
        {"bytes", head.state_bytes},
    };
    if (output == Output::json) {
        std::string text;
        wire::JsonWriter json(text);
        json.begin_object().key("file").string(file);
        json.key("created").string(head.created).key("node").string(head.node);
        for (const auto& [name, number] : numbers) json.key(name).number(number);
        json.end_object();
        fmt::print("{}\n", text);
        return;
    }
    TextTable table({"SNAPSHOT", file});
    table.add({"created", head.created});
    table.add({"node", head.node});
    for (const auto& [name, number] : numbers) table.add({name, fmt::to_string(number)});
    fmt::print("{}", table.text());
}

// The answer's body, or what went wrong printed and its exit code.
Result<std::string> ask(const RegistryAccess& access, http::Request request, int& code) {
    auto session = RegistrySession::open(access);
    if (!session) {
        code = report(session.error());
        return std::move(session).error();
    }
    auto answer = (*session)->run((*session)->fetch(std::move(request)));
    if (!answer) {
        code = report(answer.error());
        return std::move(answer).error();
    }
    if (answer->status != 200) {
        Error error{
            .what = fmt::format("the registry answered {}: {}", answer->status, answer->body)
        };
        code = fail(error.what);
        return error;
    }
    return std::move(answer->body);
}

}  // namespace

int run_snapshot_save(const SnapshotCommand& command) {
    int code = exit_ok;
    auto bytes = ask(command.access, {.target = "/v1/snapshot"}, code);
    if (!bytes) return code;
    const auto backup = registry::embedded::decode_backup(*bytes);
    if (!backup) return fail(fmt::format("the registry's answer: {}", backup.error().what));
    io::KernelFiles files;
    if (auto written = files.write_atomic(command.file, *bytes); !written) {
        return fail(written.error().what);
    }
    print(backup->head, command.file, command.access.output);
    return exit_ok;
}

int run_snapshot_restore(const SnapshotCommand& command) {
    io::KernelFiles files;
    auto bytes = files.read(command.file, kFileBytesMax);
    if (!bytes) return fail(bytes.error().what);
    // Asked here first: a damaged file need not be sent to be refused.
    const auto backup = registry::embedded::decode_backup(*bytes);
    if (!backup) return fail(fmt::format("{}: {}", command.file, backup.error().what));
    http::Request request{.method = "PUT", .target = "/v1/snapshot"};
    request.body = *std::move(bytes);
    int code = exit_ok;
    if (auto done = ask(command.access, std::move(request), code); !done) return code;
    print(backup->head, command.file, command.access.output);
    return exit_ok;
}

int run_snapshot_inspect(const SnapshotCommand& command) {
    io::KernelFiles files;
    const auto bytes = files.read(command.file, kFileBytesMax);
    if (!bytes) return fail(bytes.error().what);
    const auto backup = registry::embedded::decode_backup(*bytes);
    if (!backup) return fail(fmt::format("{}: {}", command.file, backup.error().what));
    print(backup->head, command.file, command.access.output);
    return exit_ok;
}

}  // namespace datapunk::mesh::apps
