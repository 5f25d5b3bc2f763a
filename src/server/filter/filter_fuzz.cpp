// Any bytes as ?filter=: no crash, no exception, no stack or time without bound; what compiles can
// be asked about a row.

#include <cstdint>
#include <string_view>

#include "server/filter/filter_rows.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    catalog::CatalogNode node;
    node.row.name = "n";
    node.row.meta = {{"a", "b"}};
    catalog::Instance instance;
    instance.row.id = instance.row.name = "web";
    instance.row.tags = {"v1"};
    instance.row.tagged_addresses = {{"lan", {"10.0.0.1", 80}}};
    instance.checks["c"].id = "c";
    const server::InstanceView view{{&node, &instance}, "dc1"};
    if (const auto filter = server::Filter::compile(text, server::health_schema())) {
        (void)filter->matches(&view);
    }
    if (const auto filter = server::Filter::compile(text, server::catalog_service_schema())) {
        (void)filter->matches(&view);
    }
    return 0;
}
