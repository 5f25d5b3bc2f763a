#include "registry/consul/health_memory.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/hash.h"
#include "registry/answer_text.h"
#include "registry/delta_protocol.h"

namespace datapunk::mesh::registry::consul {

namespace dom = simdjson::dom;

namespace {

using Slices = std::vector<std::string_view>;

constexpr std::size_t kHexDigits = 16;

std::optional<std::uint64_t> hex64(std::string_view text) {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, number, 16);
    const bool is_all = text.size() == kHexDigits && read.ec == std::errc() && read.ptr == end;
    return is_all ? std::optional(number) : std::nullopt;
}

std::size_t skip_space(std::string_view text, std::size_t at) {
    return std::min(text.find_first_not_of(" \t\r\n", at), text.size());
}

// Behind the object that begins there; npos if it does not end. Whether it is good JSON is asked
// when it is read.
std::size_t end_of_object(std::string_view text, std::size_t at) {
    int depth = 0;
    bool is_string = false;
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (is_string) {
            if (c == '\\') ++at;
            is_string = c != '"';
            continue;
        }
        is_string = c == '"';
        if (c == '{' || c == '[') ++depth;
        if ((c == '}' || c == ']') && --depth == 0) return at + 1;
    }
    return std::string_view::npos;
}

// Walks over an array of objects.
class Walk {
  public:
    // `at`: where the array begins.
    Walk(std::string_view text, std::size_t at) : text_(text), at_(skip_space(text, at)) {
        is_good_ = at_ < text_.size() && text_[at_] == '[';
        if (is_good_) at_ = skip_space(text_, at_ + 1);
        is_over_ = is_good_ && at_ < text_.size() && text_[at_] == ']';
        if (is_over_) ++at_;
    }

    // The next object's text; empty at the end, and where there is none.
    std::string_view next() {
        if (!is_good_ || is_over_) return {};
        const std::size_t end = at_ < text_.size() && text_[at_] == '{' ? end_of_object(text_, at_)
                                                                        : std::string_view::npos;
        if (end == std::string_view::npos) {
            is_good_ = false;
            return {};
        }
        return pass(end - at_);
    }

    // The next object, if so many bytes are it.
    template <class Is>
    bool skip_if(std::size_t length, Is is) {
        if (!is_good_ || is_over_ || length > text_.size() - at_) return false;
        if (!is(text_.substr(at_, length))) return false;
        pass(length);
        return true;
    }

    // There was an array, and all of it has been seen.
    bool is_done() const noexcept { return is_good_ && is_over_; }

    // Behind it.
    std::size_t end() const noexcept { return at_; }

  private:
    std::string_view pass(std::size_t length) {
        const std::string_view object = text_.substr(at_, length);
        at_ = skip_space(text_, at_ + length);
        const char c = at_ < text_.size() ? text_[at_] : '\0';
        is_over_ = c == ']';
        is_good_ = is_over_ || c == ',';
        ++at_;
        if (!is_over_) at_ = skip_space(text_, at_);
        return object;
    }

    std::string_view text_;
    std::size_t at_;
    bool is_good_ = false;
    bool is_over_ = false;
};

bool split(Walk& walk, Slices& out) {
    for (std::string_view text = walk.next(); !text.empty(); text = walk.next()) {
        out.push_back(text);
    }
    return walk.is_done();
}

bool split_answer(std::string_view body, Slices& out) {
    Walk walk(body, 0);
    return split(walk, out) && skip_space(body, walk.end()) == body.size();
}

struct Delta {
    Slices changed;
    std::vector<std::pair<std::string, std::string>> removed;  // node and id
    std::uint64_t count = 0;
    std::uint64_t digest = 0;
};

bool read_delta(std::string_view body, Delta& out) {
    constexpr std::string_view kHead = R"({"Changed":)";
    Walk walk(body, kHead.size());
    if (!body.starts_with(kHead) || !split(walk, out.changed)) return false;
    dom::parser parser;
    dom::object all;
    dom::array removed;
    if (parser.parse(body.data(), body.size()).get(all) != simdjson::SUCCESS) return false;
    if (all.at_key("Removed").get(removed) != simdjson::SUCCESS) return false;
    for (const dom::element element : removed) {
        std::string_view node;
        std::string_view id;
        if (element["Node"].get(node) != simdjson::SUCCESS) return false;
        if (element["ID"].get(id) != simdjson::SUCCESS) return false;
        out.removed.emplace_back(node, id);
    }
    std::string_view digest;
    if (all.at_key("Count").get(out.count) != simdjson::SUCCESS) return false;
    if (all.at_key("Digest").get(digest) != simdjson::SUCCESS) return false;
    const auto number = hex64(digest);
    out.digest = number.value_or(0);
    return number.has_value();
}

// In their order, and what came back is not gone.
void tidy(Patch& patch) {
    const auto by_id = [](const auto& a, const auto& b) { return a.id < b.id; };
    std::sort(patch.changed.begin(), patch.changed.end(), by_id);
    std::sort(patch.removed.begin(), patch.removed.end());
    // An id that several nodes had.
    const auto twice = std::unique(patch.removed.begin(), patch.removed.end());
    patch.removed.erase(twice, patch.removed.end());
    std::erase_if(patch.removed, [&](const std::string& id) {
        const auto at = std::lower_bound(
            patch.changed.begin(),
            patch.changed.end(),
            id,
            [](const ServiceEndpoint& one, const std::string& its) { return one.id < its; }
        );
        return at != patch.changed.end() && at->id == id;
    });
}

}  // namespace

std::string_view HealthMemory::token() const noexcept {
    return token_.empty() ? kDeltaAny : std::string_view(token_);
}

// One answer being read.
class HealthReader {
  public:
    HealthReader(const HealthAnswer& answer, std::uint64_t seed)
        : answer_(answer), own_seed_(seed) {}

    Result<News> whole();
    // Unset where that is not possible; `memory` is spoilt then.
    std::optional<News> difference(std::unique_ptr<HealthMemory>& memory);
    std::optional<News> delta(std::unique_ptr<HealthMemory>& memory);

  private:
    std::uint64_t seed() const {
        const bool is_token = answer_.token.size() == 2 * kHexDigits + 1;
        return is_token ? hex64(answer_.token.substr(0, kHexDigits)).value_or(own_seed_)
                        : own_seed_;
    }

    bool remember(HealthMemory& memory, const HealthInstance& one, std::string_view text);
    // A changed or new instance, into both. False: it cannot be patched in.
    bool take(HealthMemory& memory, HealthInstance one, std::string_view text, Patch& patch);
    News news(Patch patch, std::unique_ptr<HealthMemory>& memory) const;

    const HealthAnswer& answer_;
    std::uint64_t own_seed_;
    Slices slices_;
    InstanceReader reader_;
};

Result<News> HealthReader::whole() {
    slices_.clear();
    const bool is_split = split_answer(answer_.body, slices_);
    if (!is_split || slices_.size() < kDeltaInstancesMin) {
        auto endpoints = parse_health(answer_.body, answer_.now);
        if (!endpoints) return std::move(endpoints).error();
        return News{.what = Answer{.endpoints = *std::move(endpoints), .index = answer_.index}};
    }
    auto memory = std::make_unique<HealthMemory>();
    memory->seed_ = seed();
    memory->token_ = answer_.token;
    memory->instances_.reserve(slices_.size());
    memory->order_.reserve(slices_.size());
    Answer answer{.endpoints = {}, .index = answer_.index};
    answer.endpoints.reserve(slices_.size());
    for (const std::string_view text : slices_) {
        auto one = reader_.read(text, answer_.now);
        if (!one) return malformed_answer(answer_.body, one.error().what);
        if (memory != nullptr && !remember(*memory, *one, text)) memory = nullptr;
        if (one->is_callable) answer.endpoints.push_back(std::move(one->endpoint));
    }
    order_endpoints(answer.endpoints);
    return News{.what = std::move(answer), .memory = std::move(memory)};
}

bool HealthReader::remember(
    HealthMemory& memory, const HealthInstance& one, std::string_view text
) {
    if (one.is_renewed) return false;
    const auto [at, is_new] = memory.instances_.try_emplace(
        one.endpoint.id,
        HealthMemory::Instance{
            .node = core::hash64(one.endpoint.node, memory.seed_),
            .fingerprint = core::hash64(text, memory.seed_),
            .length = text.size(),
            .place = memory.order_.size()
        }
    );
    if (!is_new) return false;
    memory.order_.push_back(&*at);
    memory.sum_ += at->second.fingerprint;
    return true;
}

bool HealthReader::take(
    HealthMemory& memory, HealthInstance one, std::string_view text, Patch& patch
) {
    if (one.is_renewed) return false;
    const std::uint64_t node = core::hash64(one.endpoint.node, memory.seed_);
    const auto [at, is_new] = memory.instances_.try_emplace(one.endpoint.id);
    HealthMemory::Instance& stored = at->second;
    if (!is_new && stored.node != node) return false;
    memory.sum_ -= stored.fingerprint;
    stored.node = node;
    stored.fingerprint = core::hash64(text, memory.seed_);
    stored.length = text.size();
    memory.sum_ += stored.fingerprint;
    if (one.is_callable) {
        patch.changed.push_back(std::move(one.endpoint));
    } else {
        patch.removed.push_back(std::move(one.endpoint.id));
    }
    return true;
}

News HealthReader::news(Patch patch, std::unique_ptr<HealthMemory>& memory) const {
    patch.index = answer_.index;
    tidy(patch);
    return News{.what = std::move(patch), .memory = std::move(memory)};
}

// Both in about the same order: one walk, which finds its place again by the ids of what changed.
// What is as it was is known by its length and fingerprint, and not even looked through.
std::optional<News> HealthReader::difference(std::unique_ptr<HealthMemory>& memory) {
    if (memory->order_.empty() || memory->seed_ != seed()) return std::nullopt;
    const std::vector<HealthMemory::Instances::value_type*> old = std::exchange(memory->order_, {});
    std::vector<bool> is_seen(old.size());
    auto& order = memory->order_;
    order.reserve(old.size());
    Patch patch;
    std::size_t next = 0;
    Walk walk(answer_.body, 0);
    while (!walk.is_done()) {
        if (next < old.size() && !is_seen[next]) {
            HealthMemory::Instance& one = old[next]->second;
            const bool is_same = walk.skip_if(one.length, [&](std::string_view text) {
                return core::hash64(text, memory->seed_) == one.fingerprint;
            });
            if (is_same) {
                is_seen[next] = true;
                one.place = order.size();
                order.push_back(old[next++]);
                continue;
            }
        }
        const std::string_view text = walk.next();
        if (text.empty()) break;
        auto one = reader_.read(text, answer_.now);
        if (!one) return std::nullopt;
        const auto known = memory->instances_.find(one->endpoint.id);
        if (known != memory->instances_.end()) {
            const std::size_t place = known->second.place;
            const bool is_old = place < old.size() && old[place] == &*known;
            if (!is_old || is_seen[place]) return std::nullopt;  // an id that is there twice
            is_seen[place] = true;
            next = place + 1;
            const bool is_same = known->second.length == text.size() &&
                                 known->second.fingerprint == core::hash64(text, memory->seed_);
            if (is_same) {  // only its neighbours are others
                known->second.place = order.size();
                order.push_back(&*known);
                continue;
            }
        }
        const std::string id = one->endpoint.id;
        if (!take(*memory, *std::move(one), text, patch)) return std::nullopt;
        const auto at = memory->instances_.find(id);
        at->second.place = order.size();
        order.push_back(&*at);
    }
    const bool is_all = walk.is_done() &&
                        skip_space(answer_.body, walk.end()) == answer_.body.size() &&
                        order.size() >= kDeltaInstancesMin;
    if (!is_all) return std::nullopt;
    for (std::size_t place = 0; place < old.size(); ++place) {
        if (is_seen[place]) continue;
        memory->sum_ -= old[place]->second.fingerprint;
        patch.removed.push_back(old[place]->first);
        memory->instances_.erase(patch.removed.back());
    }
    memory->token_ = answer_.token;
    return news(std::move(patch), memory);
}

std::optional<News> HealthReader::delta(std::unique_ptr<HealthMemory>& memory) {
    Delta delta;
    if (answer_.token != memory->token_ || !read_delta(answer_.body, delta)) return std::nullopt;
    memory->order_.clear();
    Patch patch;
    for (auto& [node, id] : delta.removed) {
        const auto at = memory->instances_.find(id);
        if (at == memory->instances_.end()) continue;
        if (at->second.node != core::hash64(node, memory->seed_)) continue;
        memory->sum_ -= at->second.fingerprint;
        memory->instances_.erase(at);
        patch.removed.push_back(std::move(id));
    }
    for (const std::string_view text : delta.changed) {
        auto one = reader_.read(text, answer_.now);
        if (!one) return std::nullopt;
        if (!take(*memory, *std::move(one), text, patch)) return std::nullopt;
    }
    const bool is_same = memory->instances_.size() == delta.count && memory->sum_ == delta.digest;
    if (!is_same) return std::nullopt;
    return news(std::move(patch), memory);
}

Result<std::optional<News>> read_health(
    const HealthAnswer& answer,
    std::uint64_t known,
    std::unique_ptr<HealthMemory> memory,
    std::uint64_t seed
) {
    if (answer.index < known) memory = nullptr;  // another history
    if (answer.since) {
        if (memory == nullptr || *answer.since != known) return std::optional<News>();
        return HealthReader(answer, seed).delta(memory);
    }
    if (memory != nullptr) {
        auto news = HealthReader(answer, seed).difference(memory);
        if (news) return Result<std::optional<News>>(std::move(news));
    }
    auto news = HealthReader(answer, seed).whole();
    if (!news) return std::move(news).error();
    return std::optional<News>(*std::move(news));
}

}  // namespace datapunk::mesh::registry::consul
