#pragma once

// The one list of every struct's fields, used in both directions: Encoder writes what fields()
// names, Decoder reads it back in the same order. A field added here is in the log and in the
// snapshot, and what is on disk lacks it: raise kFormatVersion and write since(version, field),
// which reads it only from bytes of that version or a later one. A new command or a new struct
// needs neither.

#include <datapunk/mesh/time.h>

#include <concepts>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "catalog/access_fields.h"
#include "catalog/command.h"
#include "core/bytes.h"

namespace datapunk::mesh::catalog {

// 2: access control and prepared queries. 3: locks and sessions. 4: events. 5: is_alone. 6: checks
// may be of kind udp.
inline constexpr std::uint8_t kFormatVersion = 6;

template <class A, class... T>
void all(A& archive, T&... values) {
    (archive(values), ...);
}

// clang-format off
void fields(auto& a, auto& r, const RowIndex*) { all(a, r.created, r.modified); }
void fields(auto& a, auto& r, const NodeRow*) {
    all(a, r.name, r.id, r.address, r.tagged_addresses, r.meta, r.index);
}
void fields(auto& a, auto& r, const DnsWeights*) { all(a, r.passing, r.warning); }
void fields(auto& a, auto& r, const TaggedAddress*) { all(a, r.address, r.port); }
void fields(auto& a, auto& r, const ServiceRow*) {
    all(a, r.id, r.name, r.tags, r.meta, r.address, r.port, r.weights, r.enable_tag_override,
        r.tagged_addresses, r.index);
}
void fields(auto& a, auto& r, const CheckDefinition*) {
    a.enumeration(r.kind, CheckKind::udp);
    all(a, r.url, r.method, r.header, r.body, r.tls_server_name, r.tls_skip_verify,
        r.disable_redirects, r.place, r.grpc, r.grpc_use_tls, r.args, r.alias_node, r.alias_service,
        r.interval, r.timeout, r.ttl, r.success_before_passing, r.failures_before_warning,
        r.failures_before_critical, r.deregister_after);
}
void fields(auto& a, auto& r, const CheckRow*) {
    all(a, r.id, r.name);
    a.enumeration(r.status, Health::critical);
    all(a, r.notes, r.output, r.service_id, r.definition, r.index);
    a.since(5, r.is_alone);
}
void fields(auto& a, auto& r, const KvRow*) {
    all(a, r.value, r.flags, r.index);
    a.since(3, r.lock_index, r.session);
}
void fields(auto& a, auto& r, const SessionServiceCheck*) { all(a, r.id, r.name_space); }
void fields(auto& a, auto& r, const SessionRow*) {
    all(a, r.id, r.name, r.node, r.node_checks, r.service_checks, r.checks, r.lock_delay);
    a.enumeration(r.behavior, SessionBehavior::erase);
    all(a, r.ttl, r.index);
}

void fields(auto& a, auto& r, const SetLocalNode*) { all(a, r.node); }
void fields(auto& a, auto& r, const CheckRegistration*) { all(a, r.check, r.has_status); }
void fields(auto& a, auto& r, const RegisterService*) {
    all(a, r.service, r.checks, r.replace_existing_checks);
}
void fields(auto& a, auto& r, const DeregisterService*) { all(a, r.service_id); }
void fields(auto& a, auto& r, const RegisterCheck*) { all(a, r.check); }
void fields(auto& a, auto& r, const DeregisterCheck*) { all(a, r.check_id); }
void fields(auto& a, auto& r, const UpdateCheck*) {
    all(a, r.check_id);
    a.enumeration(r.status, Health::critical);
    all(a, r.output, r.ttl_only, r.sync_output);
}
void fields(auto& a, auto& r, const ServiceMaintenance*) { all(a, r.service_id, r.enable, r.reason); }
void fields(auto& a, auto& r, const NodeMaintenance*) { all(a, r.enable, r.reason); }
void fields(auto& a, auto& r, const CatalogRegister*) {
    all(a, r.node, r.skip_node_update, r.service, r.checks);
}
void fields(auto& a, auto& r, const CatalogDeregister*) { all(a, r.node, r.service_id, r.check_id); }
void fields(auto& a, auto& r, const KvPut*) { all(a, r.key, r.value, r.flags, r.cas); }
void fields(auto& a, auto& r, const KvDelete*) { all(a, r.key, r.recurse, r.cas); }
void fields(auto& a, auto& r, const KvAcquire*) { all(a, r.key, r.value, r.flags, r.session); }
void fields(auto& a, auto& r, const KvRelease*) { all(a, r.key, r.value, r.flags, r.session); }
void fields(auto& a, auto& r, const CreateSession*) { all(a, r.session); }
void fields(auto& a, auto& r, const DestroySession*) { all(a, r.session_id); }
void fields(auto& a, auto& r, const RenewSession*) { all(a, r.session_id); }
void fields(auto& a, auto& r, const EndLockDelays*) { all(a, r.keys); }
void fields(auto& a, auto& r, const TxnOp*) {
    a.enumeration(r.kind, TxnKind::session);
    a.enumeration(r.verb, TxnVerb::erase_tree);
    all(a, r.verb_text, r.index, r.key, r.value, r.flags, r.session, r.node, r.node_row, r.service,
        r.check);
}
void fields(auto& a, auto& r, const Txn*) { all(a, r.ops); }
void fields(auto& a, auto& r, const EventRow*) {
    all(a, r.id, r.name, r.payload, r.node_filter, r.service_filter, r.tag_filter, r.ltime);
}
void fields(auto& a, auto& r, const EventStore::State*) { all(a, r.rows, r.clock, r.index); }
void fields(auto& a, auto& r, const FireEvent*) { all(a, r.event); }
void fields(auto& a, auto& r, const RestoreState*) { all(a, r.state); }
// clang-format on

class Encoder {
  public:
    void operator()(const std::string& text) { out_.text(text); }

    void operator()(bool value) { out_.boolean(value); }

    void operator()(Duration value) { out_.i64(value.count()); }

    void operator()(std::unsigned_integral auto value) { out_.u64(value); }

    template <class T>
    void operator()(const std::optional<T>& value) {
        out_.boolean(value.has_value());
        if (value) (*this)(*value);
    }

    template <class T>
    void operator()(const std::vector<T>& values) {
        out_.u64(values.size());
        for (const T& value : values) (*this)(value);
    }

    template <class V>
    void operator()(const std::map<std::string, V, std::less<>>& values) {
        out_.u64(values.size());
        for (const auto& [key, value] : values) {
            (*this)(key);
            (*this)(value);
        }
    }

    template <class T>
        requires std::is_aggregate_v<T>
    void operator()(const T& record) {
        fields(*this, record, &record);
    }

    // The version does not matter here: what is written is always the newest.
    template <class... T>
    void since(std::uint8_t, const T&... values) {
        all(*this, values...);
    }

    void enumeration(auto value, auto) { out_.u64(static_cast<std::uint64_t>(value)); }

    std::string bytes() && { return std::move(out_).bytes(); }

  private:
    core::ByteWriter out_;
};

// Any bytes in; after the first bad field ok() is false and the rest is empty.
class Decoder {
  public:
    explicit Decoder(std::string_view in) : in_(in) {}

    // The first byte: false if this program does not know the format.
    bool read_version() {
        (*this)(version_);
        ok_ = ok() && version_ >= 1 && version_ <= kFormatVersion;
        return ok_;
    }

    std::uint8_t version() const noexcept { return version_; }

    template <class... T>
    void since(std::uint8_t first, T&... values) {
        if (version_ >= first) all(*this, values...);
    }

    bool ok() const noexcept { return ok_ && in_.ok(); }

    bool at_end() const noexcept { return in_.at_end(); }

    void operator()(std::string& text) { text = in_.text(); }

    void operator()(bool& value) { value = in_.boolean(); }

    void operator()(Duration& value) { value = Duration(in_.i64()); }

    template <std::unsigned_integral T>
    void operator()(T& value) {
        const std::uint64_t raw = in_.u64();
        ok_ = ok_ && raw <= std::numeric_limits<T>::max();
        value = static_cast<T>(raw);
    }

    template <class T>
    void operator()(std::optional<T>& value) {
        value.reset();
        if (in_.boolean()) (*this)(value.emplace());
    }

    // Each element takes at least a byte, so a forged count ends at the end of the input.
    template <class T>
    void operator()(std::vector<T>& values) {
        values.clear();
        for (std::uint64_t left = in_.u64(); left > 0 && ok(); --left)
            (*this)(values.emplace_back());
    }

    template <class V>
    void operator()(std::map<std::string, V, std::less<>>& values) {
        values.clear();
        for (std::uint64_t left = in_.u64(); left > 0 && ok(); --left) {
            std::string key;
            (*this)(key);
            (*this)(values[std::move(key)]);
        }
    }

    template <class T>
        requires std::is_aggregate_v<T>
    void operator()(T& record) {
        fields(*this, record, &record);
    }

    template <class E>
    void enumeration(E& value, E last) {
        const std::uint64_t raw = in_.u64();
        ok_ = ok_ && raw <= static_cast<std::uint64_t>(last);
        value = ok_ ? static_cast<E>(raw) : E{};
    }

  private:
    core::ByteReader in_;
    std::uint8_t version_ = kFormatVersion;
    bool ok_ = true;
};

}  // namespace datapunk::mesh::catalog
