// Several registries in one mesh, through the public interface.

#include <datapunk/mesh/mesh.h>
#include <gmock/gmock.h>

namespace datapunk::mesh {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Fixed fixed(const std::string& id, std::uint16_t port) {
    return {
        .services = {{"api", {{.id = id, .service = "api", .host = "10.0.0.1", .port = port}}}}
    };
}

std::vector<std::string> discovered(Merged::Mode mode) {
    Merged both{.mode = mode};
    both.members.push_back({.name = "near", .registry = fixed("a", 1)});
    both.members.push_back({.name = "far", .registry = fixed("b", 2)});
    MeshOptions options;
    options.registry = both;
    auto mesh = ServiceMesh::create(std::move(options));
    EXPECT_TRUE(mesh) << mesh.error().what;
    const auto set = mesh->discover_service("api");
    EXPECT_TRUE(set) << set.error().what;
    std::vector<std::string> ids;
    for (const ServiceEndpoint& one : (*set)->endpoints) ids.push_back(one.id);
    return ids;
}

TEST(MergedMesh, FindsWhatItsRegistriesKnow) {
    EXPECT_THAT(discovered(Merged::Mode::priority), ElementsAre("a"));
    EXPECT_THAT(discovered(Merged::Mode::all), ElementsAre("a", "b"));
}

TEST(MergedMesh, RefusesMembersThatMakeNoSense) {
    MeshOptions options;
    options.registry = Merged{.members = {{.name = "one", .registry = fixed("a", 1)}}};
    const auto mesh = ServiceMesh::create(std::move(options));
    ASSERT_FALSE(mesh);
    EXPECT_THAT(mesh.error().what, HasSubstr("two at least"));
}

}  // namespace
}  // namespace datapunk::mesh
