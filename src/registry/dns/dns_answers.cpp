#include "registry/dns/dns_answers.h"

#include <algorithm>
#include <set>

#include "core/strings.h"

namespace datapunk::mesh::registry::dns {

using wire::dns::DnsMessage;
using wire::dns::DnsName;
using wire::dns::DnsRecord;
using wire::dns::DnsType;

namespace {

constexpr int kCnamesMax = 8;
constexpr std::size_t kPairsMax = 64;  // the mesh's limits for metadata and tags
constexpr std::size_t kKeyBytesMax = 128;
constexpr std::size_t kTagsMax = 64;

bool is_control(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

bool is_key(std::string_view key) {
    return !key.empty() && key.size() <= kKeyBytesMax &&
           std::all_of(key.begin(), key.end(), [](char c) {
               const char low = core::to_lower(c);
               return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
           });
}

std::vector<std::string> read_tags(std::string_view text) {
    std::vector<std::string> tags(1);
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 1 < text.size()) {
            tags.back() += text[++i];
        } else if (text[i] == ',') {
            tags.emplace_back();
        } else {
            tags.back() += text[i];
        }
    }
    std::erase(tags, std::string());
    if (tags.size() > kTagsMax) tags.resize(kTagsMax);
    return tags;
}

}  // namespace

Records records_of(const DnsMessage& message, const DnsName& name, DnsType type) {
    Records records{.found = {}, .name = name};
    for (int hop = 0; hop <= kCnamesMax; ++hop) {
        const DnsRecord* alias = nullptr;
        for (const DnsRecord& record : message.answers) {
            if (record.class_code != wire::dns::kClassIn || !(record.name == records.name))
                continue;
            if (record.type == type) {
                records.found.push_back(&record);
                records.ttl_s = std::min(records.ttl_s, record.ttl_s);
            } else if (record.type == DnsType::cname) {
                alias = &record;
            }
        }
        if (!records.found.empty() || alias == nullptr) break;
        records.ttl_s = std::min(records.ttl_s, alias->ttl_s);
        records.name = std::get<wire::dns::NameData>(alias->data).name;
    }
    return records;
}

std::vector<const DnsRecord*> mentioned(
    const DnsMessage& message, const DnsName& name, DnsType type
) {
    std::vector<const DnsRecord*> found;
    for (const auto* section : {&message.answers, &message.additional}) {
        for (const DnsRecord& record : *section) {
            const bool is_it = record.type == type && record.class_code == wire::dns::kClassIn &&
                               record.name == name;
            if (is_it) found.push_back(&record);
        }
    }
    return found;
}

std::optional<std::uint32_t> negative_ttl_s(const DnsMessage& message) {
    for (const DnsRecord& record : message.authority) {
        const auto* soa = std::get_if<wire::dns::SoaData>(&record.data);
        if (soa != nullptr) return std::min(record.ttl_s, soa->minimum);
    }
    return std::nullopt;
}

InstanceText read_texts(const std::vector<std::string>& texts) {
    InstanceText out;
    std::set<std::string> seen;
    for (const std::string_view text : texts) {
        const std::size_t equals = text.find('=');
        const std::string_view key = text.substr(0, equals);
        const std::string_view value =
            equals == std::string_view::npos ? std::string_view() : text.substr(equals + 1);
        if (!is_key(key) || std::any_of(value.begin(), value.end(), is_control)) continue;
        if (!seen.insert(core::lowercase(key)).second) continue;
        if (core::equals_ignoring_case(key, "tags")) {
            out.tags = read_tags(value);
        } else if (out.metadata.size() < kPairsMax) {
            out.metadata.emplace(key, value);
        }
    }
    return out;
}

std::string id_of(std::string_view label) {
    std::string id(label.substr(0, 255));
    for (char& c : id) {
        if (is_control(c) || c == '/') c = '_';
    }
    return id;
}

}  // namespace datapunk::mesh::registry::dns
