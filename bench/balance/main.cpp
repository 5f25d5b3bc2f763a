// sim_balance FILE...: every algorithm on every scenario, beside the oracle, as a table.

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
    return {
        {"defaults", all},
        {"peak_ewma", with(PeakEwma{})},
        {"peak_ewma, 4 choices", with(PeakEwma{.choices = 4})},
        {"least_request", with(LeastRequest{})},
        {"round_robin", with(RoundRobin{})},
        {"weighted_round_robin", with(WeightedRoundRobin{})},
        {"random", with(Random{})},
    };
}

void print(const char* name, const bench::Measured& measured, double oracle_p99) {
    std::printf(
        "  %-22s %8.2f %8.2f %8.2f %8.2f %10.3f %9.2f%% %8.2f%%\n",
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
        std::printf("usage: sim_balance SCENARIO...   (files as in bench/balance/scenarios)\n");
        return argc < 2 ? 2 : 0;
    }
    constexpr std::uint64_t kSeed = 1;
    for (int i = 1; i < argc; ++i) {
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
            "%s, %llu calls\n  %-22s %8s %8s %8s %8s %10s %10s %9s\n",
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
        print("oracle", oracle, oracle.p99_ms);
        for (const auto& [name, policy] : contestants()) {
            print(name.c_str(), bench::simulate(*scenario, policy, kSeed), oracle.p99_ms);
            std::fflush(stdout);
        }
        std::printf("\n");
    }
    return 0;
}
