#pragma once

// TlsContexts: what probes over TLS share, made when first asked for and then kept: reading the
// system's roots takes tens of milliseconds, which a loop cannot spend on every probe. Certificates
// of a check's own are read again every kReload, so that a renewed one counts without a restart; if
// that fails the old ones go on. New roots of the system count after a restart. One loop's object.

#include <datapunk/mesh/health_check.h>
#include <datapunk/mesh/result.h>

#include <map>
#include <memory>
#include <string>
#include <tuple>

#include "io/tls.h"

namespace datapunk::mesh::probe {

class TlsContexts {
  public:
    using Context = std::shared_ptr<const io::TlsContext>;

    static constexpr Duration kReload = std::chrono::minutes(1);
    // As many checks with certificates of their own; beyond, all are read again.
    static constexpr std::size_t kKeptMax = 1000;

    // `alpn`: the protocol offered; may be empty.
    Result<Context> get(const CheckTls& tls, const std::string& alpn, Instant now);

  private:
    // verify, ca, certificate, private key, alpn
    using Key = std::tuple<bool, std::string, std::string, std::string, std::string>;

    struct Kept {
        Context context;
        Instant made_at;
    };

    std::map<Key, Kept> kept_;
};

}  // namespace datapunk::mesh::probe
