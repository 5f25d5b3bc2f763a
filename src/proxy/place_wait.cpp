#include "proxy/place_wait.h"

#include <memory>

namespace datapunk::mesh::proxy {
namespace {

// What a posted word finds: nothing if the exchange has gone meanwhile. Used on the loop only.
struct Bell {
    io::Event* wake = nullptr;
};

struct BellOwner {
    std::shared_ptr<Bell> bell;

    ~BellOwner() { bell->wake = nullptr; }
};

}  // namespace

io::Task<std::optional<policy::NoEndpoint>> wait_for_place(
    policy::Admission& admission,
    policy::CallState& call,
    io::Loop& loop,
    io::Event& wake,
    const bool& client_gone
) {
    const BellOwner owner{std::make_shared<Bell>(Bell{.wake = &wake})};
    policy::PlaceWait wait(admission, [bell = owner.bell, &loop] {
        loop.post([bell] {
            if (bell->wake != nullptr) bell->wake->set();
        });
    });
    wake.clear();
    if (auto refused = wait.join(call, loop.now())) co_return refused;
    while (!wait.is_over() && !client_gone && loop.now() < wait.latest()) {
        co_await wake.wait(wait.latest());
        wake.clear();
    }
    if (client_gone) co_return std::nullopt;
    co_return wait.end(call, loop.now());
}

}  // namespace datapunk::mesh::proxy
