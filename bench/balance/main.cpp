// sim_balance [--csv FILE] SCENARIO...: every algorithm on every scenario, beside the oracle, as a
// table; the same as comma separated values for tools/plot_balance.py.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "balance/simulation.h"

namespace {

using namespace datapunk::mesh;

std::vector<std::pair<std::string, ServicePolicy>> contestants() {
    // Balancing alone; and the default with everything else that is on by default.
    ServicePolicy alone;
    alone.breaker.enabled = false;
    alone.outlier.enabled = false;
    alone.limits.requests = 1'000'000;
    const auto with = [&](BalanceConfig balance) {
        ServicePolicy policy = alone;
        policy.balance = balance;
        return policy;
    };
    ServicePolicy all;
    all.limits.requests = 1'000'000;
    ServicePolicy slow_start = with(RoundRobin{});
    slow_start.slow_start.window = std::chrono::seconds(10);
    const auto ahead = [&](BalanceConfig balance) {
        ServicePolicy policy = with(std::move(balance));
        policy.forecast.balance = true;
        return policy;
    };
    return {
        {"defaults", all},
        {"peak_ewma", with(PeakEwma{})},
        {"peak_ewma, 4 choices", with(PeakEwma{.choices = 4})},
        {"least_request", with(LeastRequest{})},
        {"round_robin", with(RoundRobin{})},
        {"weighted_round_robin", with(WeightedRoundRobin{})},
        {"static_stride", with(StaticStride{})},
        {"random", with(Random{})},
        {"weighted_response_time", with(WeightedResponseTime{})},
        {"adaptive", with(Adaptive{})},
        {"round_robin, slow start", slow_start},
        {"round_robin, forecast", ahead(RoundRobin{})},
        {"peak_ewma, forecast", ahead(PeakEwma{})},
        {"w_response_time, forecast", ahead(WeightedResponseTime{})},
    };
}

void print(
    std::FILE* csv,
    const std::string& scenario,
    const char* name,
    const bench::Measured& measured,
    double oracle_p99
) {
    if (csv != nullptr) {
        std::fprintf(
            csv,
            "%s,\"%s\",%.3f,%.3f,%.3f,%.4f,%.4f,%.5f,%.5f\n",
            scenario.c_str(),
            name,
            measured.p50_ms,
            measured.p99_ms,
            measured.p999_ms,
            measured.p99_ms / oracle_p99,
            measured.imbalance,
            measured.bad_share,
            measured.failed
        );
    }
    std::printf(
        "  %-24s %8.2f %8.2f %8.2f %8.2f %10.3f %9.2f%% %8.2f%%\n",
        name,
        measured.p50_ms,
        measured.p99_ms,
        measured.p999_ms,
        measured.p99_ms / oracle_p99,
        measured.imbalance,
        measured.bad_share * 100,
        measured.failed * 100
    );
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2 || std::string_view(argv[1]) == "--help") {
        std::printf(
            "usage: sim_balance [--csv FILE] SCENARIO...   (files as in bench/balance/scenarios)\n"
        );
        return argc < 2 ? 2 : 0;
    }
    int first = 1;
    std::FILE* csv = nullptr;
    if (argc > 3 && std::string_view(argv[1]) == "--csv") {
        csv = std::fopen(argv[2], "w");
        if (csv == nullptr) {
            std::fprintf(stderr, "sim_balance: %s: cannot be written\n", argv[2]);
            return 1;
        }
        std::fprintf(
            csv, "scenario,algorithm,p50_ms,p99_ms,p999_ms,p99_ratio,imbalance,bad,failed\n"
        );
        first = 3;
    }
    constexpr std::uint64_t kSeed = 1;
    for (int i = first; i < argc; ++i) {
        std::ifstream file(argv[i]);
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        auto scenario = bench::parse_scenario(std::filesystem::path(argv[i]).stem(), text);
        if (!file || !scenario) {
            const std::string why = file ? scenario.error().what : "cannot be read";
            std::fprintf(stderr, "sim_balance: %s: %s\n", argv[i], why.c_str());
            return 1;
        }
        const auto oracle = bench::simulate(*scenario, std::nullopt, kSeed);
        std::printf(
            "%s, %llu calls\n  %-24s %8s %8s %8s %8s %10s %10s %9s\n",
            scenario->name.c_str(),
            static_cast<unsigned long long>(oracle.calls),
            "",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "/oracle",
            "imbalance",
            "to bad",
            "failed"
        );
        print(csv, scenario->name, "oracle", oracle, oracle.p99_ms);
        for (const auto& [name, policy] : contestants()) {
            const auto measured = bench::simulate(*scenario, policy, kSeed);
            print(csv, scenario->name, name.c_str(), measured, oracle.p99_ms);
            std::fflush(stdout);
        }
        std::printf("\n");
    }
    if (csv != nullptr && std::fclose(csv) != 0) return 1;
    return 0;
}
