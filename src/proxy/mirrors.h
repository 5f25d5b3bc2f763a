#pragma once

// Mirrors: copies of requests for other services, sent beside the requests; what comes back is
// thrown away. A copy never slows or fails the request it is of: it has memory, an endpoint, a
// connection and a deadline of its own, and there are at most kMax of them on their way. It goes by
// the policies of its service (limits, breakers, balancing), is sent once, and its outcome counts
// for the endpoint that it was sent to. One loop's object.
//
// A body that is still coming is copied beside, as a MirrorDraft, and sent when it is whole.

#include <memory>
#include <string_view>

#include "core/intrusive_list.h"
#include "io/task.h"
#include "policy/service_policies.h"
#include "proxy/heads.h"
#include "proxy/upstream.h"
#include "wire/http1/message.h"

namespace datapunk::mesh::proxy {

class MirrorDraft;
class Proxy;

class Mirrors {
  public:
    static constexpr std::size_t kMax = 100;  // on their way, each with a head and a body
    static constexpr std::size_t kDraftsMax = 100;
    // Of a draft: with kDraftsMax of them 25 MiB.
    static constexpr std::size_t kBodyBytesMax = 256UL * 1024;
    // Streams may last for hours: what is not whole by then makes room when it is needed.
    static constexpr Duration kDraftTime = std::chrono::seconds(30);

    explicit Mirrors(Proxy& proxy) : proxy_(proxy) {}

    // Copies all of it. False: too many are on their way, and nothing was sent.
    bool send(
        policy::ServicePolicies& service,
        const wire::http1::RequestHead& head,
        const UpstreamHead& how,
        std::string_view body
    );

    // `body` is what has come of it. Null: too many drafts.
    std::unique_ptr<MirrorDraft> begin(
        policy::ServicePolicies& service,
        const wire::http1::RequestHead& head,
        const UpstreamHead& how,
        std::string_view body
    );
    // It is whole. False: as of send().
    bool finish(std::unique_ptr<MirrorDraft> draft);

    std::size_t on_their_way() const noexcept { return count_; }

    std::size_t drafts() const noexcept { return draft_count_; }

  private:
    friend class MirrorDraft;
    struct Copy;
    class Counted;

    bool send(std::unique_ptr<Copy> copy);
    io::Task<void> run(std::unique_ptr<Copy> copy);
    static resilience::Outcome outcome_of_loss(const Copy& copy, const Upstream& upstream);
    io::Task<resilience::Outcome> ask(Copy* copy, const policy::HeldEndpoint* at);
    io::Task<Result<UpstreamPtr>> connect(Copy* copy, const policy::HeldEndpoint* at);

    Proxy& proxy_;
    std::size_t count_ = 0;
    std::size_t draft_count_ = 0;
    core::IntrusiveList<MirrorDraft> drafts_;  // the oldest first
    io::TaskGroup tasks_;                      // last: destroyed first
};

// A copy whose body is still coming. It may be given up at any time, to make room.
class MirrorDraft final : public core::ListNode {
  public:
    MirrorDraft(Mirrors& mirrors, std::unique_ptr<Mirrors::Copy> copy, Instant begun);
    MirrorDraft(const MirrorDraft&) = delete;
    MirrorDraft& operator=(const MirrorDraft&) = delete;
    ~MirrorDraft();

    // False: it has been given up, for its size now or for its age before.
    bool add(std::string_view piece);

  private:
    friend class Mirrors;
    void give_up() noexcept;

    Mirrors& mirrors_;
    std::unique_ptr<Mirrors::Copy> copy_;
    Instant begun_;
};

}  // namespace datapunk::mesh::proxy
