// Random commands against a naive model, and the promises that hold for every history: what changed
// wakes its watchers, what did not does not, the index only grows, and the state is the fold of the
// log, with or without a snapshot on the way. SEED= replays a run.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "catalog/catalog.h"
#include "catalog/test_support.h"
#include "core/rng.h"

namespace datapunk::mesh::catalog {
namespace {

std::uint64_t seed_of_run() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20261121;
}

class Commands {
  public:
    explicit Commands(std::uint64_t seed) : rng_(seed) {}

    Command next() {
        switch (rng_.below(21)) {
            case 0:
            case 1: {
                RegisterService c;
                c.service = service();
                for (std::uint64_t n = rng_.below(3); n > 0; --n) c.checks.push_back(check());
                c.replace_existing_checks = rng_.chance(0.2);
                return c;
            }
            case 2:
                return DeregisterService{id()};
            case 3: {
                RegisterCheck c{check()};
                c.check.check.name = "check";
                if (rng_.chance(0.7)) c.check.check.service_id = id();
                return c;
            }
            case 4:
                return DeregisterCheck{check_id()};
            case 5:
            case 6:
                return status(check_id(), health(), rng_.chance(0.5) ? "a" : "b");
            case 7:
                return ServiceMaintenance{id(), rng_.chance(0.5), ""};
            case 8:
                return NodeMaintenance{rng_.chance(0.3), ""};
            case 9: {
                CatalogRegister c{
                    .node = {.name = node(), .address = rng_.chance(0.8) ? "10.0.0.1" : "10.0.0.2"}
                };
                c.skip_node_update = rng_.chance(0.3);
                if (rng_.chance(0.7)) c.service = service();
                if (rng_.chance(0.5)) {
                    c.checks.push_back({.id = check_id(), .status = health()});
                    if (c.service && rng_.chance(0.7)) c.checks[0].service_id = c.service->id;
                }
                return c;
            }
            case 10:
                return CatalogDeregister{
                    node(), rng_.chance(0.5) ? id() : "", rng_.chance(0.3) ? check_id() : ""
                };
            case 11:
            case 12: {
                CreateSession c;
                c.session.id = session();
                c.session.node = node();
                for (std::uint64_t n = rng_.below(3); n > 0; --n) {
                    c.session.node_checks.push_back(rng_.chance(0.3) ? "serfHealth" : check_id());
                }
                if (rng_.chance(0.5)) c.session.behavior = SessionBehavior::erase;
                if (rng_.chance(0.3)) c.session.lock_delay = Duration::zero();
                return c;
            }
            case 13:
                return DestroySession{session()};
            case 14:
            case 15:
                return KvAcquire{.key = key(), .value = value(), .session = session()};
            case 16:
                return KvRelease{.key = key(), .value = value(), .session = session()};
            case 17:
                return EndLockDelays{{key(), key()}};
            case 20: {
                FireEvent c;
                c.event = {.id = "e", .name = fmt::format("event{}", rng_.below(1000))};
                return c;
            }
            case 18: {
                KvPut c{.key = key(), .value = value(), .flags = rng_.below(2)};
                if (rng_.chance(0.2)) c.cas = rng_.below(40);
                return c;
            }
            default: {
                KvDelete c{.key = key(), .recurse = rng_.chance(0.3)};
                if (!c.recurse && rng_.chance(0.2)) c.cas = rng_.below(40);
                return c;
            }
        }
    }

  private:
    ServiceRow service() {
        ServiceRow row{.id = id(), .name = fmt::format("svc{}", rng_.below(3))};
        if (rng_.chance(0.3)) row.tags = {"v1"};
        row.port = static_cast<std::uint16_t>(rng_.below(2));
        return row;
    }

    CheckRegistration check() {
        CheckRegistration c = ttl_check(check_id());
        c.has_status = rng_.chance(0.5);
        c.check.status = health();
        return c;
    }

    std::string id() { return fmt::format("i{}", rng_.below(4)); }

    std::string check_id() { return fmt::format("c{}", rng_.below(4)); }

    std::string node() { return rng_.chance(0.3) ? "ref1" : fmt::format("n{}", rng_.below(2)); }

    std::string key() { return std::string("a/b/c").substr(0, 1 + rng_.below(5)); }

    std::string session() { return fmt::format("s{}", rng_.below(4)); }

    std::string value() { return rng_.chance(0.5) ? "v" : "w"; }

    Health health() { return static_cast<Health>(rng_.below(3)); }

    core::Rng rng_;
};

// What a client would see, without check output, which is allowed to change silently.
std::string show(const CheckRef& ref) {
    return fmt::format(
        "[{} {} {} {} {} {}]",
        ref.node->row.name,
        ref.check->id,
        to_string(ref.check->status),
        ref.service == nullptr ? "" : ref.service->name + ref.service->id,
        ref.check->index.created,
        ref.check->index.modified
    );
}

std::string show(const InstanceRef& ref) {
    return fmt::format(
        "({} {} {} {} {} {})",
        ref.node->row.name,
        ref.node->row.index.modified,
        ref.instance->row.id,
        ref.instance->row.name,
        ref.instance->row.index.created,
        ref.instance->row.index.modified
    );
}

std::string show(const Catalog& catalog, const WatchKey& key) {
    std::string out;
    switch (key.topic) {
        case WatchTopic::acl:
        case WatchTopic::queries:
            break;  // access_control_test.cpp
        case WatchTopic::services:
            for (const auto& [name, tags] : catalog.services().data) {
                out += fmt::format("{}:{} ", name, fmt::join(tags, ","));
            }
            break;
        case WatchTopic::service:
            for (const InstanceRef& ref : catalog.service(key.name).data) out += show(ref);
            break;
        case WatchTopic::nodes:
            for (const CatalogNode* node : catalog.nodes().data) {
                out += fmt::format("{} {} ", node->row.name, node->row.index.modified);
            }
            break;
        case WatchTopic::node:
            if (const CatalogNode* node = catalog.node(key.name).data; node != nullptr) {
                out = fmt::format("{} {}", node->row.name, node->row.index.modified);
                for (const auto& [id, i] : node->services) out += show(InstanceRef{node, &i});
            }
            break;
        case WatchTopic::health_service:
            for (const InstanceRef& ref : catalog.health_service(key.name).data) {
                out += show(ref);
                for (const auto& [id, c] : ref.node->checks)
                    out += show(CheckRef{ref.node, nullptr, &c});
                for (const auto& [id, c] : ref.instance->checks) {
                    out += show(CheckRef{ref.node, &ref.instance->row, &c});
                }
            }
            break;
        case WatchTopic::health_checks:
            for (const CheckRef& ref : catalog.health_checks(key.name).data) out += show(ref);
            break;
        case WatchTopic::health_state:
            for (const CheckRef& ref : catalog.health_state(key.name).data) out += show(ref);
            break;
        case WatchTopic::health_node:
            for (const CheckRef& ref : catalog.health_node(key.name).data) out += show(ref);
            break;
        case WatchTopic::kv_key:
            if (const KvRow* row = catalog.kv_get(key.name).data; row != nullptr) {
                out = fmt::format("{} {} {}", row->value, row->flags, row->index.modified);
            }
            break;
        case WatchTopic::kv_prefix:
            for (const auto& [name, row] : catalog.kv_list(key.name).data) {
                out += fmt::format("{} {} ", name, row->index.modified);
            }
            break;
        case WatchTopic::sessions:
            for (const SessionRow* s : catalog.sessions().data) {
                out += fmt::format("{} {} ", s->id, s->index.created);
            }
            break;
        case WatchTopic::session_node:
            for (const SessionRow* s : catalog.node_sessions(key.name).data) {
                out += fmt::format("{} {} ", s->id, s->index.created);
            }
            break;
        case WatchTopic::events:
            for (const EventRow& event : catalog.events().rows()) {
                out += fmt::format("{} ", event.ltime);
            }
            break;
        case WatchTopic::session:
            if (const SessionRow* s = catalog.session(key.name).data; s != nullptr) {
                out = fmt::format("{} {}", s->node, s->index.created);
            }
            break;
    }
    return out;
}

std::vector<WatchKey> every_key() {
    std::vector<WatchKey> keys = {
        {WatchTopic::services, ""}, {WatchTopic::nodes, ""}, {WatchTopic::sessions, ""}
    };
    for (const char* name : {"svc0", "svc1", "svc2"}) {
        keys.push_back({WatchTopic::service, name});
        keys.push_back({WatchTopic::health_service, name});
        keys.push_back({WatchTopic::health_checks, name});
    }
    for (const char* name : {"any", "passing", "warning", "critical"}) {
        keys.push_back({WatchTopic::health_state, name});
    }
    for (const char* name : {"ref1", "n0", "n1"}) {
        keys.push_back({WatchTopic::health_node, name});
        keys.push_back({WatchTopic::node, name});
        keys.push_back({WatchTopic::session_node, name});
    }
    for (const char* name : {"s0", "s1", "s2", "s3"}) keys.push_back({WatchTopic::session, name});
    for (const char* name : {"", "a", "a/", "a/b", "a/b/", "a/b/c"}) {
        keys.push_back({WatchTopic::kv_key, name});
        keys.push_back({WatchTopic::kv_prefix, name});
    }
    return keys;
}

// The whole state as flat lists; rules written as plainly as possible.
struct Model {
    struct Service {
        std::string name;
        std::uint16_t port;
        friend bool operator==(const Service&, const Service&) = default;
    };
    struct Check {
        std::string service_id;
        Health status;
        bool maintenance;
        bool agents;  // whom the catalog cannot overrule
        friend bool operator==(const Check&, const Check&) = default;
    };
    struct Session {
        std::string node;
        std::vector<std::string> checks;
        bool erases;
        bool delays;
        friend bool operator==(const Session&, const Session&) = default;
    };
    using Place = std::pair<std::string, std::string>;  // node, id
    std::map<Place, Service> services;
    std::map<Place, Check> checks;
    std::map<std::string, std::string> nodes;  // -> address
    std::map<std::string, std::string> keys;
    std::map<std::string, std::string> holders;  // key -> session
    std::map<std::string, Session> sessions;
    std::set<std::string> delays;
    std::vector<std::string> events;  // the last ones

    void end(const std::string& id) {
        const auto found = sessions.find(id);
        if (found == sessions.end()) return;
        const Session session = found->second;
        sessions.erase(found);
        std::erase_if(holders, [&](const auto& holder) {
            if (holder.second != id) return false;
            if (session.erases) keys.erase(holder.first);
            if (session.delays) delays.insert(holder.first);
            return true;
        });
    }

    // A session lives while its node and its checks do and none of these is critical.
    void settle() {
        std::vector<std::string> dead;
        for (const auto& [id, session] : sessions) {
            bool lives = nodes.contains(session.node);
            for (const std::string& check : session.checks) {
                const auto found = checks.find({session.node, check});
                lives = lives && found != checks.end() && found->second.status != Health::critical;
            }
            if (!lives) dead.push_back(id);
        }
        for (const std::string& id : dead) end(id);
    }

    // A check that moves to another service is another check.
    void put_check(const Place& place, Check check) {
        const auto old = checks.find(place);
        if (old != checks.end() && old->second.service_id != check.service_id) {
            checks.erase(old);
            settle();
        }
        checks[place] = std::move(check);
    }

    bool accepts(const KvAcquire& c) const {
        const auto holder = holders.find(c.key);
        return holder == holders.end() ? !delays.contains(c.key) : holder->second == c.session;
    }
    bool accepts(const KvRelease& c) const {
        const auto holder = holders.find(c.key);
        return holder != holders.end() && holder->second == c.session;
    }

    void drop_service(const Place& place) {
        services.erase(place);
        std::erase_if(checks, [&](const auto& c) {
            return c.first.first == place.first && c.second.service_id == place.second;
        });
    }

    void keep_status(const CheckRegistration& c, const std::string& service_id) {
        const Place place{"ref1", c.check.id};
        const auto old = checks.find(place);
        Health health = c.has_status ? c.check.status : Health::critical;
        if (old != checks.end() && old->second.service_id == service_id)
            health = old->second.status;
        put_check(place, {service_id, health, false, true});
    }

    void operator()(const SetLocalNode& c) {
        nodes[c.node.name] = c.node.address;
        checks[{c.node.name, "serfHealth"}] = {"", Health::passing, false, false};
    }
    void operator()(const RegisterService& c) {
        services[{"ref1", c.service.id}] = {c.service.name, c.service.port};
        if (c.replace_existing_checks) {
            std::erase_if(checks, [&](const auto& old) {
                if (old.first.first != "ref1" || old.second.service_id != c.service.id)
                    return false;
                if (old.second.maintenance) return false;
                return std::none_of(c.checks.begin(), c.checks.end(), [&](const auto& check) {
                    return check.check.id == old.first.second;
                });
            });
        }
        for (const CheckRegistration& check : c.checks) keep_status(check, c.service.id);
    }
    void operator()(const DeregisterService& c) { drop_service({"ref1", c.service_id}); }
    void operator()(const RegisterCheck& c) { keep_status(c.check, c.check.check.service_id); }
    void operator()(const DeregisterCheck& c) { checks.erase({"ref1", c.check_id}); }
    void operator()(const UpdateCheck& c) { checks.at({"ref1", c.check_id}).status = c.status; }
    void operator()(const ServiceMaintenance& c) {
        const Place place{"ref1", "_service_maintenance:" + c.service_id};
        checks.erase(place);
        if (c.enable) checks[place] = {c.service_id, Health::critical, true, true};
    }
    void operator()(const NodeMaintenance& c) {
        checks.erase({"ref1", "_node_maintenance"});
        if (c.enable) checks[{"ref1", "_node_maintenance"}] = {"", Health::critical, true, true};
    }
    void operator()(const CatalogRegister& c) {
        if (!nodes.contains(c.node.name) || !c.skip_node_update)
            nodes[c.node.name] = c.node.address;
        if (c.service) services[{c.node.name, c.service->id}] = {c.service->name, c.service->port};
        for (const CheckRow& k : c.checks) {
            const auto old = checks.find({c.node.name, k.id});
            if (old != checks.end() && old->second.agents) continue;
            put_check({c.node.name, k.id}, {k.service_id, k.status, false, false});
        }
    }
    void operator()(const CatalogDeregister& c) {
        if (!c.service_id.empty()) return drop_service({c.node, c.service_id});
        if (!c.check_id.empty()) return void(checks.erase({c.node, c.check_id}));
        if (c.node == "ref1") return;
        nodes.erase(c.node);
        std::erase_if(services, [&](const auto& s) { return s.first.first == c.node; });
        std::erase_if(checks, [&](const auto& s) { return s.first.first == c.node; });
    }
    void operator()(const KvPut& c) { keys[c.key] = c.value; }
    void operator()(const KvDelete& c) {
        const auto matches = [&](const auto& entry) {
            return c.recurse ? entry.first.starts_with(c.key) : entry.first == c.key;
        };
        std::erase_if(keys, matches);
        std::erase_if(holders, matches);
    }
    void operator()(const KvAcquire& c) {
        keys[c.key] = c.value;
        holders[c.key] = c.session;
    }
    void operator()(const KvRelease& c) {
        keys[c.key] = c.value;
        holders.erase(c.key);
    }
    void operator()(const CreateSession& c) {
        sessions[c.session.id] = {
            c.session.node,
            c.session.node_checks,
            c.session.behavior == SessionBehavior::erase,
            c.session.lock_delay > Duration::zero()
        };
    }
    void operator()(const DestroySession& c) { end(c.session_id); }
    void operator()(const RenewSession&) {}
    void operator()(const FireEvent& c) {
        events.push_back(c.event.name);
        if (events.size() > EventStore::kKept) events.erase(events.begin());
    }
    void operator()(const Txn&) {}  // not among these commands: see txn_model_test.cpp
    void operator()(const EndLockDelays& c) {
        for (const std::string& key : c.keys) delays.erase(key);
    }

    // Not generated here: access_control_test.cpp.
    void operator()(const RestoreState&) {}  // restore_test.cpp
    void operator()(const BootstrapAcl&) {}
    void operator()(const SetAclToken&) {}
    void operator()(const DeleteAclToken&) {}
    void operator()(const SetAclPolicy&) {}
    void operator()(const DeleteAclPolicy&) {}
    void operator()(const SetQuery&) {}
    void operator()(const DeleteQuery&) {}

    static Model of(const Catalog& catalog) {
        Model model;
        for (const CatalogNode* node : catalog.nodes().data) {
            model.nodes[node->row.name] = node->row.address;
            for (const auto& [id, instance] : node->services) {
                model.services[{node->row.name, id}] = {instance.row.name, instance.row.port};
            }
        }
        for (const CheckRef& ref : catalog.health_state("any").data) {
            const CheckKind kind = ref.check->definition.kind;
            model.checks[{ref.node->row.name, ref.check->id}] = {
                ref.service == nullptr ? "" : ref.service->id,
                ref.check->status,
                kind == CheckKind::maintenance,
                kind != CheckKind::none
            };
        }
        for (const auto& [key, row] : catalog.kv_list("").data) {
            model.keys[std::string(key)] = row->value;
            if (!row->session.empty()) model.holders[std::string(key)] = row->session;
        }
        for (const SessionRow* s : catalog.sessions().data) (model)(CreateSession{*s});
        for (const auto& [key, delay] : catalog.lock_delays()) model.delays.insert(key);
        for (const EventRow& event : catalog.events().rows()) model.events.push_back(event.name);
        return model;
    }

    friend bool operator==(const Model&, const Model&) = default;
};

bool is_exact(WatchTopic topic) {  // woken only if its own data changed
    return topic != WatchTopic::services && topic != WatchTopic::health_checks;
}

TEST(CatalogModelTest, AgreesWithANaiveModelAndLosesNoWatch) {
    const std::uint64_t seed = seed_of_run();
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    Commands commands(seed);
    Catalog catalog;
    Model model;
    const std::vector<WatchKey> keys = every_key();
    std::size_t refused = 0;
    std::size_t ended = 0;
    constexpr int kSteps = 6000;
    for (int step = 0; step < kSteps; ++step) {
        const Command command = step == 0 ? Command(local_node()) : commands.next();
        std::vector<std::string> before;
        const std::size_t sessions_before = catalog.sessions().data.size();
        WaiterTable waiters;
        for (std::size_t i = 0; i < keys.size(); ++i) {
            before.push_back(show(catalog, keys[i]));
            const auto subscribed =
                waiters.subscribe(catalog, keys[i], catalog.index_of(keys[i]), i);
            ASSERT_EQ(*subscribed, WaiterTable::Subscribed::waiting);
        }
        const std::uint64_t index = catalog.index();
        const Result<Applied> outcome = catalog.apply(command);
        refused += outcome.ok() ? 0 : 1;
        if (const auto* acquire = std::get_if<KvAcquire>(&command)) {
            ASSERT_EQ(outcome.ok(), model.sessions.contains(acquire->session));
            if (outcome.ok()) {
                ASSERT_EQ(outcome->accepted, model.accepts(*acquire));
            }
        }
        if (const auto* release = std::get_if<KvRelease>(&command)) {
            ASSERT_EQ(outcome->accepted, model.accepts(*release));
        }
        if (outcome.ok() && outcome->accepted) {
            std::visit(model, command);
            model.settle();
            ended += sessions_before - std::min(sessions_before, catalog.sessions().data.size());
        }
        ASSERT_EQ(Model::of(catalog), model) << "step " << step << " kind " << command.index();
        ASSERT_EQ(catalog.index(), index + (outcome.ok() && outcome->changed ? 1 : 0));
        std::vector<WaitToken> woken;
        if (outcome.ok()) woken = waiters.wake(catalog, outcome->touched);
        for (std::size_t i = 0; i < keys.size(); ++i) {
            const bool changed = show(catalog, keys[i]) != before[i];
            const bool awake = std::find(woken.begin(), woken.end(), i) != woken.end();
            const auto where = fmt::format(
                "step {} kind {} topic {} name '{}'",
                step,
                command.index(),
                int(keys[i].topic),
                keys[i].name
            );
            if (changed) {
                ASSERT_TRUE(awake) << where;
            }
            if (awake && is_exact(keys[i].topic)) {
                ASSERT_TRUE(changed) << where;
            }
        }
    }
    EXPECT_LT(refused, kSteps / 2U);
    EXPECT_GT(ended, 100U);
}

TEST(CatalogModelTest, StateIsTheFoldOfItsLogWithOrWithoutASnapshot) {
    const std::uint64_t seed = seed_of_run();
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    for (std::uint64_t round = 0; round < 20; ++round) {
        Commands commands(seed + round);
        core::Rng rng(seed + round);
        Catalog live;
        Catalog replayed;
        ASSERT_TRUE(live.apply(local_node()).ok() && replayed.apply(local_node()).ok());
        for (int step = 0; step < 500; ++step) {
            const Command command = commands.next();
            (void)live.apply(command).ok();
            (void)replayed.apply(*decode_command(encode(command))).ok();
            if (rng.chance(0.02)) {
                Result<Catalog> restored = Catalog::decode_state(replayed.encode_state());
                ASSERT_TRUE(restored.ok()) << restored.error().what;
                replayed = std::move(restored).value();
            }
        }
        ASSERT_EQ(replayed.encode_state(), live.encode_state());
        for (const WatchKey& key : every_key()) {
            ASSERT_EQ(show(replayed, key), show(live, key));
            ASSERT_EQ(replayed.index_of(key), live.index_of(key));
        }
    }
}

TEST(CatalogModelTest, ASnapshotCutShortIsRefused) {
    Commands commands(seed_of_run());
    Catalog catalog;
    (void)catalog.apply(local_node()).ok();
    for (int step = 0; step < 100; ++step) (void)catalog.apply(commands.next()).ok();
    const std::string bytes = catalog.encode_state();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        ASSERT_FALSE(Catalog::decode_state(std::string_view(bytes).substr(0, size)).ok()) << size;
    }
    ASSERT_FALSE(Catalog::decode_state(bytes + '\0').ok());
}

}  // namespace
}  // namespace datapunk::mesh::catalog
