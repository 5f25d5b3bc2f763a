// The tables of the sections in listener_sections.h that are not in tables.cpp.

#include "config/codecs.h"

namespace datapunk::mesh::config {

using namespace std::chrono_literals;

template <>
const EnumNames<SendProxyChoice>& names_of<SendProxyChoice>() {
    static const EnumNames<SendProxyChoice> names = {
        {SendProxyChoice::none, "none"}, {SendProxyChoice::v1, "v1"}, {SendProxyChoice::v2, "v2"}
    };
    return names;
}

// clang-format off
template <>
const Table& table_of<SniRouteSection>() {
    using S = SniRouteSection;
    static const Table table =
        TableOf<S>("sni", "A service for callers that ask for these names.")
            .field("names", &S::names, "Host names in lower case; *.example for those below it.")
            .field("service", &S::service, "Service that gets the connection.", ValueRange{}.required())
            .table();
    return table;
}

template <>
const Table& table_of<ListenerTcpSection>() {
    using T = ListenerTcpSection;
    static const Table table =
        TableOf<T>("tcp", "Where the connections of a listener with protocol tcp go.")
            .field("service", &T::service, "Service that gets those that no name of sni is for; empty = they are refused.")
            .field("sni", &T::sni, "By the name that the caller's TLS greeting asks for; the TLS itself passes through, unless the listener has certificates. The greeting is waited for, at most head_timeout.")
            .field("duration_max", &T::duration_max, "How long a connection may last, however busy; 0s = no limit.", between(0s, 8760h))
            .field("send_proxy", &T::send_proxy, "Whether endpoints are told whose connection it is, by a PROXY header of this version. They must expect it.")
            .table();
    return table;
}

template <>
const Table& table_of<ListenerUpgradeSection>() {
    using U = ListenerUpgradeSection;
    static const Table table =
        TableOf<U>("upgrade", "Requests that want to go on in another protocol, WebSocket above all.")
            .field("protocols", &U::protocols, "Which of them are passed on to endpoints; Upgrade to any other is left out of the request. HTTP/2 is none: callers begin with it or agree on it in TLS.")
            .field("idle_timeout", &U::idle_timeout, "A connection that was upgraded is cut after this without a byte in either direction. As Envoy's; beyond the pings of the WebSocket libraries in use.", between(1s, 24h))
            .field("duration_max", &U::duration_max, "How long it may last, however busy; 0s = no limit.", between(0s, 8760h))
            .table();
    return table;
}

template <>
const Table& table_of<CaptureDestinationSection>() {
    using D = CaptureDestinationSection;
    static const Table table =
        TableOf<D>("destinations", "A service for connections that were meant to go there.")
            .field("addresses", &D::addresses, "Addresses and ranges, such as 10.0.0.0/8; empty = any.")
            .field("ports", &D::ports, "Ports; empty = any.")
            .field("service", &D::service, "Service that gets the connection.", ValueRange{}.required())
            .table();
    return table;
}

template <>
const Table& table_of<ListenerCaptureSection>() {
    using C = ListenerCaptureSection;
    static const Table table =
        TableOf<C>("capture", "Connections that a rule set of the kernel leads here from wherever they were meant to go.")
            .field("enabled", &C::enabled, "Whether the kernel is asked where each connection was meant to go.")
            .field("pass_on", &C::pass_on, "What is for nothing here goes where it was meant to: with protocol http what no route has the host of, with tcp what neither a destination, a name of sni nor tcp.service is for. false: it is refused.")
            .field("destinations", &C::destinations, "With protocol tcp: services by where connections were meant to go. The first that fits.")
            .table();
    return table;
}
// clang-format on

}  // namespace datapunk::mesh::config
