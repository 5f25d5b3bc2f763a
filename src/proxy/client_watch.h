#pragma once

// ClientWatch: while an answer is awaited from an endpoint, notices that the caller has gone and
// ends the work for it. Registered as the caller stream's reader, so it costs one pointer and no
// system call; bytes that come instead are the next request and stay buffered. A caller that has
// closed only its sending half counts as gone, as with nginx and Envoy.

#include "core/function.h"
#include "http/input.h"
#include "io/stream.h"

namespace datapunk::mesh::proxy {

class ClientWatch final : io::IoWaiter {
  public:
    using Gone = core::UniqueFunction<void()>;

    // `gone` is called at most once, possibly from here.
    ClientWatch(http::Input& input, Gone gone) : input_(input), gone_(std::move(gone)) {
        input_.stream().set_reader(this);
        // What has arrived already is not announced again.
        retry();
    }

    ClientWatch(const ClientWatch&) = delete;
    ClientWatch& operator=(const ClientWatch&) = delete;

    ~ClientWatch() { stop(); }

    void stop() noexcept {
        if (watching_) input_.stream().set_reader(nullptr);
        watching_ = false;
    }

  private:
    void retry() override {
        for (;;) {
            switch (input_.fill_now(http::kBlockBytes)) {
                case http::Input::Filled::nothing:
                    return;
                case http::Input::Filled::bytes:  // the end may have come with them
                    continue;
                case http::Input::Filled::full:
                    stop();
                    return;
                case http::Input::Filled::ended:
                    stop();
                    gone_();
                    return;
            }
        }
    }

    http::Input& input_;
    Gone gone_;
    bool watching_ = true;
};

}  // namespace datapunk::mesh::proxy
