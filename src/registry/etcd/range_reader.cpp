#include "registry/etcd/range_reader.h"

#include <iterator>
#include <utility>

namespace datapunk::mesh::registry::etcd {

namespace {

// About 1 MB of records.
constexpr std::uint64_t kPageKeys = 2'000;
// A compaction between two pages ends the reading; it is then begun anew.
constexpr int kTriesMax = 3;

}  // namespace

io::Task<Result<RangeAnswer>> read_prefix(
    EtcdClient& client, std::string prefix, Instant deadline
) {
    Error last;
    for (int tries = 0; tries < kTriesMax; ++tries) {
        RangeAnswer all;
        std::string from = prefix;
        bool is_first = true;
        for (;;) {
            const RangeRequest page{
                .key = from,
                .range_end = prefix_end(prefix),
                .limit = kPageKeys,
                .revision = is_first ? 0 : all.position.revision
            };
            const std::string body = range_body(page);
            auto answered = co_await client.ask("/v3/kv/range", body, deadline);
            auto part = answered ? parse_range(*answered) : Result<RangeAnswer>(answered.error());
            if (!part) {
                last = std::move(part).error();
                if (is_first || last.code != Code::invalid) co_return last;
                break;
            }
            if (is_first) all.position = part->position;
            is_first = false;
            const bool is_last = !part->more || part->kvs.empty();
            if (!is_last) from = part->kvs.back().key + '\0';
            all.kvs.insert(
                all.kvs.end(),
                std::make_move_iterator(part->kvs.begin()),
                std::make_move_iterator(part->kvs.end())
            );
            if (is_last) {
                all.count = all.kvs.size();
                co_return all;
            }
        }
    }
    co_return last;
}

}  // namespace datapunk::mesh::registry::etcd
