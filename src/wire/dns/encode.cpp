#include <fmt/format.h>

#include <unordered_map>

#include "wire/dns/message.h"

namespace datapunk::mesh::wire::dns {

namespace {

class Composer {
  public:
    Result<std::string> run(const DnsMessage& message) {
        out_.reserve(kPlainUdpBytesMax);
        header(message);
        for (const DnsQuestion& question : message.questions) {
            name(question.name, Compress::yes);
            u16(static_cast<std::uint16_t>(question.type));
            u16(question.class_code);
        }
        for (const auto* section : {&message.answers, &message.authority, &message.additional}) {
            for (const DnsRecord& record : *section) this->record(record);
        }
        if (message.edns) edns(*message.edns, message.rcode);
        if (out_.size() > kMessageBytesMax) problem_ = "it is over 65,535 bytes";
        if (problem_ == nullptr) return std::move(out_);
        return Error{.code = Code::invalid, .what = fmt::format("DNS message: {}", problem_)};
    }

  private:
    enum class Compress : std::uint8_t {
        no,
        targets,  // written in full, but later names may point at it
        yes
    };

    void u16(unsigned value) {
        out_ += static_cast<char>(static_cast<unsigned char>(value >> 8U));
        out_ += static_cast<char>(static_cast<unsigned char>(value));
    }

    void u32(std::uint32_t value) {
        u16(value >> 16U);
        u16(value & 0xffffU);
    }

    void count(std::size_t value) {
        if (value > 0xffff) problem_ = "too many records";
        u16(static_cast<unsigned>(value & 0xffffU));
    }

    void header(const DnsMessage& message) {
        u16(message.id);
        unsigned flags = message.is_response ? 0x8000U : 0U;
        flags |= (static_cast<unsigned>(message.opcode) & 0xfU) << 11U;
        if (message.is_authoritative) flags |= 0x0400U;
        if (message.is_truncated) flags |= 0x0200U;
        if (message.recursion_desired) flags |= 0x0100U;
        if (message.recursion_available) flags |= 0x0080U;
        flags |= static_cast<unsigned>(message.rcode) & 0xfU;
        u16(flags);
        count(message.questions.size());
        count(message.answers.size());
        count(message.authority.size());
        count(message.additional.size() + (message.edns ? 1 : 0));
    }

    // Case matters to compression: a name must not take the case of another.
    void name(const DnsName& name, Compress compress) {
        const std::string_view wire = name.wire();
        if (compress == Compress::no) {
            out_ += wire;
            return;
        }
        for (std::size_t at = 0; wire[at] != '\0';) {
            const std::string_view suffix = wire.substr(at);
            const auto found = offsets_.find(suffix);
            if (found != offsets_.end() && compress == Compress::yes) {
                u16(0xc000U | found->second);
                return;
            }
            constexpr std::size_t kPointerMax = 0x3fff;
            if (found == offsets_.end() && out_.size() <= kPointerMax) {
                offsets_.emplace(suffix, static_cast<std::uint16_t>(out_.size()));
            }
            const std::size_t size = static_cast<unsigned char>(wire[at]) + 1U;
            out_ += wire.substr(at, size);
            at += size;
        }
        out_ += '\0';
    }

    void record(const DnsRecord& record) {
        name(record.name, Compress::yes);
        u16(static_cast<std::uint16_t>(record.type));
        u16(record.class_code);
        u32(record.ttl_s);
        const std::size_t length_at = out_.size();
        u16(0);
        std::visit([&](const auto& data) { write(data, record.type); }, record.data);
        const std::size_t size = out_.size() - length_at - 2;
        if (size > 0xffff) problem_ = "a record is over 65,535 bytes";
        out_[length_at] = static_cast<char>(static_cast<unsigned char>(size >> 8U));
        out_[length_at + 1] = static_cast<char>(static_cast<unsigned char>(size));
    }

    void write(const OpaqueData& data, DnsType /*type*/) { out_ += data.bytes; }

    void write(const AddressData& data, DnsType type) {
        const std::size_t size = type == DnsType::aaaa ? 16 : 4;
        for (std::size_t i = 0; i < size; ++i) out_ += static_cast<char>(data.ip[i]);
    }

    void write(const NameData& data, DnsType /*type*/) { name(data.name, Compress::yes); }

    void write(const SrvData& data, DnsType /*type*/) {
        u16(data.priority);
        u16(data.weight);
        u16(data.port);
        name(data.target, Compress::targets);
    }

    void write(const TxtData& data, DnsType /*type*/) {
        if (data.texts.empty()) problem_ = "a TXT record without a text";
        for (const std::string& text : data.texts) {
            if (text.size() > 255) problem_ = "a text is over 255 bytes";
            out_ += static_cast<char>(static_cast<unsigned char>(text.size()));
            out_ += text;
        }
    }

    void write(const SoaData& data, DnsType /*type*/) {
        name(data.primary, Compress::yes);
        name(data.mailbox, Compress::yes);
        for (const std::uint32_t value :
             {data.serial, data.refresh, data.retry, data.expire, data.minimum}) {
            u32(value);
        }
    }

    void edns(const Edns& edns, DnsRcode rcode) {
        name(DnsName(), Compress::no);
        u16(static_cast<std::uint16_t>(DnsType::opt));
        u16(edns.udp_bytes_max);
        u16((static_cast<unsigned>(rcode) >> 4U & 0xffU) << 8U | edns.version);
        u16(edns.dnssec_ok ? 0x8000U : 0U);
        if (edns.options.size() > 0xffff) problem_ = "the EDNS options are over 65,535 bytes";
        u16(static_cast<unsigned>(edns.options.size() & 0xffffU));
        out_ += edns.options;
    }

    std::string out_;
    // Where a name stands; the names live in the message.
    std::unordered_map<std::string_view, std::uint16_t> offsets_;
    const char* problem_ = nullptr;
};

}  // namespace

std::string to_string(DnsType type) {
    switch (type) {
        case DnsType::a:
            return "A";
        case DnsType::ns:
            return "NS";
        case DnsType::cname:
            return "CNAME";
        case DnsType::soa:
            return "SOA";
        case DnsType::ptr:
            return "PTR";
        case DnsType::txt:
            return "TXT";
        case DnsType::aaaa:
            return "AAAA";
        case DnsType::srv:
            return "SRV";
        case DnsType::opt:
            return "OPT";
        case DnsType::tsig:
            return "TSIG";
        case DnsType::ixfr:
            return "IXFR";
        case DnsType::axfr:
            return "AXFR";
        case DnsType::any:
            return "ANY";
    }
    return fmt::format("TYPE{}", static_cast<unsigned>(type));
}

std::string to_string(DnsRcode rcode) {
    switch (rcode) {
        case DnsRcode::no_error:
            return "NOERROR";
        case DnsRcode::format_error:
            return "FORMERR";
        case DnsRcode::server_failure:
            return "SERVFAIL";
        case DnsRcode::name_error:
            return "NXDOMAIN";
        case DnsRcode::not_implemented:
            return "NOTIMP";
        case DnsRcode::refused:
            return "REFUSED";
        case DnsRcode::not_authorised:
            return "NOTAUTH";
        case DnsRcode::bad_version:
            return "BADVERS";
        case DnsRcode::bad_key:
            return "BADKEY";
        case DnsRcode::bad_time:
            return "BADTIME";
    }
    return fmt::format("RCODE{}", static_cast<unsigned>(rcode));
}

Result<std::string> encode(const DnsMessage& message) {
    return Composer().run(message);
}

}  // namespace datapunk::mesh::wire::dns
