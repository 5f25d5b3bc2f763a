#pragma once

// DnsMessage: a DNS message as plain data, decode() and encode().
//
//   header · question · answers · authority · additional [+ EDNS (OPT) + TSIG, kept apart]
//
// decode() takes any bytes: compressed names are followed backwards only, so they cannot loop;
// nothing is allocated by a count that the bytes do not cover. encode() compresses owner names and
// the names in NS, CNAME, PTR and SOA; SRV targets are written in full (RFC 2782). Values; pure.
// Source: RFC 1035 4, 2782 (SRV), 3596 (AAAA), 6891 (EDNS0), 1996 (NOTIFY), 8945 (TSIG).

#include <datapunk/mesh/result.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wire/dns/name.h"

namespace datapunk::mesh::wire::dns {

inline constexpr std::size_t kHeaderBytes = 12;
inline constexpr std::size_t kPlainUdpBytesMax = 512;  // without EDNS (RFC 1035 4.2.1)
inline constexpr std::size_t kMessageBytesMax = 65'535;
inline constexpr std::uint16_t kClassIn = 1;
inline constexpr std::uint16_t kClassAny = 255;

// Types without a name here are kept as numbers.
enum class DnsType : std::uint16_t {
    a = 1,
    ns = 2,
    cname = 5,
    soa = 6,
    ptr = 12,
    txt = 16,
    aaaa = 28,
    srv = 33,
    opt = 41,
    tsig = 250,
    ixfr = 251,
    axfr = 252,
    any = 255
};

enum class DnsOpcode : std::uint8_t { query = 0, notify = 4, update = 5 };

enum class DnsRcode : std::uint16_t {
    no_error = 0,
    format_error = 1,
    server_failure = 2,
    name_error = 3,  // NXDOMAIN
    not_implemented = 4,
    refused = 5,
    not_authorised = 9,
    bad_version = 16,  // of EDNS; in a TSIG record: bad signature
    bad_key = 17,
    bad_time = 18
};

std::string to_string(DnsType type);    // "SRV", "TYPE65"
std::string to_string(DnsRcode rcode);  // "NXDOMAIN", "RCODE23"

struct DnsQuestion {
    DnsName name;
    DnsType type = DnsType::a;
    std::uint16_t class_code = kClassIn;
    friend bool operator==(const DnsQuestion&, const DnsQuestion&) = default;
};

// A and AAAA; an A record's address is the first four bytes.
struct AddressData {
    std::array<std::uint8_t, 16> ip{};
    friend bool operator==(const AddressData&, const AddressData&) = default;
};

// NS, CNAME, PTR.
struct NameData {
    DnsName name;
    friend bool operator==(const NameData&, const NameData&) = default;
};

struct SrvData {
    std::uint16_t priority = 0;
    std::uint16_t weight = 0;
    std::uint16_t port = 0;
    DnsName target;
    friend bool operator==(const SrvData&, const SrvData&) = default;
};

struct TxtData {
    std::vector<std::string> texts;  // each at most 255 bytes; at least one
    friend bool operator==(const TxtData&, const TxtData&) = default;
};

struct SoaData {
    DnsName primary;
    DnsName mailbox;
    std::uint32_t serial = 0;
    std::uint32_t refresh = 0;  // this and the rest in seconds
    std::uint32_t retry = 0;
    std::uint32_t expire = 0;
    std::uint32_t minimum = 0;  // how long "there is none" holds (RFC 2308)
    friend bool operator==(const SoaData&, const SoaData&) = default;
};

// Any other type, and any type in a class other than IN.
struct OpaqueData {
    std::string bytes;
    friend bool operator==(const OpaqueData&, const OpaqueData&) = default;
};

using DnsData = std::variant<OpaqueData, AddressData, NameData, SrvData, TxtData, SoaData>;

struct DnsRecord {
    DnsName name;
    DnsType type = DnsType::a;
    std::uint16_t class_code = kClassIn;
    std::uint32_t ttl_s = 0;  // above 2^31-1 it was sent as nonsense and is 0 (RFC 2181 8)
    DnsData data;
    friend bool operator==(const DnsRecord&, const DnsRecord&) = default;
};

struct Edns {
    std::uint16_t udp_bytes_max = 1232;  // what the sender can take; DNS Flag Day 2020's size
    std::uint8_t version = 0;
    bool dnssec_ok = false;
    std::string options;  // code, length, value; not looked into
    friend bool operator==(const Edns&, const Edns&) = default;
};

struct Tsig {
    DnsName key;
    DnsName algorithm;
    std::uint64_t time_s = 0;  // since the epoch, 48 bits
    std::uint16_t fudge_s = 300;
    std::string mac;
    std::uint16_t original_id = 0;
    std::uint16_t error = 0;
    std::string other;
    std::size_t offset = 0;  // decoded: where its record begins in the message
    friend bool operator==(const Tsig&, const Tsig&) = default;
};

struct DnsMessage {
    std::uint16_t id = 0;
    DnsOpcode opcode = DnsOpcode::query;
    bool is_response = false;
    bool is_authoritative = false;
    bool is_truncated = false;
    bool recursion_desired = false;
    bool recursion_available = false;
    DnsRcode rcode = DnsRcode::no_error;  // with the upper bits of EDNS
    std::vector<DnsQuestion> questions;
    std::vector<DnsRecord> answers;
    std::vector<DnsRecord> authority;
    std::vector<DnsRecord> additional;  // without OPT and TSIG
    std::optional<Edns> edns;
    std::optional<Tsig> tsig;  // not written by encode(): see tsig.h

    friend bool operator==(const DnsMessage&, const DnsMessage&) = default;
};

// Code::invalid names what is wrong and where.
Result<DnsMessage> decode(std::string_view bytes);
// Header and questions only: of a message whose records were cut off or are not to be trusted.
Result<DnsMessage> decode_question(std::string_view bytes);

// Code::invalid if it needs more than 65,535 bytes, or a text is over 255.
Result<std::string> encode(const DnsMessage& message);

}  // namespace datapunk::mesh::wire::dns
