#include "registry/file/file_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "registry/instance_record.h"
#include "tree/yaml.h"

namespace datapunk::mesh::registry::file {

namespace {

constexpr std::size_t kFilesMax = 1'000;               // of a directory
constexpr std::size_t kBytesMax = 16UL * 1024 * 1024;  // of all of them
constexpr int kLooksMax = 100;                         // at a file that is never twice the same
constexpr std::size_t kFileBytesMax = tree::kFileBytesMax;  // what its reader takes

// Names that begin with a dot are editors' and Kubernetes' own.
bool is_services_file(std::string_view name) {
    return !name.starts_with('.') &&
           (name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json"));
}

}  // namespace

Result<std::unique_ptr<FileBackend>> FileBackend::create(FileParts parts, FileConfig config) {
    if (auto verdict = check(config); !verdict) return verdict.error();
    return std::unique_ptr<FileBackend>(new FileBackend(std::move(parts), std::move(config)));
}

FileBackend::FileBackend(FileParts parts, FileConfig config)
    : parts_(std::move(parts)), config_(std::move(config)), changed_(parts_.loop) {}

Result<FileBackend::Texts> FileBackend::read() {
    Texts texts;
    const auto names = parts_.files->list(config_.path);
    if (!names) {
        auto text = parts_.files->read(config_.path, kFileBytesMax);
        if (!text) return std::move(text).error();
        texts.push_back({config_.path, *std::move(text)});
        return texts;
    }
    std::size_t bytes = 0;
    for (const std::string& name : *names) {
        if (!is_services_file(name)) continue;
        const std::string path = fmt::format("{}/{}", config_.path, name);
        auto text = parts_.files->read(path, kFileBytesMax);
        if (!text && text.error().code == Code::not_found) continue;  // gone since it was listed
        if (!text) return std::move(text).error();
        bytes += text->size();
        if (texts.size() == kFilesMax || bytes > kBytesMax) {
            return Error{
                .code = Code::exhausted,
                .what = fmt::format(
                    "{}: more than {} files or {} MiB", config_.path, kFilesMax, kBytesMax >> 20U
                )
            };
        }
        texts.push_back({path, *std::move(text)});
    }
    return texts;
}

void FileBackend::start() {
    if (is_started_) return;
    is_started_ = true;
    tasks_.spawn(follow_file());
}

io::Task<void> FileBackend::follow_file() {
    io::Loop& loop = parts_.loop;
    bool is_watched = true;
    auto watched = parts_.watch->refresh();
    auto texts = read();
    put_in_force(texts);
    for (;;) {
        if (!watched && is_watched) {
            parts_.log.warn(
                "changes of the registry's file are not told, looking from time to time",
                {{"path", config_.path}, {"error", watched.error().what}}
            );
        }
        is_watched = watched.ok();
        const Instant next_look = loop.now() + config_.poll;
        auto told = co_await parts_.watch->changed(next_look);
        if (!told) parts_.log.debug("looking at the registry's file", {{"path", config_.path}});
        watched = parts_.watch->refresh();
        texts = read();
        const bool is_same = texts && is_tried(*texts);
        if (is_same) continue;
        // Until nobody writes any more.
        bool is_settled = config_.settle == Duration::zero();
        for (int looks = 0; !is_settled && looks < kLooksMax; ++looks) {
            co_await io::sleep_for(loop, config_.settle);
            auto again = read();
            is_settled = texts.ok() == again.ok() && (!texts || *texts == *again);
            texts = std::move(again);
        }
        put_in_force(texts);
    }
}

bool FileBackend::is_tried(const Texts& texts) const {
    return tried_ && *tried_ == texts;
}

void FileBackend::put_in_force(const Result<Texts>& texts) {
    if (texts && is_tried(*texts)) return;
    tried_.reset();
    if (texts) tried_ = *texts;
    auto parsed = texts ? parse_services_files(*texts, config_.endpoints_max)
                        : Result<std::vector<ServiceEndpoint>>(texts.error());
    if (!parsed) {
        Error error = std::move(parsed).error();
        error.source = Source::registry;
        error.retryable = true;  // it may be mended
        if (problem_ && *problem_ == error) return;
        parts_.log.warn(
            is_good_ ? "the registry's file cannot be used, keeping what it said before"
                     : "the registry's file cannot be used",
            {{"path", config_.path}, {"error", error.what}}
        );
        problem_ = std::move(error);
        changed_.set();
        changed_.clear();
        return;
    }
    if (problem_) parts_.log.info("the registry's file is good again", {{"path", config_.path}});
    problem_.reset();
    take(*std::move(parsed));
    is_good_ = true;
    changed_.set();
    changed_.clear();
}

void FileBackend::take(std::vector<ServiceEndpoint> endpoints) {
    std::map<std::string, std::vector<ServiceEndpoint>, std::less<>> wanted;
    for (ServiceEndpoint& one : endpoints) wanted[one.service].push_back(std::move(one));
    bool is_changed = false;
    const std::uint64_t next = index_ + 1;
    const std::size_t lost =
        std::erase_if(services_, [&](const auto& entry) { return !wanted.contains(entry.first); });
    if (lost > 0) {
        removed_index_ = next;
        is_changed = true;
    }
    for (auto& [name, its] : wanted) {
        Service& service = services_[name];
        if (service.endpoints == its) continue;
        service.endpoints = std::move(its);
        service.index = next;
        is_changed = true;
    }
    if (is_changed) index_ = next;
}

Answer FileBackend::answer(std::string_view service) const {
    const auto found = services_.find(service);
    if (found == services_.end()) return {.index = removed_index_};
    return {.endpoints = found->second.endpoints, .index = found->second.index};
}

io::Task<Result<Answer>> FileBackend::wait(
    std::string service, std::uint64_t after, Duration longest, Instant deadline
) {
    start();
    const Instant until = std::min(deadline, parts_.loop.now() + longest);
    for (;;) {
        Answer now = answer(service);
        const bool is_news = is_good_ && now.index != after;
        const bool is_over = after == 0 || parts_.loop.now() >= until;
        if (is_good_ && (is_news || is_over)) co_return now;
        if (!is_good_ && problem_) co_return *problem_;
        co_await changed_.wait(until);
    }
}

io::Task<Result<std::vector<ServiceSummary>>> FileBackend::services(Instant) {
    start();
    if (!is_good_ && problem_) co_return *problem_;
    std::vector<ServiceEndpoint> all;
    for (const auto& [name, service] : services_) {
        all.insert(all.end(), service.endpoints.begin(), service.endpoints.end());
    }
    co_return summarise(all);
}

}  // namespace datapunk::mesh::registry::file
