// ca: a certificate authority for development: made once, then it signs what sidecars show.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "apps/commands.h"
#include "core/strings.h"
#include "io/certificate_authority.h"
#include "io/epoll_loop.h"
#include "io/files.h"
#include "wire/spiffe_id.h"

namespace datapunk::mesh::apps {

namespace {

constexpr std::size_t kFileBytesMax = 64UL * 1024;
constexpr Duration kLifeMin = std::chrono::seconds(1);
constexpr Duration kLifeMax = std::chrono::hours(24 * 3650);

int fail(std::string_view what) {
    fmt::print(stderr, "dpmesh: {}\n", what);
    return exit_failed;
}

Result<Duration> life_of(const std::string& text) {
    auto life = core::parse_duration(text);
    if (!life) return std::move(life).error();
    if (*life < kLifeMin || *life > kLifeMax)
        return Error{.code = Code::invalid, .what = "--life must be between 1s and 87600h"};
    return *life;
}

// The key first: who follows the files waits a moment for the other one either way.
Result<> write_pair(const std::string& stem, const io::IssuedCertificate& issued) {
    io::KernelFiles files;  // mode 0600
    if (auto key = files.write_atomic(stem + ".key", issued.private_key); !key) return key;
    return files.write_atomic(stem + ".pem", issued.certificate);
}

Result<std::string> read_file(const std::string& path) {
    io::KernelFiles files;
    return files.read(path, kFileBytesMax);
}

}  // namespace

int run_ca_init(const CaCommand& command) {
    if (!wire::is_trust_domain(command.trust_domain)) {
        fmt::print(
            stderr,
            "dpmesh: \"{}\" is no trust domain: a-z, 0-9, '.', '-' and '_', such as mesh.example\n",
            command.trust_domain
        );
        return exit_usage;
    }
    const auto life = life_of(command.life);
    if (!life) return fail(life.error().what);
    const std::string stem = command.dir + "/ca";
    std::error_code failed;
    if (std::filesystem::exists(stem + ".key", failed) ||
        std::filesystem::exists(stem + ".pem", failed)) {
        return fail(fmt::format("{0}.pem or {0}.key is there already: it stays", stem));
    }
    std::filesystem::create_directories(command.dir, failed);
    if (failed) return fail(fmt::format("{}: {}", command.dir, failed.message()));
    auto loop = io::EpollLoop::create();
    if (!loop) return fail(loop.error().what);
    auto made = io::make_authority(command.trust_domain, (*loop)->wall_now(), *life);
    if (!made) return fail(made.error().what);
    if (auto written = write_pair(stem, *made); !written) return fail(written.error().what);
    fmt::print("{}.pem: the authority of spiffe://{}\n", stem, command.trust_domain);
    fmt::print("{}.key: its key: whoever has it can be anybody\n", stem);
    return exit_ok;
}

int run_ca_issue(const CaCommand& command) {
    const auto life = life_of(command.life);
    if (!life) return fail(life.error().what);
    auto authority = read_file(command.dir + "/ca.pem");
    if (!authority) return fail(authority.error().what + " (dpmesh ca init makes an authority)");
    auto key = read_file(command.dir + "/ca.key");
    if (!key) return fail(key.error().what);
    auto trust_domain = io::trust_domain_of(*authority);
    if (!trust_domain)
        return fail(fmt::format("{}/ca.pem: {}", command.dir, trust_domain.error().what));
    const std::string id = fmt::format("spiffe://{}/{}", *trust_domain, command.name);
    if (!wire::parse_spiffe_id(id)) {
        fmt::print(
            stderr,
            "dpmesh: \"{}\" is no workload's name: segments of letters, digits, '.', '-' and '_', "
            "such as web or prod/web\n",
            command.name
        );
        return exit_usage;
    }
    auto loop = io::EpollLoop::create();
    if (!loop) return fail(loop.error().what);
    auto issued = io::issue_certificate(
        *authority,
        *key,
        {.spiffe_id = id,
         .dns_names = command.dns_names,
         .addresses = command.addresses,
         .life = *life},
        (*loop)->wall_now()
    );
    if (!issued) return fail(issued.error().what);
    std::string name = command.name;
    std::replace(name.begin(), name.end(), '/', '-');
    const std::string stem = command.out.empty() ? command.dir + "/" + name : command.out;
    if (stem == command.dir + "/ca") return fail("that is the authority's own file: give --out");
    if (auto written = write_pair(stem, *issued); !written) return fail(written.error().what);
    fmt::print("{}.pem: {}\n{}.key: its key\n", stem, id, stem);
    return exit_ok;
}

}  // namespace datapunk::mesh::apps
