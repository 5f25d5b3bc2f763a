#include "proxy/identity.h"

#include <algorithm>

#include "wire/spiffe_id.h"

namespace datapunk::mesh::proxy {

namespace {

constexpr std::string_view kUri = "URI:";
// Longer ones are left out: the hash says which certificate it was.
constexpr std::size_t kSubjectBytesMax = 512;

}  // namespace

std::string identity_of(const io::TlsPeer& peer) {
    if (!peer.is_leaf) return {};
    std::string_view uri;
    for (const std::string& name : peer.names) {
        if (!name.starts_with(kUri)) continue;
        if (!uri.empty()) return {};  // X509-SVID 2: exactly one
        uri = std::string_view(name).substr(kUri.size());
    }
    const auto id = wire::parse_spiffe_id(uri);
    return id && !id->path.empty() ? std::string(uri) : std::string();
}

std::string forwarded_certificate(const io::TlsPeer& peer, const std::string& identity) {
    if (peer.sha256.empty()) return {};
    std::string text = "Hash=" + peer.sha256;
    // RFC 2253's form is printable and escapes quotes already.
    const bool is_plain = std::all_of(peer.subject.begin(), peer.subject.end(), [](char c) {
        return c >= ' ' && c <= '~';
    });
    if (!peer.subject.empty() && is_plain && peer.subject.size() <= kSubjectBytesMax)
        text += ";Subject=\"" + peer.subject + "\"";
    if (!identity.empty()) text += ";URI=" + identity;
    return text;
}

}  // namespace datapunk::mesh::proxy
