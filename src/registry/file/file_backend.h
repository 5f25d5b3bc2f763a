#pragma once

// FileBackend: a registry that is a file, or a directory of files (services_file.h), kept by
// whoever writes it. Read-only.
//
//   told of a change, or `poll` is over ─► read ─► the same after `settle`? ─► parsed ─► in force
//                                           ▲           │ not yet     │ cannot be: the last good
//                                           └───────────┘             └ one stays, a line in the
//                                           log
//
// Until there has been a good one, questions are answered with what is wrong. One loop's object;
// tasks must end before it does.

#include <datapunk/mesh/result.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/log.h"
#include "io/file_watch.h"
#include "io/files.h"
#include "io/loop.h"
#include "registry/backend.h"
#include "registry/file/file_config.h"
#include "registry/file/services_file.h"

namespace datapunk::mesh::registry::file {

struct FileParts {
    io::Loop& loop;
    std::unique_ptr<io::Files> files;
    std::unique_ptr<io::FileWatch> watch;  // of config.path
    core::Logger log;
};

class FileBackend final : public ReadOnlyBackend {
  public:
    // Reads nothing yet. Code::invalid if the configuration is not usable.
    static Result<std::unique_ptr<FileBackend>> create(FileParts parts, FileConfig config);

    std::string_view kind() const noexcept override { return "file"; }

    io::Task<Result<Answer>> wait(
        std::string service, std::uint64_t after, Duration longest, Instant deadline
    ) override;
    io::Task<Result<std::vector<ServiceSummary>>> services(Instant deadline) override;

    // Why what the file says now is not in force.
    const std::optional<Error>& problem() const noexcept { return problem_; }

  private:
    using Texts = std::vector<NamedText>;

    struct Service {
        std::vector<ServiceEndpoint> endpoints;
        std::uint64_t index = 1;  // of its last change
    };

    FileBackend(FileParts parts, FileConfig config);

    // The first time, reads and begins to watch.
    void start();
    io::Task<void> follow_file();
    Result<Texts> read();
    bool is_tried(const Texts& texts) const;
    void put_in_force(const Result<Texts>& texts);
    void take(std::vector<ServiceEndpoint> endpoints);
    Answer answer(std::string_view service) const;

    FileParts parts_;
    FileConfig config_;
    bool is_started_ = false;
    bool is_good_ = false;        // there has been a good one
    std::optional<Texts> tried_;  // parsed last, good or not
    std::optional<Error> problem_;
    std::map<std::string, Service, std::less<>> services_;
    std::uint64_t index_ = 1;          // counts changes
    std::uint64_t removed_index_ = 1;  // when a service was last lost: the index of those not there
    io::Event changed_;
    io::TaskGroup tasks_;  // last: destroyed first
};

}  // namespace datapunk::mesh::registry::file
