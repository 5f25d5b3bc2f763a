#include "routing/pattern.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <utility>

namespace datapunk::mesh::routing {

namespace {

// RE2's default is 8 MiB each; a table may hold a thousand.
constexpr std::int64_t kMemory = std::int64_t{1} << 18;
// Instructions. What a person writes has tens; "((a{100}){100}){100}" would have a million.
constexpr int kProgramMax = 2'000;

Error bad(std::string what) {
    return {.code = Code::invalid, .what = std::move(what)};
}

}  // namespace

Result<Pattern> Pattern::create(std::string_view expression) {
    if (expression.empty()) return bad("an empty regular expression");
    if (expression.size() > kBytesMax)
        return bad(fmt::format("a regular expression of more than {} bytes", kBytesMax));
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(kMemory);
    options.set_encoding(re2::RE2::Options::EncodingLatin1);
    options.set_dot_nl(true);
    auto compiled = std::make_shared<const re2::RE2>(
        re2::StringPiece(expression.data(), expression.size()), options
    );
    if (!compiled->ok())
        return bad(fmt::format("no regular expression of RE2: {}", compiled->error()));
    if (compiled->ProgramSize() > kProgramMax || compiled->ReverseProgramSize() > kProgramMax)
        return bad(fmt::format("a regular expression of more than {} steps", kProgramMax));
    return Pattern(std::move(compiled));
}

bool Pattern::matches(std::string_view text) const noexcept {
    return compiled_ != nullptr &&
           re2::RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *compiled_);
}

}  // namespace datapunk::mesh::routing
