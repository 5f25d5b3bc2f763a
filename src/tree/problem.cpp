#include "tree/problem.h"

#include <fmt/format.h>

#include <iterator>

namespace datapunk::mesh::tree {

namespace {
constexpr std::size_t kShownMax = 100;  // more than anybody reads
}

std::string render_problems(const std::vector<Problem>& problems) {
    if (problems.empty()) return "";
    std::string text = fmt::format(
        "{} problem{} in the configuration:\n", problems.size(), problems.size() == 1 ? "" : "s"
    );
    const auto out = std::back_inserter(text);
    for (std::size_t i = 0; i < problems.size() && i < kShownMax; ++i) {
        const Problem& problem = problems[i];
        text += "  ";
        text += problem.file;
        if (problem.line > 0) fmt::format_to(out, ":{}:{}", problem.line, problem.column);
        if (!problem.file.empty()) text += ": ";
        if (!problem.path.empty()) fmt::format_to(out, "{}: ", problem.path);
        text += problem.text;
        if (!problem.hint.empty()) fmt::format_to(out, " ({})", problem.hint);
        text += '\n';
    }
    if (problems.size() > kShownMax)
        fmt::format_to(out, "  and {} more\n", problems.size() - kShownMax);
    return text;
}

}  // namespace datapunk::mesh::tree
