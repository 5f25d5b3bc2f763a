// A transaction does what its operations would do one after the other, or nothing at all: random
// transactions against the same operations as single commands on a copy. SEED= replays a run.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <optional>

#include "catalog/catalog.h"
#include "catalog/test_support.h"
#include "core/rng.h"

namespace datapunk::mesh::catalog {
namespace {

using Verb = TxnVerb;

std::uint64_t seed_of_run() {
    const char* given = std::getenv("SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : 20261121;
}

class Operations {
  public:
    explicit Operations(std::uint64_t seed) : rng(seed) {}

    TxnOp next(const Catalog& catalog) {
        switch (rng.below(10)) {
            case 0:
            case 1:
            case 2:
            case 3:
            case 4:
                return key_op(catalog);
            case 5:
                return row_op(catalog, TxnKind::node);
            case 6:
            case 7:
                return row_op(catalog, TxnKind::service);
            case 8:
                return row_op(catalog, TxnKind::check);
            default: {
                TxnOp op{.kind = TxnKind::session, .verb = Verb::erase};
                op.session = session();
                return op;
            }
        }
    }

    // Commands that transactions do not have, to make the state rich.
    Command other() {
        switch (rng.below(4)) {
            case 0: {
                CreateSession c;
                c.session.id = session();
                c.session.node = node();
                if (rng.chance(0.6)) c.session.node_checks = {check_id()};
                if (rng.chance(0.5)) c.session.behavior = SessionBehavior::erase;
                if (rng.chance(0.5)) c.session.lock_delay = Duration::zero();
                return c;
            }
            case 1:
                return KvAcquire{key(), "locked", 0, session()};
            case 2:
                return EndLockDelays{{key(), key()}};
            default: {
                CatalogRegister c{.node = {.name = node(), .address = "10.0.0.1"}};
                c.service = ServiceRow{.id = id(), .name = "svc"};
                c.checks.push_back({.id = check_id(), .status = Health::passing});
                if (rng.chance(0.5)) c.checks[0].service_id = c.service->id;
                return c;
            }
        }
    }

    core::Rng rng;

  private:
    std::string id() { return fmt::format("i{}", rng.below(3)); }
    std::string check_id() { return fmt::format("c{}", rng.below(3)); }
    std::string node() { return rng.chance(0.3) ? "ref1" : fmt::format("n{}", rng.below(2)); }
    std::string key() { return std::string("a/b/c").substr(0, 1 + rng.below(5)); }
    std::string session() { return fmt::format("s{}", rng.below(3)); }

    // Mostly the right one, else nothing or nonsense.
    template <class Row>
    std::uint64_t index_of(const Row* row) {
        if (rng.chance(0.2)) return 0;
        return row == nullptr || rng.chance(0.2) ? 3 : row->index.modified;
    }

    TxnOp key_op(const Catalog& catalog) {
        constexpr std::array kVerbs = {
            Verb::set,
            Verb::cas,
            Verb::lock,
            Verb::lock,
            Verb::unlock,
            Verb::get,
            Verb::get_or_empty,
            Verb::get_tree,
            Verb::check_index,
            Verb::check_session,
            Verb::check_not_exists,
            Verb::erase,
            Verb::erase_cas,
            Verb::erase_tree
        };
        TxnOp op{.kind = TxnKind::key, .verb = kVerbs[rng.below(kVerbs.size())]};
        op.key = key();
        op.value = rng.chance(0.5) ? "v" : "w";
        op.session = session();
        op.index = index_of(catalog.kv_get(op.key).data);
        return op;
    }

    TxnOp row_op(const Catalog& catalog, TxnKind kind) {
        constexpr std::array kVerbs = {
            Verb::get, Verb::set, Verb::set, Verb::cas, Verb::erase, Verb::erase_cas
        };
        TxnOp op{.kind = kind, .verb = kVerbs[rng.below(kVerbs.size())]};
        op.node = node();
        const CatalogNode* at = catalog.node(op.node).data;
        if (kind == TxnKind::node) {
            op.node_row = {.name = op.node, .address = rng.chance(0.7) ? "10.0.0.1" : "10.0.0.2"};
            op.index = index_of(at == nullptr ? nullptr : &at->row);
        } else if (kind == TxnKind::service) {
            op.service = {.id = id(), .name = rng.chance(0.7) ? "svc" : "other"};
            const auto found =
                at == nullptr ? decltype(at->services.end()){} : at->services.find(op.service->id);
            const bool known = at != nullptr && found != at->services.end();
            op.index = index_of(known ? &found->second.row : nullptr);
        } else {
            op.check = {.id = check_id(), .status = static_cast<Health>(rng.below(3))};
            if (rng.chance(0.5)) op.check->service_id = id();
            op.index = rng.below(2);
        }
        return op;
    }
};

// The operation as a single command on `catalog`; false if it fails.
bool run_alone(Catalog& catalog, const TxnOp& op) {
    const auto accepted = [&](Command command) {
        const Result<Applied> outcome = catalog.apply(std::move(command));
        return outcome.ok() && outcome->accepted;
    };
    if (op.kind == TxnKind::session) return accepted(DestroySession{op.session});
    if (op.kind == TxnKind::key) {
        const KvRow* row = catalog.kv_get(op.key).data;
        switch (op.verb) {
            case Verb::set:
                return accepted(KvPut{op.key, op.value, 0, {}});
            case Verb::cas:
                return accepted(KvPut{op.key, op.value, 0, op.index});
            case Verb::lock:
                return accepted(KvAcquire{op.key, op.value, 0, op.session});
            case Verb::unlock:
                return accepted(KvRelease{op.key, op.value, 0, op.session});
            case Verb::get:
                return row != nullptr;
            case Verb::check_index:
                return row != nullptr && row->index.modified == op.index;
            case Verb::check_session:
                return row != nullptr && row->session == op.session;
            case Verb::check_not_exists:
                return row == nullptr;
            case Verb::erase:
                return accepted(KvDelete{op.key, false, {}});
            case Verb::erase_cas:
                return accepted(KvDelete{op.key, false, op.index});
            case Verb::erase_tree:
                return accepted(KvDelete{op.key, true, {}});
            default:
                return true;
        }
    }
    const CatalogNode* node = catalog.node(op.node).data;
    const RowIndex* now = nullptr;
    CatalogRegister set{.node = {.name = op.node}, .skip_node_update = true};
    CatalogDeregister erase{op.node, {}, {}};
    if (op.kind == TxnKind::node) {
        now = node == nullptr ? nullptr : &node->row.index;
        set = {.node = *op.node_row};
    } else if (op.kind == TxnKind::service) {
        if (node != nullptr && node->services.contains(op.service->id)) {
            now = &node->services.find(op.service->id)->second.row.index;
        }
        set.service = op.service;
        erase.service_id = op.service->id;
    } else {
        for (const CheckRef& ref : catalog.health_node(op.node).data) {
            if (ref.check->id == op.check->id) now = &ref.check->index;
        }
        set.checks = {*op.check};
        erase.check_id = op.check->id;
    }
    const std::uint64_t modified = now == nullptr ? 0 : now->modified;
    const bool is_cas = op.verb == Verb::cas || op.verb == Verb::erase_cas;
    if (is_cas && (modified != op.index || (op.verb == Verb::erase_cas && now == nullptr))) {
        return false;
    }
    if (op.verb == Verb::get) return now != nullptr;
    if (op.verb == Verb::erase || op.verb == Verb::erase_cas) return accepted(erase);
    if (op.kind != TxnKind::node && node == nullptr) return false;
    return accepted(set);
}

// Everything but the indexes, which a transaction shares.
std::string show(const Catalog& catalog) {
    std::string out;
    for (const CatalogNode* node : catalog.nodes().data) {
        out += fmt::format("\nnode {} {}", node->row.name, node->row.address);
        for (const auto& [id, i] : node->services) out += fmt::format(" {}={}", id, i.row.name);
        for (const CheckRef& ref : catalog.health_node(node->row.name).data) {
            out += fmt::format(
                " {}:{}:{}", ref.check->id, ref.check->service_id, to_string(ref.check->status)
            );
        }
    }
    for (const auto& [key, row] : catalog.kv_list("").data) {
        out += fmt::format("\n{} {} {} {}", key, row->value, row->session, row->lock_index);
    }
    for (const SessionRow* s : catalog.sessions().data) out += "\n" + s->id + s->node;
    for (const auto& [key, delay] : catalog.lock_delays()) out += "\ndelayed " + key;
    for (const auto& [name, tags] : catalog.services().data) {
        out += fmt::format("\n{} {}", name, catalog.service(name).data.size());
    }
    return out;
}

Catalog copy(const Catalog& catalog) {
    Result<Catalog> copied = Catalog::decode_state(catalog.encode_state());
    EXPECT_TRUE(copied.ok()) << copied.error().what;
    return std::move(copied).value();
}

TEST(TxnModelTest, AllOrNothingAndAsIfOneByOne) {
    const std::uint64_t seed = seed_of_run();
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    Operations operations(seed);
    Catalog catalog;
    ASSERT_TRUE(catalog.apply(local_node()).ok());
    int done = 0;
    int refused = 0;
    for (int step = 0; step < 8000; ++step) {
        if (operations.rng.chance(0.4)) (void)catalog.apply(operations.other()).ok();
        Txn txn;
        const std::uint64_t ops = 1 + operations.rng.below(4);
        for (std::uint64_t i = 0; i < ops; ++i) txn.ops.push_back(operations.next(catalog));
        Catalog alone = copy(catalog);
        std::optional<std::size_t> first_failure;
        for (std::size_t i = 0; i < txn.ops.size() && !first_failure; ++i) {
            if (!run_alone(alone, txn.ops[i])) first_failure = i;
        }
        const std::string before = catalog.encode_state();
        const TxnOutcome rehearsal = catalog.rehearse(txn);
        ASSERT_EQ(catalog.encode_state(), before) << "a rehearsal changes nothing";
        const Result<Command> record = decode_command(encode(txn));
        ASSERT_TRUE(record.ok());
        const std::uint64_t index = catalog.index();
        const Result<Applied> outcome = catalog.apply(*record);
        ASSERT_TRUE(outcome.ok()) << outcome.error().what;
        ASSERT_EQ(outcome->txn, rehearsal) << "step " << step;
        ASSERT_EQ(catalog.index(), index + (outcome->changed ? 1 : 0));
        if (first_failure) {
            ++refused;
            ASSERT_FALSE(outcome->accepted) << "step " << step;
            ASSERT_EQ(outcome->txn.errors[0].op, *first_failure) << "step " << step;
            ASSERT_EQ(catalog.encode_state(), before) << "step " << step;
        } else {
            ++done;
            ASSERT_TRUE(outcome->accepted) << "step " << step << " " << outcome->txn.errors[0].what;
            ASSERT_EQ(show(catalog), show(alone)) << "step " << step;
        }
        ASSERT_EQ(copy(catalog).encode_state(), catalog.encode_state());
    }
    EXPECT_GT(done, 1000);
    EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace datapunk::mesh::catalog
