#include "server/dns/response_limit.h"

#include <string_view>

#include "core/hash.h"

namespace datapunk::mesh::server::dns {

ResponseLimit::Verdict ResponseLimit::ask(const io::SocketAddress& from, Instant now) {
    if (from.is_loopback()) return Verdict::answer;
    // Who has an address has its network: IPv4 /24, IPv6 /56.
    const std::size_t prefix_bytes = from.is_v6 ? 7 : 3;
    const std::string_view network(reinterpret_cast<const char*>(from.ip.data()), prefix_bytes);
    Place& place = places_[core::hash64(network, seed_) % kPlaces];
    if (now - place.since >= std::chrono::seconds(1)) place = {.since = now, .count = 0};
    ++place.count;
    if (place.count <= per_second_max_) return Verdict::answer;
    return place.count <= per_second_max_ * kSilentFactor ? Verdict::cut : Verdict::silent;
}

}  // namespace datapunk::mesh::server::dns
