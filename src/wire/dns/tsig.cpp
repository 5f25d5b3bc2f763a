#include "wire/dns/tsig.h"

#include "core/assert.h"

namespace datapunk::mesh::wire::dns {

namespace {

constexpr std::size_t kAdditionalCountAt = 10;

void put(std::string& out, std::uint64_t value, unsigned bytes) {
    while (bytes-- > 0) {
        out += static_cast<char>(static_cast<unsigned char>(value >> (8U * bytes)));
    }
}

unsigned additional_count(std::string_view message) {
    return static_cast<unsigned>(static_cast<unsigned char>(message[kAdditionalCountAt])) << 8U |
           static_cast<unsigned char>(message[kAdditionalCountAt + 1]);
}

void set_additional_count(std::string& message, unsigned count) {
    message[kAdditionalCountAt] = static_cast<char>(static_cast<unsigned char>(count >> 8U));
    message[kAdditionalCountAt + 1] = static_cast<char>(static_cast<unsigned char>(count));
}

}  // namespace

std::string tsig_input(std::string_view message, const Tsig& tsig, std::string_view request_mac) {
    MESH_ASSERT(message.size() >= kHeaderBytes && tsig.offset <= message.size());
    std::string out;
    if (!request_mac.empty()) {
        put(out, request_mac.size(), 2);
        out += request_mac;
    }
    std::string plain(tsig.offset == 0 ? message : message.substr(0, tsig.offset));
    if (tsig.offset != 0) set_additional_count(plain, additional_count(plain) - 1);
    plain[0] = static_cast<char>(static_cast<unsigned char>(tsig.original_id >> 8U));
    plain[1] = static_cast<char>(static_cast<unsigned char>(tsig.original_id));
    out += plain;
    out += tsig.key.key();
    put(out, kClassAny, 2);
    put(out, 0, 4);
    out += tsig.algorithm.key();
    put(out, tsig.time_s, 6);
    put(out, tsig.fudge_s, 2);
    put(out, tsig.error, 2);
    put(out, tsig.other.size(), 2);
    out += tsig.other;
    return out;
}

void append_tsig(std::string& message, const Tsig& tsig) {
    MESH_ASSERT(message.size() >= kHeaderBytes);
    std::string data = tsig.algorithm.wire();
    put(data, tsig.time_s, 6);
    put(data, tsig.fudge_s, 2);
    put(data, tsig.mac.size(), 2);
    data += tsig.mac;
    put(data, tsig.original_id, 2);
    put(data, tsig.error, 2);
    put(data, tsig.other.size(), 2);
    data += tsig.other;
    message += tsig.key.wire();
    put(message, static_cast<std::uint16_t>(DnsType::tsig), 2);
    put(message, kClassAny, 2);
    put(message, 0, 4);
    put(message, data.size(), 2);
    message += data;
    set_additional_count(message, additional_count(message) + 1);
}

}  // namespace datapunk::mesh::wire::dns
