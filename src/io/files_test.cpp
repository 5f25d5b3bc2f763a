#include "io/files.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "sim/sim_files.h"

namespace datapunk::mesh::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string make_directory() {
    std::string name = "/tmp/mesh_files_XXXXXX";
    return ::mkdtemp(name.data());
}

// The same promises from the kernel and from the simulation.
class FilesTest : public ::testing::TestWithParam<bool> {
  protected:
    FilesTest() : directory(make_directory()) {}

    ~FilesTest() override { std::filesystem::remove_all(directory); }

    Files& files() { return GetParam() ? static_cast<Files&>(simulated) : kernel; }

    std::string directory;
    KernelFiles kernel;
    sim::SimFiles simulated;
};

INSTANTIATE_TEST_SUITE_P(Both, FilesTest, ::testing::Values(false, true), [](const auto& which) {
    return which.param ? "Simulated" : "Kernel";
});

TEST_P(FilesTest, ReadsWhatWasWrittenAndReplacesIt) {
    const std::string path = directory + "/a";
    ASSERT_TRUE(files().write_atomic(path, "one").ok());
    EXPECT_EQ(files().read(path, 3).value(), "one");
    const std::string big(100'000, 'x');
    ASSERT_TRUE(files().write_atomic(path, big).ok());
    EXPECT_TRUE(files().read(path, 100'000).value() == big);
    ASSERT_TRUE(files().write_atomic(path, "").ok());
    EXPECT_EQ(files().read(path, 0).value(), "");
}

TEST(KernelFilesTest, RefusesAtOnceWhatIsNoRegularFile) {
    const std::string directory = make_directory();
    const std::string fifo = directory + "/fifo";
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    KernelFiles files;
    for (const std::string& path : {fifo, std::string("/dev/zero"), std::string("/dev/null")}) {
        const auto read = files.read(path, 100);
        ASSERT_FALSE(read.ok()) << path;
        EXPECT_EQ(read.error().code, Code::invalid);
        EXPECT_EQ(read.error().what, "read " + path + ": it is not a regular file");
    }
    EXPECT_THAT(files.read(directory, 100).error().what, HasSubstr("directory"));
    const std::string link = directory + "/link";
    ASSERT_TRUE(files.write_atomic(directory + "/file", "text").ok());
    std::filesystem::create_symlink(directory + "/file", link);
    EXPECT_EQ(files.read(link, 100).value(), "text");
    std::filesystem::remove_all(directory);
}

TEST_P(FilesTest, RefusesToReadMoreThanAllowed) {
    const std::string path = directory + "/a";
    ASSERT_TRUE(files().write_atomic(path, "four").ok());
    const auto large = files().read(path, 3);
    ASSERT_FALSE(large.ok());
    EXPECT_EQ(large.error().code, Code::exhausted);
    EXPECT_EQ(large.error().what, "read " + path + ": more than 3 bytes");
}

TEST_P(FilesTest, AMissingFileIsNotFoundAndNamed) {
    const auto missing = files().read(directory + "/none", 10);
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(missing.error().code, Code::not_found);
    EXPECT_EQ(missing.error().what, "read " + directory + "/none: No such file or directory");
    EXPECT_EQ(files().list(directory + "/none").error().code, Code::not_found);
}

TEST_P(FilesTest, ListsSortedAndRemoves) {
    for (const char* name : {"/b", "/a", "/c"}) {
        ASSERT_TRUE(files().write_atomic(directory + name, "x").ok());
    }
    EXPECT_THAT(files().list(directory).value(), ElementsAre("a", "b", "c"));
    ASSERT_TRUE(files().remove(directory + "/b").ok());
    ASSERT_TRUE(files().remove(directory + "/b").ok());
    EXPECT_THAT(files().list(directory).value(), ElementsAre("a", "c"));
}

TEST_P(FilesTest, AFailedWriteKeepsTheOldFileAndLeavesNothing) {
    const std::string path = directory + "/a";
    ASSERT_TRUE(files().write_atomic(path, "old").ok());
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const rlimit tight{.rlim_cur = 100, .rlim_max = limit.rlim_max};
    const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
    simulated.set_capacity(100);
    const auto full = files().write_atomic(path, std::string(1'000, 'x'));
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    std::signal(SIGXFSZ, old_handler);
    ASSERT_FALSE(full.ok());
    EXPECT_THAT(full.error().what, HasSubstr("write " + path));
    EXPECT_EQ(files().read(path, 10).value(), "old");
    EXPECT_THAT(files().list(directory).value(), ElementsAre("a"));
}

TEST(KernelFilesTest, KeepsSecretsFromOthersAndNamesAMissingDirectory) {
    const std::string directory = make_directory();
    KernelFiles files;
    ASSERT_TRUE(files.write_atomic(directory + "/key", "secret").ok());
    struct stat status{};
    ASSERT_EQ(::stat((directory + "/key").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    EXPECT_EQ(files.write_atomic(directory + "/no/key", "x").error().code, Code::not_found);
    EXPECT_FALSE(files.read(directory, 10).ok());
    std::filesystem::remove_all(directory);
}

TEST(SimFilesTest, FailsAsTold) {
    sim::SimFiles files;
    ASSERT_TRUE(files.write_atomic("/d/a", "old").ok());
    files.fail_writes(EIO);
    EXPECT_THAT(files.write_atomic("/d/a", "new").error().what, HasSubstr("Input/output error"));
    EXPECT_FALSE(files.remove("/d/a").ok());
    EXPECT_EQ(files.read("/d/a", 10).value(), "old");
    files.fail_reads(EIO);
    EXPECT_FALSE(files.read("/d/a", 10).ok());
    files.fail_writes(0);
    files.set_capacity(5);
    EXPECT_EQ(files.write_atomic("/d/b", "123").error().code, Code::exhausted);
    EXPECT_TRUE(files.write_atomic("/d/b", "12").ok());
}

}  // namespace
}  // namespace datapunk::mesh::io
