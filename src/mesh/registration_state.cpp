// RegistrationState: a registration as its owner holds it. It may outlive its mesh, which has then
// withdrawn it already.

#include "mesh/mesh_core.h"

namespace datapunk::mesh::internal {

namespace {

Error over() {
    return {.code = Code::not_found, .what = "this registration is over"};
}

}  // namespace

// A mesh that stops waits for whoever is inside, so the pointer stays good after the lock.
template <class Use>
Result<> RegistrationState::with_core(const Use& use, Result<> otherwise) {
    std::unique_lock lock(link_->mutex);
    MeshCore* core = link_->core;
    if (core == nullptr || !core->is_ours()) return otherwise;
    const Gate::Pass pass(core->gate_);
    lock.unlock();
    if (!pass) return otherwise;
    return use(*core);
}

Result<> RegistrationState::set_health(Health health, std::string_view note) {
    return with_core(
        [&](MeshCore& core) { return core.set_health(ticket_, health, note); }, over()
    );
}

Result<> RegistrationState::deregister() {
    {
        const std::lock_guard lock(mutex_);
        if (is_over_) return Ok{};
    }
    // Gone with its mesh; or the parent's, after fork().
    auto gone = with_core([&](MeshCore& core) { return core.withdraw(ticket_); }, Ok{});
    if (gone) {
        const std::lock_guard lock(mutex_);
        is_over_ = true;
    }
    return gone;
}

void RegistrationState::detach() {
    {
        const std::lock_guard lock(mutex_);
        if (is_over_) return;
        is_over_ = true;
    }
    static_cast<void>(with_core(
        [&](MeshCore& core) -> Result<> {
            core.forget(ticket_);
            return Ok{};
        },
        Ok{}
    ));
}

}  // namespace datapunk::mesh::internal
