#include "mesh/saga.h"

#include <fmt/format.h>

#include <utility>

namespace datapunk::mesh::internal {

namespace {

struct Undone {
    std::string done;    // "metrics, balancer"
    std::string failed;  // "registry (connection refused)"

    static void add(std::string& list, std::string_view item) {
        if (!list.empty()) list += ", ";
        list += item;
    }
};

Error failure(
    const std::string& what, std::string_view step, const Error& why, const Undone& undone
) {
    Error error = why;
    error.what = fmt::format("{} failed at {}: {}", what, step, why.what);
    if (!undone.done.empty()) error.what += fmt::format("; undone: {}", undone.done);
    if (!undone.failed.empty()) error.what += fmt::format("; not undone: {}", undone.failed);
    return error;
}

}  // namespace

io::Task<Result<>> run_saga(std::string what, std::vector<SagaStep> steps) {
    for (std::size_t at = 0; at < steps.size(); ++at) {
        auto done = co_await steps[at].run();
        if (done) continue;
        Undone undone;
        for (std::size_t back = at + 1; back-- > 0;) {
            const SagaStep& step = steps[back];
            if (!step.undo) continue;
            auto gone = co_await step.undo();
            if (gone) {
                Undone::add(undone.done, step.name);
            } else {
                Undone::add(undone.failed, fmt::format("{} ({})", step.name, gone.error().what));
            }
        }
        co_return failure(what, steps[at].name, done.error(), undone);
    }
    co_return Ok{};
}

}  // namespace datapunk::mesh::internal
