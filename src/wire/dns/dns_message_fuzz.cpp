// What decodes can be encoded, and decodes to the same again; names survive their text.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "wire/dns/message.h"
#include "wire/dns/tsig.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh::wire::dns;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (const auto name = DnsName::parse(bytes)) {
        const auto again = DnsName::parse(name->text());
        if (!again || !again->is_identical(*name)) std::abort();
    }
    static_cast<void>(decode_question(bytes));
    auto message = decode(bytes);
    if (!message) return 0;
    if (message->tsig && tsig_input(bytes, *message->tsig, {}).empty()) std::abort();
    message->tsig.reset();  // encode() leaves it out
    if (!message->edns) {   // without OPT the upper bits have no place
        message->rcode = static_cast<DnsRcode>(static_cast<unsigned>(message->rcode) & 0xfU);
    }
    const auto encoded = encode(*message);
    // Decompressed opaque and SRV names may make it too long; nothing else may fail.
    if (!encoded) return size < 200 ? (std::abort(), 1) : 0;
    const auto again = decode(*encoded);
    if (!again || !(*again == *message)) std::abort();
    for (const DnsRecord& record : again->answers) {
        const auto name = DnsName::parse(record.name.text());
        if (!name || !name->is_identical(record.name)) std::abort();
    }
    return 0;
}
