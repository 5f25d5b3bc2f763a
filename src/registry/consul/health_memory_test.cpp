#include "registry/consul/health_memory.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/hash.h"
#include "core/rng.h"
#include "registry/consul/messages.h"
#include "registry/delta_protocol.h"

namespace datapunk::mesh::registry::consul {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kOwnSeed = 7;
constexpr std::uint64_t kRun = 0x0123456789abcdef;
constexpr const char* kToken = "0123456789abcdef-00000000000000aa";

// As a registry writes it; without an address nobody can call it.
struct Row {
    std::string node = "n1";
    std::string id;
    int port = 80;
    std::string status = "passing";
    std::string notes = {};
    bool has_address = true;

    std::string text() const {
        return fmt::format(
            R"({{"Node":{{"Node":"{0}","Address":"{5}"}},"Service":{{"ID":"{1}","Service":"api","Port":{2},)"
            R"("Meta":{{"brackets":"]}},{{[","quote":"\"\\"}}}},)"
            R"("Checks":[{{"Status":"{3}","Notes":"{4}"}}]}})",
            node,
            id,
            port,
            status,
            notes,
            has_address ? "10.0.0.1" : ""
        );
    }
};

// What stands in the registry, and what is said of it.
class Rows {
  public:
    using Key = std::pair<std::string, std::string>;

    void put(const Row& row) { rows_[{row.node, row.id}] = row; }

    void remove(const std::string& node, const std::string& id) { rows_.erase({node, id}); }

    std::string whole(std::string_view separator = ",") const {
        std::string out = "[";
        for (const auto& [key, row] : rows_) {
            if (out.size() > 1) out += separator;
            out += row.text();
        }
        return out + "]";
    }

    std::string delta_from(const std::map<Key, std::string>& before) const {
        std::string changed;
        std::string removed;
        std::uint64_t sum = 0;
        for (const auto& [key, row] : rows_) {
            const std::string text = row.text();
            sum += core::hash64(text, kRun);
            const auto old = before.find(key);
            if (old != before.end() && old->second == text) continue;
            changed += (changed.empty() ? "" : ",") + text;
        }
        for (const auto& [key, text] : before) {
            if (rows_.contains(key)) continue;
            removed += fmt::format(
                R"({}{{"Node":"{}","ID":"{}"}})", removed.empty() ? "" : ",", key.first, key.second
            );
        }
        return fmt::format(
            R"({{"Changed":[{}],"Removed":[{}],"Count":{},"Digest":"{:016x}"}})",
            changed,
            removed,
            rows_.size(),
            sum
        );
    }

    std::map<Key, std::string> texts() const {
        std::map<Key, std::string> out;
        for (const auto& [key, row] : rows_) out[key] = row.text();
        return out;
    }

    std::size_t size() const { return rows_.size(); }

  private:
    std::map<Key, Row> rows_;
};

// Keeps a set by what it reads.
class Reader {
  public:
    // Whether it fitted.
    bool read(const std::string& body, std::uint64_t index, std::string_view token = {}) {
        const HealthAnswer answer{.body = body, .token = token, .index = index};
        return learn(answer);
    }

    bool read_delta(const std::string& body, std::uint64_t index, std::uint64_t since) {
        const HealthAnswer answer{.body = body, .token = kToken, .since = since, .index = index};
        return learn(answer);
    }

    bool learn(const HealthAnswer& answer) {
        auto news = read_health(answer, index_, std::move(memory_), kOwnSeed);
        EXPECT_TRUE(news) << news.error().what;
        if (!news || !*news) return false;
        index_ = answer.index;
        memory_.reset(static_cast<HealthMemory*>((*news)->memory.release()));
        is_patch = std::holds_alternative<Patch>((*news)->what);
        if (!is_patch) {
            endpoints = std::get<Answer>((*news)->what).endpoints;
            EXPECT_EQ(std::get<Answer>((*news)->what).index, index_);
            return true;
        }
        patch = std::get<Patch>((*news)->what);
        EXPECT_EQ(patch.index, index_);
        std::erase_if(endpoints, [&](const ServiceEndpoint& one) {
            return std::find(patch.removed.begin(), patch.removed.end(), one.id) !=
                   patch.removed.end();
        });
        for (const ServiceEndpoint& one : patch.changed) {
            const auto at = std::lower_bound(
                endpoints.begin(),
                endpoints.end(),
                one,
                [](const auto& a, const auto& b) { return a.id < b.id; }
            );
            if (at != endpoints.end() && at->id == one.id) {
                *at = one;
            } else {
                endpoints.insert(at, one);
            }
        }
        return true;
    }

    bool has_memory() const { return memory_ != nullptr; }

    std::string_view token() const { return memory_->token(); }

    std::uint64_t index() const { return index_; }

    void forget() { memory_ = nullptr; }

    std::vector<ServiceEndpoint> endpoints;
    bool is_patch = false;
    Patch patch;

  private:
    std::unique_ptr<HealthMemory> memory_;
    std::uint64_t index_ = 0;
};

std::vector<std::string> ids(const std::vector<ServiceEndpoint>& endpoints) {
    std::vector<std::string> out;
    for (const ServiceEndpoint& one : endpoints) out.push_back(one.id);
    return out;
}

Rows forty() {
    Rows rows;
    for (int i = 0; i < 40; ++i) rows.put({.id = fmt::format("i{:02}", i)});
    return rows;
}

TEST(HealthMemory, OfWholeAnswersOnlyWhatIsAnotherIsRead) {
    Rows rows = forty();
    Reader reader;
    EXPECT_TRUE(reader.read(rows.whole(), 5));
    EXPECT_FALSE(reader.is_patch);
    EXPECT_EQ(reader.token(), kDeltaAny);
    rows.put({.id = "i07", .port = 81});
    rows.put({.id = "new"});
    rows.remove("n1", "i20");
    EXPECT_TRUE(reader.read(rows.whole(), 6));
    ASSERT_TRUE(reader.is_patch);
    EXPECT_THAT(ids(reader.patch.changed), ElementsAre("i07", "new"));
    EXPECT_THAT(reader.patch.removed, ElementsAre("i20"));
    EXPECT_EQ(reader.endpoints, *parse_health(rows.whole()));
    EXPECT_TRUE(reader.read(rows.whole(), 6));
    ASSERT_TRUE(reader.is_patch);
    EXPECT_THAT(reader.patch.changed, IsEmpty());
}

TEST(HealthMemory, AnIndexThatFellIsReadInFull) {
    Rows rows = forty();
    Reader reader;
    reader.read(rows.whole(), 5);
    EXPECT_TRUE(reader.read(rows.whole(), 4));
    EXPECT_FALSE(reader.is_patch);
}

TEST(HealthMemory, ThereIsNoneOfWhatCannotBePatched) {
    Rows few;
    for (int i = 0; i < 31; ++i) few.put({.id = fmt::format("i{:02}", i)});
    Rows shared = forty();
    shared.put({.node = "n2", .id = "i07"});
    Rows renewed = forty();
    renewed.put({.id = "i07", .notes = "dpmesh: until 1767225600"});
    for (const Rows& rows : {few, shared, renewed}) {
        Reader reader;
        EXPECT_TRUE(reader.read(rows.whole(), 5));
        EXPECT_FALSE(reader.has_memory());
        EXPECT_EQ(reader.endpoints, *parse_health(rows.whole()));
    }
}

TEST(HealthMemory, WhatWasPatchableAndIsNoLongerIsReadInFull) {
    for (const Row& row :
         {Row{.node = "n2", .id = "i07"}, Row{.id = "i07", .notes = "dpmesh: until 1767225600"}}) {
        Rows rows = forty();
        Reader reader;
        reader.read(rows.whole(), 5);
        rows.put(row);
        EXPECT_TRUE(reader.read(rows.whole(), 6));
        EXPECT_FALSE(reader.is_patch);
        EXPECT_EQ(reader.endpoints, *parse_health(rows.whole()));
    }
}

TEST(HealthMemory, WhiteSpaceBetweenThemIsNoDifference) {
    Rows rows = forty();
    Reader reader;
    reader.read(rows.whole(), 5);
    rows.put({.id = "i07", .port = 81});
    EXPECT_TRUE(reader.read(" " + rows.whole(" ,\n ") + "\n", 6));
    ASSERT_TRUE(reader.is_patch);
    EXPECT_THAT(ids(reader.patch.changed), ElementsAre("i07"));
}

TEST(HealthMemory, BadAnswersAreErrorsAndNotPatches) {
    Rows rows = forty();
    const std::string whole = rows.whole();
    for (const std::string& body :
         {whole.substr(0, whole.size() - 1),
          whole + "x",
          whole + whole,
          "[" + whole.substr(0, whole.size() / 2),
          std::string("{}"),
          std::string("null"),
          std::string()}) {
        Reader reader;
        reader.read(whole, 5);
        auto memory = std::make_unique<HealthMemory>();
        const HealthAnswer first{.body = whole, .index = 5};
        auto news = read_health(first, 0, nullptr, kOwnSeed);
        ASSERT_TRUE(news && *news);
        memory.reset(static_cast<HealthMemory*>((*news)->memory.release()));
        const HealthAnswer bad{.body = body, .index = 6};
        EXPECT_FALSE(read_health(bad, 5, std::move(memory), kOwnSeed)) << body.substr(0, 40);
    }
}

TEST(HealthMemory, ADeltaIsPatchedIn) {
    Rows rows = forty();
    Reader reader;
    reader.read(rows.whole(), 5, kToken);
    EXPECT_EQ(reader.token(), kToken);
    const auto before = rows.texts();
    rows.put({.id = "i07", .port = 81});
    rows.remove("n1", "i20");
    rows.put({.node = "n2", .id = "i20"});  // moved
    rows.remove("n1", "i30");
    rows.put({.id = "i31", .has_address = false});
    EXPECT_TRUE(reader.read_delta(rows.delta_from(before), 8, 5));
    EXPECT_THAT(ids(reader.patch.changed), ElementsAre("i07", "i20"));
    EXPECT_THAT(reader.patch.removed, ElementsAre("i30", "i31"));
    EXPECT_EQ(reader.endpoints, *parse_health(rows.whole()));
    EXPECT_TRUE(reader.read_delta(rows.delta_from(rows.texts()), 8, 8));
    EXPECT_THAT(reader.patch.changed, IsEmpty());
}

TEST(HealthMemory, ADeltaThatDoesNotFitIsNotBelieved) {
    Rows rows = forty();
    const auto before = rows.texts();
    Rows later = rows;
    later.put({.id = "i07", .port = 81});
    const auto between = later.texts();
    Rows last = later;
    last.put({.id = "i08", .port = 81});
    const auto reader = [&] {
        Reader one;
        one.read(rows.whole(), 5, kToken);
        return one;
    };
    {
        Reader one = reader();  // the one before got lost
        EXPECT_FALSE(one.read_delta(last.delta_from(between), 7, 5));
        EXPECT_FALSE(one.has_memory());
    }
    EXPECT_FALSE(reader().read_delta(last.delta_from(between), 7, 6));  // not asked for
    EXPECT_FALSE(reader().read_delta(last.delta_from(before), 4, 5));   // backwards
    {
        Reader one = reader();
        one.forget();
        EXPECT_FALSE(one.read_delta(last.delta_from(before), 7, 5));
    }
    for (const std::string& body :
         {std::string("{}"),
          std::string("[]"),
          std::string(R"({"Changed":[],"Removed":[],"Count":40,"Digest":"12"})"),
          std::string(R"({"Changed":[{}],"Removed":[],"Count":40,"Digest":"0123456789abcdef"})"),
          last.delta_from(before).substr(0, 100)}) {
        EXPECT_FALSE(reader().read_delta(body, 7, 5)) << body;
    }
    const HealthAnswer other{
        .body = {}, .token = "1123456789abcdef-00000000000000aa", .since = 5, .index = 7
    };
    EXPECT_FALSE(reader().learn(other));
    EXPECT_TRUE(reader().read_delta(last.delta_from(before), 7, 5));
}

// Whatever is told, in part or in full, in any order, with or without what cannot be patched: the
// set is that of the whole answer, or it is known to be another.
TEST(HealthMemory, PatchedIsWhole) {
    const char* given = std::getenv("SEED");
    const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20261122;
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    core::Rng rng(seed);
    Rows rows = forty();
    Reader reader;
    std::map<Rows::Key, std::string> known;
    std::uint64_t index = 5;
    bool has_delta = true;
    int patches = 0;
    int misfits = 0;
    for (int step = 0; step < 2500; ++step) {
        for (std::uint64_t left = rng.below(4); left > 0; --left) {
            const std::string id = fmt::format("i{:02}", rng.below(70));
            const bool is_far = rng.chance(0.005);
            const std::string node = is_far ? "n2" : "n1";
            if (rng.chance(0.3)) {
                if (rows.size() > 34) rows.remove(node, id);
                rows.remove("n2", id);
                continue;
            }
            rows.put(
                {.node = node,
                 .id = id,
                 .port = static_cast<int>(80 + rng.below(2)),
                 .status = rng.chance(0.5) ? "passing" : "critical",
                 .notes = rng.chance(0.002) ? "dpmesh: until 99999999999" : "",
                 .has_address = rng.chance(0.9)}
            );
        }
        const std::uint64_t since = reader.index();
        ++index;
        const bool is_lost = rng.chance(0.02);  // it thinks that we know what we do not know
        if (reader.has_memory() && has_delta && reader.token() == kToken && rng.chance(0.8)) {
            const auto before = is_lost ? rows.texts() : known;
            const bool is_same = before == known;
            const bool fits = reader.read_delta(rows.delta_from(before), index, since);
            if (!fits) {
                ++misfits;
                ASSERT_TRUE(reader.read(rows.whole(), index, kToken));
            } else {
                ASSERT_TRUE(is_same);
                ++patches;
            }
        } else {
            if (rng.chance(0.05)) has_delta = !has_delta;
            ASSERT_TRUE(reader.read(rows.whole(), index, has_delta ? kToken : ""));
            patches += reader.is_patch ? 1 : 0;
        }
        known = rows.texts();
        ASSERT_EQ(reader.endpoints, *parse_health(rows.whole())) << "step " << step;
    }
    EXPECT_GT(patches, 500);
    EXPECT_GT(misfits, 5);
}

}  // namespace
}  // namespace datapunk::mesh::registry::consul
