#include "probe/tls_contexts.h"

namespace datapunk::mesh::probe {

Result<TlsContexts::Context> TlsContexts::get(
    const CheckTls& tls, const std::string& alpn, Instant now
) {
    const Key key(tls.verify, tls.ca, tls.certificate, tls.private_key, alpn);
    const bool has_own = !tls.ca.empty() || !tls.certificate.empty();
    const auto found = kept_.find(key);
    const bool is_kept = found != kept_.end();
    if (is_kept && (!has_own || now - found->second.made_at < kReload)) {
        return found->second.context;
    }
    io::TlsClientConfig config;
    config.ca = tls.ca;
    config.verify_peer = tls.verify;
    config.certificate_chain = tls.certificate;
    config.private_key = tls.private_key;
    if (!alpn.empty()) config.alpn = {alpn};
    auto made = io::TlsContext::client(config);
    if (!made && !is_kept) return std::move(made).error();
    if (!is_kept && kept_.size() >= kKeptMax) kept_.clear();
    Kept& kept = kept_[key];
    kept.made_at = now;
    if (made) kept.context = *std::move(made);
    return kept.context;
}

}  // namespace datapunk::mesh::probe
