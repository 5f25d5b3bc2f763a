#pragma once

// TlsContexts: what probes over TLS share, made when first asked for and then kept: reading the
// system's roots takes tens of milliseconds, which a loop cannot spend on every probe. New roots
// count after a restart. One loop's object.

#include <datapunk/mesh/result.h>

#include <memory>

#include "io/tls.h"

namespace datapunk::mesh::probe {

class TlsContexts {
  public:
    using Context = std::shared_ptr<const io::TlsContext>;

    // Without verification any certificate will do.
    Result<Context> get(bool verifies) {
        Context& kept = verifies ? verified_ : unverified_;
        if (kept == nullptr) {
            io::TlsClientConfig config;
            config.verify_peer = verifies;
            auto made = io::TlsContext::client(config);
            if (!made) return std::move(made).error();
            kept = *std::move(made);
        }
        return kept;
    }

  private:
    Context verified_;
    Context unverified_;
};

}  // namespace datapunk::mesh::probe
