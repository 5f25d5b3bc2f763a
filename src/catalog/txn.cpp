#include "catalog/txn.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "catalog/apply.h"
#include "catalog/limits.h"
#include "catalog/txn_stage.h"
#include "core/assert.h"

namespace datapunk::mesh::catalog {

namespace {

using Verb = TxnVerb;

Error stale(std::string_view what, const std::string& which) {
    return {
        .code = Code::conflict,
        .what = fmt::format("failed to {} {}, index is stale", what, which),
        .source = Source::downstream,
    };
}

Error refusal(std::string what) {
    return {.code = Code::conflict, .what = std::move(what), .source = Source::downstream};
}

// The single commands say where they failed; a transaction does not.
std::string plain(std::string what) {
    constexpr std::string_view kRaft = "raft apply failed: ";
    return what.starts_with(kRaft) ? what.substr(kRaft.size()) : what;
}

std::string quoted_key(const TxnOp& op) {
    return fmt::format("key \"{}\"", op.key);
}

std::string quoted_node(const TxnOp& op) {
    return fmt::format("node \"{}\"", op.node_row->name);
}

std::string quoted_service(const TxnOp& op) {
    return fmt::format("service \"{}\" on node \"{}\"", op.service->id, op.node);
}

std::string quoted_check(const TxnOp& op) {
    return fmt::format("check \"{}\" on node \"{}\"", op.check->id, op.node);
}

// Compare and set, where 0 means that there must be nothing yet.
template <class Row>
bool matches(const Row* row, std::uint64_t index) {
    return (row == nullptr ? 0 : row->index.modified) == index;
}

}  // namespace

bool writes(const TxnOp& op) noexcept {
    switch (op.verb) {
        case Verb::get:
        case Verb::get_or_empty:
        case Verb::get_tree:
        case Verb::check_index:
        case Verb::check_session:
        case Verb::check_not_exists:
            return false;
        case Verb::unknown:
            return op.kind != TxnKind::key;
        default:
            return true;
    }
}

// One transaction's operations, on the catalog or on a stage.
class TxnRun {
  public:
    TxnRun(Catalog& catalog, Applied& applied, TxnOutcome& outcome)
        : catalog_(catalog), applied_(applied), outcome_(outcome), apply_(catalog, applied) {}

    void run(const Txn& txn) {
        for (std::size_t i = 0; i < txn.ops.size(); ++i) {
            if (Result<> done = run_op(txn.ops[i]); !done) {
                outcome_.errors.push_back({i, plain(std::move(done).error().what)});
            }
        }
        if (!outcome_.errors.empty()) outcome_.results.clear();
    }

  private:
    Result<> run_op(const TxnOp& op) {
        switch (op.kind) {
            case TxnKind::key:
                return run_key(op);
            case TxnKind::node:
                return run_node(op);
            case TxnKind::service:
                return run_service(op);
            case TxnKind::check:
                return run_check(op);
            case TxnKind::session:
                if (op.verb == Verb::erase) return execute(DestroySession{op.session});
                break;
        }
        return unknown("Session", op);
    }

    static Result<> unknown(std::string_view kind, const TxnOp& op) {
        return refusal(fmt::format("unknown {} verb \"{}\"", kind, op.verb_text.substr(0, 64)));
    }

    // As any single command is executed. True in accepted_ unless it was a condition that failed.
    Result<> execute(Command command) {
        if (Result<> ready = prepare(command, Duration::zero()); !ready) return ready;
        if (Result<> allowed = catalog_.check(command); !allowed) return allowed;
        applied_.accepted = true;
        std::visit([&](auto& c) { apply_(c); }, command);
        accepted_ = std::exchange(applied_.accepted, true);
        return Ok{};
    }

    Result<> execute_or(Command command, std::string what_if_not_accepted) {
        Result<> done = execute(std::move(command));
        if (done && !accepted_) return refusal(std::move(what_if_not_accepted));
        return done;
    }

    const KvRow* row(const TxnOp& op) const { return catalog_.kv_get(op.key).data; }

    // Operations are few, but each may ask for everything there is.
    Result<> take_bytes(std::size_t more) {
        result_bytes_ += more;
        if (result_bytes_ <= kTxnResultBytesMax) return Ok{};
        return refusal(fmt::format("the transaction reads more than {} bytes", kTxnResultBytesMax));
    }

    Result<> show_key(const TxnOp& op, bool with_value) {
        if (with_value) {
            if (Result<> fits = take_bytes(row(op)->value.size()); !fits) return fits;
        }
        TxnResult result{.kind = TxnKind::key, .key = op.key};
        const KvRow& found = *row(op);
        result.row = {
            .value = with_value ? found.value : std::string(),
            .flags = found.flags,
            .index = found.index,
            .lock_index = found.lock_index,
            .session = found.session
        };
        outcome_.results.push_back(std::move(result));
        return Ok{};
    }

    Result<> show_key_if(Result<> done, const TxnOp& op) {
        return done ? show_key(op, false) : std::move(done);
    }

    Result<> run_key(const TxnOp& op) {
        if (op.key.empty() && op.verb != Verb::erase_tree) return refusal("Must provide key");
        switch (op.verb) {
            case Verb::set:
                return show_key_if(execute(KvPut{op.key, op.value, op.flags, {}}), op);
            case Verb::cas:
                return show_key_if(
                    execute_or(
                        KvPut{op.key, op.value, op.flags, op.index},
                        stale("set", quoted_key(op)).what
                    ),
                    op
                );
            case Verb::lock:
                return show_key_if(lock(op), op);
            case Verb::unlock:
                return show_key_if(
                    execute_or(
                        KvRelease{op.key, op.value, op.flags, op.session},
                        fmt::format(
                            "failed to unlock {}, lock isn't held, or is held by another session",
                            quoted_key(op)
                        )
                    ),
                    op
                );
            case Verb::erase:
                return execute(KvDelete{op.key, false, {}});
            case Verb::erase_cas:
                return execute_or(
                    KvDelete{op.key, false, op.index}, stale("delete", quoted_key(op)).what
                );
            case Verb::erase_tree:
                return execute(KvDelete{op.key, true, {}});
            default:
                return read_key(op);
        }
    }

    Result<> lock(const TxnOp& op) {
        const bool is_delayed = catalog_.lock_delays().contains(op.key);
        return execute_or(
            KvAcquire{op.key, op.value, op.flags, op.session},
            is_delayed ? fmt::format("failed to lock {} due to lock delay", quoted_key(op))
                       : fmt::format("failed to lock {}, lock is already held", quoted_key(op))
        );
    }

    Result<> read_key(const TxnOp& op) {
        const KvRow* found = row(op);
        switch (op.verb) {
            case Verb::get:
                if (found == nullptr) return refusal(quoted_key(op) + " doesn't exist");
                return show_key(op, true);
            case Verb::get_or_empty:
                if (found != nullptr) return show_key(op, true);
                outcome_.results.push_back({.kind = TxnKind::key, .key = op.key});
                return Ok{};
            case Verb::get_tree:
                for (const KvStore::Item& item : catalog_.kv_list(op.key).data) {
                    Result<> fits = take_bytes(item.key.size() + item.row->value.size());
                    if (!fits) return fits;
                    outcome_.results.push_back(
                        {.kind = TxnKind::key, .key = std::string(item.key), .row = *item.row}
                    );
                }
                return Ok{};
            case Verb::check_not_exists:
                if (found != nullptr) return refusal(quoted_key(op) + " exists");
                return Ok{};
            case Verb::check_index:
                if (found == nullptr) {
                    return refusal(
                        fmt::format("failed to check index, {} doesn't exist", quoted_key(op))
                    );
                }
                if (found->index.modified == op.index) return show_key(op, false);
                return refusal(fmt::format(
                    "failed index check for {}, current modify index {} != {}",
                    quoted_key(op),
                    found->index.modified,
                    op.index
                ));
            case Verb::check_session:
                if (found == nullptr) {
                    return refusal(
                        fmt::format("failed to check session, {} doesn't exist", quoted_key(op))
                    );
                }
                if (found->session == op.session) return show_key(op, false);
                return refusal(fmt::format(
                    "failed session check for {}, current session \"{}\" != \"{}\"",
                    quoted_key(op),
                    found->session,
                    op.session
                ));
            default:
                return unknown("KV", op);
        }
    }

    const CatalogNode* find_node(const std::string& name) const { return catalog_.node(name).data; }

    Result<> show_node(const TxnOp& op) {
        TxnResult result{.kind = TxnKind::node};
        result.node = find_node(op.node_row->name)->row;
        outcome_.results.push_back(std::move(result));
        return Ok{};
    }

    Result<> set_node(const TxnOp& op) {
        CatalogRegister command;
        command.node = *op.node_row;
        Result<> done = execute(std::move(command));
        return done ? show_node(op) : std::move(done);
    }

    Result<> run_node(const TxnOp& op) {
        if (op.node_row->name.empty()) return refusal("Must provide node");
        const CatalogNode* node = find_node(op.node_row->name);
        const NodeRow* found = node == nullptr ? nullptr : &node->row;
        switch (op.verb) {
            case Verb::get:
                if (found == nullptr) return refusal(quoted_node(op) + " doesn't exist");
                return show_node(op);
            case Verb::cas:
                if (!matches(found, op.index)) return stale("set", quoted_node(op));
                return set_node(op);
            case Verb::set:
                return set_node(op);
            case Verb::erase_cas:
                if (found == nullptr || !matches(found, op.index)) {
                    return stale("delete", quoted_node(op));
                }
                return execute(CatalogDeregister{op.node_row->name, {}, {}});
            case Verb::erase:
                return execute(CatalogDeregister{op.node_row->name, {}, {}});
            default:
                return unknown("Node", op);
        }
    }

    const ServiceRow* find_service(const std::string& node, const std::string& id) const {
        const CatalogNode* at = find_node(node);
        if (at == nullptr) return nullptr;
        const auto found = at->services.find(id);
        return found == at->services.end() ? nullptr : &found->second.row;
    }

    Result<> show_service(const TxnOp& op, const std::string& id) {
        TxnResult result{.kind = TxnKind::service};
        result.service = *find_service(op.node, id);
        outcome_.results.push_back(std::move(result));
        return Ok{};
    }

    Result<> set_service(const TxnOp& op) {
        if (find_node(op.node) == nullptr) return refusal("Missing node registration");
        CatalogRegister command;
        command.node.name = op.node;
        command.skip_node_update = true;
        command.service = *op.service;
        const std::string id = op.service->id.empty() ? op.service->name : op.service->id;
        Result<> done = execute(std::move(command));
        return done ? show_service(op, id) : std::move(done);
    }

    Result<> run_service(const TxnOp& op) {
        if (op.node.empty()) return refusal("Must provide node");
        const ServiceRow* found = find_service(op.node, op.service->id);
        switch (op.verb) {
            case Verb::get:
                if (found == nullptr) return refusal(quoted_service(op) + " doesn't exist");
                return show_service(op, op.service->id);
            case Verb::cas:
                if (!matches(found, op.index)) return stale("set", quoted_service(op));
                return set_service(op);
            case Verb::set:
                return set_service(op);
            case Verb::erase_cas:
                if (found == nullptr || !matches(found, op.index)) {
                    return stale("delete", quoted_service(op));
                }
                return erase_service(op);
            case Verb::erase:
                return erase_service(op);
            default:
                return unknown("Service", op);
        }
    }

    // Without an id the command would mean the whole node.
    Result<> erase_service(const TxnOp& op) {
        if (op.service->id.empty()) return refusal("Must provide service ID");
        return execute(CatalogDeregister{op.node, op.service->id, {}});
    }

    CheckRef find_check(const TxnOp& op) const {
        const CatalogNode* node = find_node(op.node);
        if (node == nullptr) return {nullptr, nullptr, nullptr};
        const auto owner = node->check_owner.find(op.check->id);
        if (owner == node->check_owner.end()) return {node, nullptr, nullptr};
        if (owner->second.empty()) return {node, nullptr, &node->checks.find(op.check->id)->second};
        const Instance& instance = node->services.find(owner->second)->second;
        return {node, &instance.row, &instance.checks.find(op.check->id)->second};
    }

    Result<> show_check(const TxnOp& op) {
        const CheckRef found = find_check(op);
        TxnResult result{.kind = TxnKind::check};
        result.node = found.node->row;
        if (found.service != nullptr) result.service = *found.service;
        result.check = *found.check;
        outcome_.results.push_back(std::move(result));
        return Ok{};
    }

    Result<> set_check(const TxnOp& op) {
        const CatalogNode* node = find_node(op.node);
        if (node == nullptr) return refusal("Missing node registration");
        if (!op.check->service_id.empty() && !node->services.contains(op.check->service_id)) {
            return refusal("Missing service registration");
        }
        CatalogRegister command;
        command.node.name = op.node;
        command.skip_node_update = true;
        command.checks = {*op.check};
        Result<> done = execute(std::move(command));
        return done ? show_check(op) : std::move(done);
    }

    Result<> run_check(const TxnOp& op) {
        if (op.node.empty()) return refusal("Must provide node");
        if (op.check->id.empty()) return refusal("Must provide check ID or name");
        const CheckRow* found = find_check(op).check;
        switch (op.verb) {
            case Verb::get:
                if (found == nullptr) return refusal(quoted_check(op) + " doesn't exist");
                return show_check(op);
            case Verb::cas:
                if (!matches(found, op.index)) return stale("set", quoted_check(op));
                return set_check(op);
            case Verb::set:
                return set_check(op);
            case Verb::erase_cas:
                if (found == nullptr || !matches(found, op.index)) {
                    return stale("delete", quoted_check(op));
                }
                return execute(CatalogDeregister{op.node, {}, op.check->id});
            case Verb::erase:
                return execute(CatalogDeregister{op.node, {}, op.check->id});
            default:
                return unknown("Check", op);
        }
    }

    Catalog& catalog_;
    Applied& applied_;
    TxnOutcome& outcome_;
    Apply apply_;
    bool accepted_ = true;
    std::size_t result_bytes_ = 0;
};

TxnOutcome Catalog::rehearse(const Txn& txn) const {
    TxnStage stage(*this, txn);
    TxnOutcome outcome;
    Applied scratch;
    TxnRun(stage.catalog(), scratch, outcome).run(txn);
    return outcome;
}

// The tables' limits as if every operation added to them: the stage cannot know how full they are.
Result<> Refuse::operator()(const Txn& c) const {
    std::size_t bytes = 0;
    std::size_t locks = 0;
    for (const TxnOp& op : c.ops) {
        bytes += op.key.size() + op.value.size();
        locks += op.verb == Verb::lock ? 1 : 0;
    }
    const std::size_t ops = c.ops.size();
    const auto count = [&](TxnKind kind) {
        return static_cast<std::size_t>(std::count_if(
            c.ops.begin(),
            c.ops.end(),
            [&](const TxnOp& op) {
                return op.kind == kind && (op.verb == Verb::set || op.verb == Verb::cas ||
                                           op.verb == Verb::lock || op.verb == Verb::unlock);
            }
        ));
    };
    std::string_view full;
    if (ops > kTxnOpsMax) full = "operations";
    if (count(TxnKind::key) > 0 && catalog.kv_.size() + count(TxnKind::key) > kKvKeysMax)
        full = "keys";
    if (count(TxnKind::key) > 0 && catalog.kv_.bytes() + bytes > kKvBytesMax)
        full = "keys and values";
    if (locks > 0 && catalog.sessions_.locks() + locks > kLocksMax) full = "locks";
    if (count(TxnKind::node) > 0 && catalog.nodes_.size() + count(TxnKind::node) > kNodesMax)
        full = "nodes";
    if (count(TxnKind::service) > 0 &&
        catalog.service_count_ + count(TxnKind::service) > kServicesMax)
        full = "services";
    if (count(TxnKind::check) > 0 && catalog.check_count_ + count(TxnKind::check) > kChecksMax)
        full = "checks";
    if (full.empty()) return Ok{};
    return Error{
        .code = Code::exhausted,
        .what = fmt::format("the registry is full: no room for the transaction's {}", full),
        .source = Source::downstream,
    };
}

void Apply::operator()(Txn& c) {
    outcome_.txn = catalog_.rehearse(c);
    outcome_.accepted = outcome_.txn.errors.empty();
    if (!outcome_.accepted) return;
    outcome_.txn = {};
    TxnRun(catalog_, outcome_, outcome_.txn).run(c);
    MESH_ASSERT(outcome_.txn.errors.empty());
}

}  // namespace datapunk::mesh::catalog
