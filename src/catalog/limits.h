#pragma once

// How much the catalog holds. Every table has an end, so that a registering loop gone wild costs an
// error and not the machine. Where Consul has a limit, it is Consul's.
// Never lower one: a replay applies old commands under today's limits, and what was accepted once
// must be accepted again.

#include <datapunk/mesh/time.h>

#include <cstddef>

namespace datapunk::mesh::catalog {

inline constexpr std::size_t kNodesMax = 10'000;  // twice Consul's advice for one datacenter
inline constexpr std::size_t kServicesMax =
    100'000;  // about 100 MB of rows; Consul's benchmark: 172,000
inline constexpr std::size_t kChecksMax = 200'000;  // two for each service
inline constexpr std::size_t kChecksPerServiceMax = 64;
inline constexpr std::size_t kNameBytesMax = 255;  // names and ids; a DNS name's length
inline constexpr std::size_t kTagsMax = 64;
inline constexpr std::size_t kTagBytesMax = 255;
inline constexpr std::size_t kMetaPairsMax = 64;  // this and the next two are Consul's
inline constexpr std::size_t kMetaKeyBytesMax = 128;
inline constexpr std::size_t kMetaValueBytesMax = 512;
inline constexpr std::size_t kTaggedAddressesMax = 16;
inline constexpr std::size_t kOutputBytesMax = 4096;  // Consul's: longer output of a check is cut
inline constexpr std::size_t kNotesBytesMax = 4096;
inline constexpr std::size_t kDefinitionBytesMax = 4096;     // each text of a check's definition
inline constexpr std::size_t kHeadersMax = 64;               // of an HTTP check; also its arguments
inline constexpr std::size_t kKvKeyBytesMax = 1024;          // fits every request line we accept
inline constexpr std::size_t kKvValueBytesMax = 512 * 1024;  // Consul's
inline constexpr std::size_t kKvKeysMax = 100'000;
inline constexpr std::size_t kKvBytesMax = 64 * 1024 * 1024;  // all keys and values together
inline constexpr std::size_t kSessionsMax = 65'536;           // one a client; about 500 bytes each
inline constexpr std::size_t kSessionChecksMax = 64;
inline constexpr std::size_t kEventPayloadBytesMax = 512;  // Consul's, of the whole event
inline constexpr std::size_t kEventFilterBytesMax = 255;
inline constexpr std::size_t kTxnOpsMax = 128;  // this and the next: Consul's
inline constexpr std::size_t kTxnResultBytesMax = 64UL * 1024 * 1024;  // one whole key store
inline constexpr std::size_t kTxnBytesMax = 512 * 1024;                // of the request's body
// Keys locked or within their lock delay; 100 bytes each.
inline constexpr std::size_t kLocksMax = 100'000;
// Deleted keys whose index is remembered one by one; older ones share one floor (kv.h).
inline constexpr std::size_t kTombstonesMax = 10'000;
inline constexpr std::size_t kAclTokensMax = 10'000;  // one a service and one a person, and some
inline constexpr std::size_t kAclPoliciesMax = 1'000;
inline constexpr std::size_t kAclLinksMax = 64;       // policies and identities of one token
inline constexpr std::size_t kAclNameBytesMax = 128;  // Consul's
inline constexpr std::size_t kAclRulesBytesMax = 64UL * 1024;  // a thousand rules
inline constexpr std::size_t kQueriesMax = 1'000;
inline constexpr std::size_t kWaitersMax = 65'536;  // blocked queries; each also holds a connection

inline constexpr Duration kSessionTtlMin = std::chrono::seconds(10);  // this and the next: Consul's
inline constexpr Duration kSessionTtlMax = std::chrono::hours(24);
inline constexpr Duration kLockDelayMax =
    std::chrono::minutes(1);                                       // more is stored, but not waited
inline constexpr Duration kIntervalMin = std::chrono::seconds(1);  // Consul raises silently
inline constexpr Duration kDeregisterAfterMin = std::chrono::minutes(1);  // likewise

}  // namespace datapunk::mesh::catalog
