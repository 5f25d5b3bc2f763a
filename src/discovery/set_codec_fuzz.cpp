// Whatever reads as a set is one that could be written, and is written and read the same again.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "discovery/endpoint_diff.h"
#include "discovery/set_codec.h"
#include "discovery/snapshot.h"

namespace {

using namespace datapunk::mesh::discovery;

void require(bool holds) {
    if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (const auto one = decode_set(bytes)) {
        const auto again = decode_set(encode_set(*one->set, one->age));
        require(again.ok());
        require(is_same(again->set->endpoints, one->set->endpoints));
        require(content_hash(again->set->endpoints) == content_hash(one->set->endpoints));
        require(again->set->service == one->set->service && again->age == one->age);
    }
    (void)decode_sets(bytes);
    (void)decode_snapshot(bytes);
    return 0;
}
