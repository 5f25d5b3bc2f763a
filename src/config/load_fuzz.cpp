// Whatever the bytes are: load() ends, and says either a Config or why not. A Config that was
// accepted reads back the same when written out.

#include <cstddef>
#include <cstdint>
#include <string>

#include "config/effective.h"
#include "config/load.h"
#include "core/assert.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace datapunk::mesh::config;
    const std::string input(reinterpret_cast<const char*>(data), size);
    const std::size_t half = input.find('\xff');  // what follows is the environment
    Sources sources{
        .files = {{"a.yaml", input.substr(0, half)}}, .environment = {}, .read_secret_file = {}
    };
    if (half != std::string::npos) {
        const std::string rest = input.substr(half + 1);
        const std::size_t equals = rest.find('=');
        if (equals != std::string::npos)
            sources.environment["MESH_" + rest.substr(0, equals)] = rest.substr(equals + 1);
    }
    const Loaded loaded = load(sources);
    MESH_ASSERT(loaded.config.has_value() == loaded.problems.empty());
    if (!loaded.config) return 0;
    const Tree tree = effective(loaded);
    to_json(tree);
    const bool has_secret =
        !loaded.config->admin.token.empty() || !loaded.config->registry.consul.token.empty();
    if (has_secret) return 0;
    const Loaded again =
        load({.files = {{"b.yaml", to_yaml(tree)}}, .environment = {}, .read_secret_file = {}});
    MESH_ASSERT(again.config == loaded.config);
    return 0;
}
