#pragma once

// run_saga: steps that are done one after the other, and undone in reverse when one fails.
//
//   step 1 ─► step 2 ─► step 3 ✗          a step that failed may have worked all the same (its
//   undo 1 ◄─ undo 2 ◄─ undo 3            answer was lost), so that it is undone as well
//
// An undo that fails does not keep the ones before it from running; the error lists it. A step is
// never undone twice, and none that was not begun. Undoing one that did nothing must be harmless.
// When the task is destroyed, nothing more happens: its owner knows what was begun (see Registrar).

#include <datapunk/mesh/result.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "io/task.h"

namespace datapunk::mesh::internal {

struct SagaStep {
    std::string_view name;
    std::function<io::Task<Result<>>()> run;
    std::function<io::Task<Result<>>()> undo{};  // empty: it leaves nothing behind
};

// `what` begins the error: "register web-1" gives "register web-1 failed at registry: connection
// refused; undone: registry". Its code, source and retryable are those of the step that failed.
io::Task<Result<>> run_saga(std::string what, std::vector<SagaStep> steps);

}  // namespace datapunk::mesh::internal
