#include <fmt/format.h>

#include <algorithm>

#include "wire/dns/message.h"

namespace datapunk::mesh::wire::dns {

// Reads a name that may be compressed. A pointer must lead to before the piece it ends, so each
// jump goes further back and there is an end. It must lead to a name (RFC 1035, 4.1.4), so not into
// the header: a question of two bytes could stand for a long one.
class NameReader {
  public:
    // Null, or what is wrong. `at` moves behind the name where it stands.
    static const char* read(std::string_view message, std::size_t& at, DnsName& out) {
        std::string wire;
        std::size_t here = at;
        std::size_t piece = at;  // where the piece being read begins
        bool jumped = false;
        for (;;) {
            if (here >= message.size()) return "a name runs past the end";
            const unsigned length = static_cast<unsigned char>(message[here]);
            if ((length & 0xc0U) == 0xc0U) {
                if (here + 1 >= message.size()) return "a name runs past the end";
                const std::size_t target =
                    (length & 0x3fU) << 8U | static_cast<unsigned char>(message[here + 1]);
                if (target >= piece) return "a compressed name does not point backwards";
                if (target < kHeaderBytes) return "a compressed name points into the header";
                if (!jumped) at = here + 2;
                jumped = true;
                here = piece = target;
                continue;
            }
            if (length > kLabelBytesMax) return "a label of an unknown kind";
            if (here + 1 + length > message.size()) return "a name runs past the end";
            wire += message.substr(here, 1 + length);
            if (wire.size() > kNameBytesMax) return "a name is over 255 bytes";
            here += 1 + length;
            if (length == 0) break;
        }
        if (!jumped) at = here;
        out.wire_ = std::move(wire);
        return nullptr;
    }
};

namespace {

class Parser {
  public:
    explicit Parser(std::string_view bytes) : bytes_(bytes) {}

    Result<DnsMessage> run(bool with_records) {
        if (bytes_.size() > kMessageBytesMax) return failure("it is over 65,535 bytes");
        header();
        for (unsigned i = 0; i < counts_[0] && ok(); ++i) question();
        if (with_records) {
            records(counts_[1], message_.answers);
            records(counts_[2], message_.authority);
            additional();
            need(at_ == bytes_.size(), "bytes follow the last record");
        }
        if (!ok()) return failure(problem_);
        if (with_records) {
            message_.rcode = static_cast<DnsRcode>(
                static_cast<unsigned>(message_.rcode) | extended_rcode_ << 4U
            );
        }
        return std::move(message_);
    }

  private:
    bool ok() const noexcept { return problem_ == nullptr; }

    void need(bool good, const char* problem) {
        if (!good && problem_ == nullptr) problem_ = problem;
    }

    Error failure(const char* problem) const {
        return {
            .code = Code::invalid,
            .what = fmt::format("DNS message: {} (byte {} of {})", problem, at_, bytes_.size())
        };
    }

    std::uint64_t number(std::size_t bytes) {
        if (!ok()) return 0;
        if (bytes_.size() - at_ < bytes) {
            need(false, "it ends too early");
            return 0;
        }
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < bytes; ++i) {
            value = value << 8U | static_cast<unsigned char>(bytes_[at_++]);
        }
        return value;
    }

    std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }

    std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }

    std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }

    std::string text(std::size_t size) {
        if (!ok()) return {};
        if (bytes_.size() - at_ < size) {
            need(false, "it ends too early");
            return {};
        }
        std::string out(bytes_.substr(at_, size));
        at_ += size;
        return out;
    }

    DnsName name() {
        DnsName out;
        if (!ok()) return out;
        if (const char* problem = NameReader::read(bytes_, at_, out)) need(false, problem);
        return out;
    }

    void header() {
        message_.id = u16();
        const unsigned flags = u16();
        message_.is_response = (flags & 0x8000U) != 0;
        message_.opcode = static_cast<DnsOpcode>(flags >> 11U & 0xfU);
        message_.is_authoritative = (flags & 0x0400U) != 0;
        message_.is_truncated = (flags & 0x0200U) != 0;
        message_.recursion_desired = (flags & 0x0100U) != 0;
        message_.recursion_available = (flags & 0x0080U) != 0;
        message_.rcode = static_cast<DnsRcode>(flags & 0xfU);
        for (unsigned& count : counts_) count = u16();
    }

    void question() {
        DnsQuestion question;
        question.name = name();
        question.type = static_cast<DnsType>(u16());
        question.class_code = u16();
        if (ok()) message_.questions.push_back(std::move(question));
    }

    void records(unsigned count, std::vector<DnsRecord>& into) {
        for (unsigned i = 0; i < count && ok(); ++i) {
            DnsRecord record = this->record();
            need(
                record.type != DnsType::opt && record.type != DnsType::tsig,
                "OPT or TSIG outside the additional section"
            );
            if (ok()) into.push_back(std::move(record));
        }
    }

    void additional() {
        for (unsigned i = 0; i < counts_[3] && ok(); ++i) {
            const std::size_t start = at_;
            need(!message_.tsig, "TSIG is not the last record");
            DnsRecord record = this->record();
            if (!ok()) return;
            if (record.type == DnsType::opt) {
                edns(record);
            } else if (record.type == DnsType::tsig) {
                tsig(record, start);
            } else {
                message_.additional.push_back(std::move(record));
            }
        }
    }

    DnsRecord record() {
        DnsRecord record;
        record.name = name();
        record.type = static_cast<DnsType>(u16());
        record.class_code = u16();
        record.ttl_s = u32();
        const std::size_t size = u16();
        need(bytes_.size() - at_ >= size, "a record runs past the end");
        if (!ok()) return record;
        const std::size_t end = at_ + size;
        // OPT's TTL is no time.
        if (record.type != DnsType::opt && record.ttl_s > 0x7fff'ffffU) record.ttl_s = 0;
        data(record, end);
        need(at_ == end, "a record's data has another length than it says");
        return record;
    }

    void data(DnsRecord& record, std::size_t end) {
        const DnsType type = record.class_code == kClassIn ? record.type : DnsType{};
        switch (type) {
            case DnsType::a:
            case DnsType::aaaa: {
                AddressData address;
                const std::size_t size = type == DnsType::a ? 4 : 16;
                const std::string ip = text(size);
                std::copy(ip.begin(), ip.end(), address.ip.begin());
                record.data = address;
                break;
            }
            case DnsType::ns:
            case DnsType::cname:
            case DnsType::ptr:
                record.data = NameData{.name = name()};
                break;
            case DnsType::srv: {
                SrvData srv;
                srv.priority = u16();
                srv.weight = u16();
                srv.port = u16();
                srv.target = name();
                record.data = std::move(srv);
                break;
            }
            case DnsType::soa: {
                SoaData soa;
                soa.primary = name();
                soa.mailbox = name();
                soa.serial = u32();
                soa.refresh = u32();
                soa.retry = u32();
                soa.expire = u32();
                soa.minimum = u32();
                record.data = std::move(soa);
                break;
            }
            case DnsType::txt: {
                TxtData txt;
                while (ok() && at_ < end) txt.texts.push_back(text(u8()));
                need(!txt.texts.empty(), "a TXT record without a text");
                record.data = std::move(txt);
                break;
            }
            default:
                record.data = OpaqueData{.bytes = text(end - at_)};
        }
    }

    void edns(const DnsRecord& record) {
        need(!message_.edns, "two OPT records");
        need(record.name.is_root(), "OPT has a name");
        Edns edns;
        edns.udp_bytes_max = record.class_code;
        edns.version = static_cast<std::uint8_t>(record.ttl_s >> 16U);
        edns.dnssec_ok = (record.ttl_s & 0x8000U) != 0;
        if (const auto* opaque = std::get_if<OpaqueData>(&record.data)) {
            edns.options = opaque->bytes;
        }
        extended_rcode_ = record.ttl_s >> 24U;
        message_.edns = std::move(edns);
    }

    void tsig(const DnsRecord& record, std::size_t start) {
        need(record.class_code == kClassAny && record.ttl_s == 0, "TSIG of a wrong class or TTL");
        const auto* opaque = std::get_if<OpaqueData>(&record.data);
        need(opaque != nullptr, "TSIG of a wrong class");
        if (!ok()) return;
        const std::size_t end = at_;
        at_ = end - opaque->bytes.size();
        Tsig tsig;
        tsig.key = record.name;
        tsig.algorithm = name();
        tsig.time_s = number(6);
        tsig.fudge_s = u16();
        tsig.mac = text(u16());
        tsig.original_id = u16();
        tsig.error = u16();
        tsig.other = text(u16());
        tsig.offset = start;
        need(at_ == end, "TSIG has another length than it says");
        message_.tsig = std::move(tsig);
    }

    std::string_view bytes_;
    std::size_t at_ = 0;
    const char* problem_ = nullptr;
    DnsMessage message_;
    std::array<unsigned, 4> counts_{};
    unsigned extended_rcode_ = 0;
};

}  // namespace

Result<DnsMessage> decode(std::string_view bytes) {
    return Parser(bytes).run(true);
}

Result<DnsMessage> decode_question(std::string_view bytes) {
    return Parser(bytes).run(false);
}

}  // namespace datapunk::mesh::wire::dns
