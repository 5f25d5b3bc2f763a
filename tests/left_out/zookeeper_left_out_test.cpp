// A build with -DMESH_ZOOKEEPER=OFF, or where libzookeeper-st is missing.

#include <gmock/gmock.h>

#include "io/epoll_loop.h"
#include "io/tcp.h"
#include "registry/zookeeper/zookeeper_backend.h"

namespace datapunk::mesh::registry::zookeeper {
namespace {

using testing::HasSubstr;

TEST(ZookeeperLeftOut, SaysThatItIsNotBuiltIn) {
    EXPECT_FALSE(is_built_in());
    const auto loop = *io::EpollLoop::create();
    io::KernelNetwork network(*loop);
    const auto made = create_zookeeper(*loop, network, {}, core::Logger());
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Code::invalid);
    EXPECT_THAT(made.error().what, HasSubstr("ZooKeeper is not built in"));
    EXPECT_FALSE(made.error().retryable);
}

TEST(ZookeeperLeftOut, WhatIsWrongWithTheConfigurationIsSaidFirst) {
    const auto loop = *io::EpollLoop::create();
    io::KernelNetwork network(*loop);
    const auto made = create_zookeeper(*loop, network, {.prefix = "mesh"}, core::Logger());
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error().what, HasSubstr("prefix"));
}

}  // namespace
}  // namespace datapunk::mesh::registry::zookeeper
