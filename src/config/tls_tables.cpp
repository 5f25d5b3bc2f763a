// The tables of the sections in tls_sections.h.

#include "config/codecs.h"

namespace datapunk::mesh::config {

using namespace std::chrono_literals;

template <>
const EnumNames<TlsVersionChoice>& names_of<TlsVersionChoice>() {
    static const EnumNames<TlsVersionChoice> names = {
        {TlsVersionChoice::tls12, "1.2"}, {TlsVersionChoice::tls13, "1.3"}
    };
    return names;
}

template <>
const EnumNames<ClientCertificate>& names_of<ClientCertificate>() {
    static const EnumNames<ClientCertificate> names = {
        {ClientCertificate::none, "none"},
        {ClientCertificate::optional, "optional"},
        {ClientCertificate::required, "required"},
    };
    return names;
}

// clang-format off
template <>
const Table& table_of<CertificateSection>() {
    using C = CertificateSection;
    static const Table table =
        TableOf<C>("certificates", "A certificate of ours and its key.")
            .field("certificate", &C::certificate, "Path of a PEM file: the certificate, then those that lead to its authority. Or the PEM text.", ValueRange{}.required())
            .field("private_key", &C::private_key, "Path of its key's PEM file, or the text. Nobody but this process's user should be able to read it.", ValueRange{}.required())
            .table();
    return table;
}

template <>
const Table& table_of<ListenerTlsSection>() {
    using L = ListenerTlsSection;
    static const Table table =
        TableOf<L>("tls", "TLS with callers. Files are followed: a new certificate is used for the next connection.")
            .field("certificates", &L::certificates, "Ours; with one at least, TLS is spoken. A caller that asks for a name (SNI) sees the one for it, any other the first.")
            .field("client_ca", &L::client_ca, "PEM file of who may have signed callers' certificates; empty = callers are not asked for one.")
            .field("client_certificate", &L::client_certificate, "With client_ca: whether callers must show a certificate. One that is shown must be good in any case.")
            .field("min_version", &L::min_version, "Oldest version of TLS that is spoken.")
            .field("allow", &L::allow, "SPIFFE ids that may call: spiffe://mesh.example/web, or all below spiffe://mesh.example/prod/*. Others get 403. Empty = anybody.")
            .field("handshake_timeout", &L::handshake_timeout, "Time limit of a handshake.", between(100ms, 1min))
            .field("handshakes_max", &L::handshakes_max, "Handshakes of a worker at a time; more are refused.", between(1, 100'000))
            .table();
    return table;
}

template <>
const Table& table_of<ServiceTlsSection>() {
    using S = ServiceTlsSection;
    static const Table table =
        TableOf<S>("tls", "TLS towards endpoints. Certificates and keys are paths of PEM files, which are followed, or PEM text.")
            .field("enabled", &S::enabled, "Whether it is spoken.")
            .field("verify", &S::verify, "Whether the endpoint's certificate must be good. Off only for debugging: whoever answers is believed.")
            .field("server_name", &S::server_name, "What the certificate must be for, and what is asked for (SNI); empty = the endpoint's host.")
            .field("identities", &S::identities, "SPIFFE ids one of which the certificate must have, instead of being for a name.")
            .field("ca", &S::ca, "Who may have signed it, or a directory of PEM files; empty = the system's roots.")
            .field("certificate", &S::certificate, "Ours, for endpoints that ask for one.")
            .field("private_key", &S::private_key, "Its key.")
            .field("min_version", &S::min_version, "Oldest version of TLS that is spoken.")
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
