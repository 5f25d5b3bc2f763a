#pragma once

// Mirrors: copies of requests for other services, sent beside the requests; what comes back is
// thrown away. A copy never slows or fails the request it is of: it has memory, an endpoint, a
// connection and a deadline of its own, and there are at most kMax of them on their way. It goes by
// the policies of its service (limits, breakers, balancing), is sent once, and its outcome counts
// for the endpoint that it was sent to. One loop's object.

#include <memory>
#include <string_view>

#include "io/task.h"
#include "policy/service_policies.h"
#include "proxy/heads.h"
#include "proxy/upstream.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::proxy {

class Proxy;

class Mirrors {
  public:
    static constexpr std::size_t kMax = 100;  // each holds a head and a body of up to 64 KiB

    explicit Mirrors(Proxy& proxy) : proxy_(proxy) {}

    // Copies all of it. False: too many are on their way, and nothing was sent.
    bool send(
        policy::ServicePolicies& service,
        const wire::http1::RequestHead& head,
        const UpstreamHead& how,
        std::string_view body
    );

    std::size_t on_their_way() const noexcept { return count_; }

  private:
    struct Copy;
    class Counted;

    io::Task<void> run(std::unique_ptr<Copy> copy);
    static resilience::Outcome outcome_of_loss(const Copy& copy, const Upstream& upstream);
    io::Task<resilience::Outcome> ask(Copy* copy, const policy::HeldEndpoint* at);
    io::Task<Result<UpstreamPtr>> connect(Copy* copy, const policy::HeldEndpoint* at);

    Proxy& proxy_;
    std::size_t count_ = 0;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::proxy
