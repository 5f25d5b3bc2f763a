#pragma once

// --name value flags of the examples.

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

namespace examples {

using Flags = std::map<std::string, std::string>;

// `flags` holds the defaults. Ends the process on a flag that is not among them.
inline void parse(int argc, char** argv, Flags& flags) {
    for (int i = 1; i < argc; i += 2) {
        const std::string name = argv[i];
        if (!name.starts_with("--") || !flags.contains(name.substr(2)) || i + 1 == argc) {
            std::cerr << "usage: " << argv[0];
            for (const auto& [flag, value] : flags)
                std::cerr << " [--" << flag << " " << value << "]";
            std::cerr << "\n";
            std::exit(2);
        }
        flags[name.substr(2)] = argv[i + 1];
    }
}

struct HostPort {
    std::string host;
    std::uint16_t port;
};

inline HostPort host_port(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    return {
        text.substr(0, colon), static_cast<std::uint16_t>(std::atoi(text.substr(colon + 1).c_str()))
    };
}

// Signals that main() waits for. Call before any thread starts, so that all inherit it.
inline sigset_t block_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int one : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) sigaddset(&set, one);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    return set;
}

}  // namespace examples
