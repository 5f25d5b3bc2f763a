#include "proxy/loop_guard.h"

namespace datapunk::mesh::proxy {

std::optional<LoopGuard::Token> LoopGuard::note(const Ends& ends, bool is_captured) {
    const std::lock_guard lock(mutex_);
    if ((is_captured ? made_ : captured_).contains(ends)) {
        if (!is_captured) come_back_.insert(ends);
        return std::nullopt;
    }
    (is_captured ? captured_ : made_).insert(ends);
    Token token;
    token.guard_ = this;
    token.ends_ = ends;
    token.is_captured_ = is_captured;
    return token;
}

void LoopGuard::forget(const Ends& ends, bool is_captured) {
    const std::lock_guard lock(mutex_);
    auto& known = is_captured ? captured_ : made_;
    if (const auto found = known.find(ends); found != known.end()) known.erase(found);
    if (is_captured) come_back_.erase(ends);
}

bool LoopGuard::has_come_back(const Token& captured) {
    const std::lock_guard lock(mutex_);
    return come_back_.contains(captured.ends_);
}

}  // namespace datapunk::mesh::proxy
