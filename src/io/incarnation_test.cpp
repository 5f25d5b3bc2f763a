#include "io/incarnation.h"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

namespace datapunk::mesh::io {
namespace {

TEST(Incarnation, IsAliveAsLongAsItsProcess) {
    const std::string ours = incarnation();
    ASSERT_FALSE(ours.empty());
    EXPECT_EQ(incarnation(), ours);
    EXPECT_EQ(life_of(ours), Life::alive);
    // A later process with our number.
    EXPECT_EQ(life_of(ours + "1"), Life::dead);

    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        const std::string its = incarnation();
        _exit(write(ends[1], its.data(), its.size()) > 0 ? 0 : 1);
    }
    char text[256];
    const ssize_t size = read(ends[0], text, sizeof text);
    ASSERT_GT(size, 0);
    const std::string its(text, static_cast<std::size_t>(size));
    EXPECT_NE(its, ours);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    EXPECT_EQ(life_of(its), Life::dead);
    close(ends[0]);
    close(ends[1]);
}

TEST(Incarnation, OfAnotherBootOrPlaceNothingIsKnown) {
    const std::string ours = incarnation();
    EXPECT_EQ(life_of("0" + ours), Life::unknown);
    EXPECT_EQ(life_of(""), Life::unknown);
    EXPECT_EQ(life_of("me"), Life::unknown);
    const std::string place = ours.substr(0, ours.find('.', ours.find('.') + 1));
    for (const char* rest : {"", ".", "..", ".x.1", ".1.x", ".1.", ".99999999999.1"}) {
        EXPECT_EQ(life_of(place + rest), Life::unknown) << rest;
    }
}

}  // namespace
}  // namespace datapunk::mesh::io
