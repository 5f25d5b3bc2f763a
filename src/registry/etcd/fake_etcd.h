#pragma once

// FakeEtcd: enough of etcd's JSON gateway for our backend, on a simulated host: what
// FakeEtcdStore knows, and watches of it; and it can hang, refuse, go deaf, forget, and be
// restored. For tests only.

#include <simdjson.h>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/strings.h"
#include "http/message_reader.h"
#include "registry/etcd/fake_etcd_store.h"
#include "sim/sim_world.h"
#include "wire/http1/encode.h"
#include "wire/json_writer.h"

namespace datapunk::mesh::registry::etcd {

class FakeEtcd : public FakeEtcdStore {
  public:
    FakeEtcd(sim::SimWorld& world, const std::string& ip)
        : world_(world),
          ip_(ip),
          changed_(world.loop()),
          listener_(*world.host(ip).listen(*io::parse_ip(ip, 2379), {})) {
        on_change_ = [this] {
            changed_.set();
            changed_.clear();
        };
        tasks_.spawn(accept());
        tasks_.spawn(expire_in_time());
    }

    // As after a restore from a backup: older, and nobody is told.
    void restore(Keys older, std::uint64_t its_revision) {
        keys = std::move(older);
        revision = its_revision;
        history.clear();
        world_.reset_connections(ip_);
    }

    std::map<std::string, int> asked;  // requests by path
    int refuse_with = 0;               // this status, to everything
    std::string retry_after;           // said with it, as a proxy in front of etcd may
    bool is_silent = false;            // takes requests, answers nothing
    bool is_deaf = false;              // watches are accepted and hear nothing

  private:
    using Object = simdjson::dom::object;

    io::Task<void> accept() {
        for (;;) {
            auto accepted = co_await listener_->accept();
            if (!accepted) co_return;
            tasks_.spawn(serve(*std::move(accepted)));
        }
    }

    io::Task<void> expire_in_time() {
        for (;;) {
            co_await io::sleep_for(world_.loop(), std::chrono::milliseconds(100));
            expire(world_.loop().now());
        }
    }

    io::Task<void> serve(io::StreamPtr stream) {
        http::MessageReader reader(*stream, {});
        for (;;) {
            wire::http1::RequestHead head;
            const http::HeadRead read = co_await reader.read_request(head, kNever);
            if (read != http::HeadRead::done) co_return;
            const std::string path(head.target);
            std::string body;
            while (!reader.body_done()) {
                auto piece = co_await reader.next_piece(kNever);
                if (!piece) co_return;
                body += piece->bytes;
            }
            ++asked[path];
            if (is_silent) co_await io::sleep_until(world_.loop(), kNever);
            std::string refused;
            if (refuse_with != 0) refused = R"({"error":"etcdserver: no leader","code":14})";
            if (refuse_with == 0 && path == "/v3/watch") {
                co_await watch(*stream, body);
                co_return;
            }
            int status = refuse_with == 0 ? 200 : refuse_with;
            const std::string answer = refuse_with == 0 ? handle(path, body, status) : refused;
            std::string out;
            wire::http1::append_status_line(out, status);
            wire::http1::append_field(out, "Content-Length", answer.size());
            if (!retry_after.empty()) out += "Retry-After: " + retry_after + "\r\n";
            out += "\r\n" + answer;
            const io::Slices slices(out);
            auto sent = co_await stream->write(slices, kNever);
            if (!sent) co_return;
        }
    }

    static std::string text(const Object& object, std::string_view key) {
        std::string_view found;
        return object.at_key(key).get(found) == simdjson::SUCCESS ? std::string(found) : "";
    }

    static std::string bytes(const Object& object, std::string_view key) {
        return *core::base64_decode(text(object, key));
    }

    static std::uint64_t number(const Object& object, std::string_view key) {
        return core::parse_number<std::uint64_t>(text(object, key)).value_or(0);
    }

    void write_header(wire::JsonWriter& json) {
        json.key("header").begin_object().key("cluster_id").string(cluster);
        json.key("revision").string(std::to_string(revision)).end_object();
    }

    std::string handle(const std::string& path, const std::string& body, int& status) {
        simdjson::dom::parser parser;
        const Object object = parser.parse(body).get_object();
        if (path == "/v3/kv/range") return range(object);
        if (path == "/v3/kv/txn") return swap(object, status);
        std::string out;
        wire::JsonWriter json(out);
        if (path == "/v3/lease/keepalive") {
            const std::string id = text(object, "ID");
            json.begin_object().key("result").begin_object().key("ID").string(id);
            if (renew(id, world_.loop().now())) json.key("TTL").string("1");
            json.end_object().end_object();
            return out;
        }
        json.begin_object();
        write_header(json);
        if (path == "/v3/lease/grant") {
            const Duration ttl = std::chrono::seconds(number(object, "TTL"));
            json.key("ID")
                .string(grant(ttl, world_.loop().now()))
                .key("TTL")
                .string(text(object, "TTL"));
        } else if (path == "/v3/lease/revoke") {
            revoke(text(object, "ID"));
        }
        json.end_object();
        return out;
    }

    std::string range(const Object& object) {
        auto pairs = select(
            bytes(object, "key"),
            bytes(object, "range_end"),
            text(object, "sort_order") == "DESCEND"
        );
        const std::uint64_t limit = number(object, "limit");
        const std::size_t count = pairs.size();
        if (limit > 0 && pairs.size() > limit) pairs.resize(limit);
        std::string out;
        wire::JsonWriter json(out);
        json.begin_object();
        write_header(json);
        json.key("kvs").begin_array();
        for (const auto& [key, value] : pairs)
            write_pair(json, key, value.bytes, value.mod_revision);
        json.end_array().key("count").string(std::to_string(count));
        json.key("more").boolean(pairs.size() < count).end_object();
        return out;
    }

    static void write_pair(
        wire::JsonWriter& json, const std::string& key, const std::string& value, std::uint64_t at
    ) {
        json.begin_object().key("key").string(core::base64_encode(key));
        json.key("mod_revision").string(std::to_string(at));
        json.key("value").string(core::base64_encode(value)).end_object();
    }

    std::string swap(const Object& object, int& status) {
        bool is_so = true;
        for (const Object one : object["compare"].get_array()) {
            const auto at = keys.find(bytes(one, "key"));
            const std::uint64_t now = at == keys.end() ? 0 : at->second.mod_revision;
            is_so = is_so && now == number(one, "mod_revision");
        }
        for (const Object step : object["success"].get_array()) {
            Object put_step;
            if (step["request_put"].get(put_step) != simdjson::SUCCESS) continue;
            if (!leases.contains(text(put_step, "lease"))) {
                status = 404;
                return R"({"error":"etcdserver: requested lease not found","code":5})";
            }
        }
        if (is_so) commit(object);
        std::string out;
        wire::JsonWriter json(out);
        json.begin_object();
        write_header(json);
        if (is_so) json.key("succeeded").boolean(true);
        json.end_object();
        return out;
    }

    void commit(const Object& object) {
        const std::uint64_t at = ++revision;
        for (const Object step : object["success"].get_array()) {
            Object one;
            if (step["request_put"].get(one) == simdjson::SUCCESS) {
                put_at(at, bytes(one, "key"), bytes(one, "value"), text(one, "lease"));
            } else if (step["request_delete_range"].get(one) == simdjson::SUCCESS) {
                remove_at(at, bytes(one, "key"));
            }
        }
    }

    io::Task<void> watch(io::Stream& stream, std::string body) {
        simdjson::dom::parser parser;
        const Object asked_for = parser.parse(body)["create_request"].get_object();
        const std::string from = bytes(asked_for, "key");
        const std::string end = bytes(asked_for, "range_end");
        std::uint64_t next = number(asked_for, "start_revision");
        std::string line;
        wire::JsonWriter created(line);
        created.begin_object().key("result").begin_object();
        write_header(created);
        created.key("created").boolean(true).end_object().end_object();
        std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(line);
        if (next <= compacted) {
            head += chunk(
                R"({"result":{"header":{"cluster_id":")" + cluster +
                R"("},"canceled":true,"compact_revision":")" + std::to_string(compacted) + "\"}}"
            );
        }
        const io::Slices begun(head);
        auto sent = co_await stream.write(begun, kNever);
        while (sent && next > compacted) {
            std::string events;
            wire::JsonWriter json(events);
            json.begin_object().key("result").begin_object();
            write_header(json);
            json.key("events").begin_array();
            std::uint64_t last = next;
            bool has_some = false;
            for (const Event& event : history) {
                if (event.revision < next || event.key < from || event.key >= end) continue;
                json.begin_object();
                if (event.is_delete) json.key("type").string("DELETE");
                json.key("kv");
                write_pair(json, event.key, event.bytes, event.revision);
                json.end_object();
                last = event.revision + 1;
                has_some = true;
            }
            json.end_array().end_object().end_object();
            next = last;
            if (has_some && !is_deaf) {
                const std::string bytes_out = chunk(events);
                const io::Slices slices(bytes_out);
                sent = co_await stream.write(slices, kNever);
            } else {
                co_await changed_.wait(kNever);
            }
        }
    }

    static std::string chunk(const std::string& line) {
        std::string out;
        wire::http1::append_chunk_head(out, line.size() + 1);
        return out + line + "\n\r\n";
    }

    sim::SimWorld& world_;
    std::string ip_;
    io::Event changed_;
    std::unique_ptr<io::Listener> listener_;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::registry::etcd
