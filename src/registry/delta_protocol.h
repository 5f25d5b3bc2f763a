#pragma once

// An extension of Consul's GET /v1/health/service/:name between our client and our registry:
// answers that say only what has changed. A registry that does not know it ignores the header and
// answers in full.
//
//   request   X-Mesh-Delta: 1             I could be told what has changed
//   answer    X-Mesh-Delta: TOKEN         in full, Consul's; TOKEN names the view it is of
//   request   X-Mesh-Delta: TOKEN         with ?index=N: I have that view, as of N
//   answer    X-Mesh-Delta: TOKEN, X-Mesh-Delta-Since: N
//             {"Changed": [instance, …], "Removed": [{"Node": …, "ID": …}, …],
//              "Count": n, "Digest": "16 hex digits"}
//
// TOKEN is 16 hex digits, "-" and 16 more. The first number is of the registry's run and seeds the
// digest: the sum, modulo 2^64, of hash64() of each instance's JSON text in the view as it is now,
// so that a client whose set is another notices. The second is of the parameters and the caller's
// rights. When either has changed, or the registry does not remember N, the answer is in full.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace datapunk::mesh::registry {

inline constexpr std::string_view kDeltaHeader = "X-Mesh-Delta";
inline constexpr std::string_view kDeltaSinceHeader = "X-Mesh-Delta-Since";
inline constexpr std::string_view kDeltaAny = "1";

// Of fewer instances everything is said as quickly; neither side keeps books of them.
inline constexpr std::size_t kDeltaInstancesMin = 32;

}  // namespace datapunk::mesh::registry
