#include "balance/scenario.h"

#include <charconv>
#include <optional>
#include <sstream>

namespace datapunk::mesh::bench {
namespace {

template <class T>
bool number(const std::string& text, T& out) {
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, out);
    return error == std::errc{} && at == end;
}

bool duration(const std::string& text, Duration& out) {
    const std::size_t unit = text.find_first_not_of("0123456789.");
    double value = 0;
    if (unit == std::string::npos || !number(text.substr(0, unit), value)) return false;
    const std::string name = text.substr(unit);
    const double ns = name == "s" ? 1e9 : name == "ms" ? 1e6 : name == "us" ? 1e3 : 0;
    out = Duration(static_cast<std::int64_t>(value * ns));
    return ns > 0;
}

bool range(const std::string& text, ScenarioEvent& event) {
    const std::size_t dash = text.find('-');
    if (!number(text.substr(0, dash), event.first)) return false;
    event.last = event.first;
    return dash == std::string::npos || number(text.substr(dash + 1), event.last);
}

bool event_of(const std::vector<std::string>& words, ScenarioEvent& event) {
    using Kind = ScenarioEvent::Kind;
    if (words.size() < 4 || !duration(words[1], event.at) || !range(words[2], event)) return false;
    const std::string& what = words[3];
    if (what == "slow") {
        event.kind = Kind::slow;
        return words.size() == 5 && number(words[4], event.factor) && event.factor > 0;
    }
    if (what == "fail") {
        event.kind = Kind::fail;
        return words.size() == 5 && duration(words[4], event.fails_after);
    }
    event.kind = what == "leave" ? Kind::leave : what == "join" ? Kind::join : Kind::well;
    return words.size() == 4 && (what == "leave" || what == "join" || what == "well");
}

bool weights_of(const std::vector<std::string>& words, std::vector<std::uint32_t>& weights) {
    weights.clear();
    for (std::size_t i = 1; i < words.size(); ++i) {
        weights.push_back(0);
        if (!number(words[i], weights.back()) || weights.back() == 0) return false;
    }
    return !weights.empty();
}

bool understand(const std::vector<std::string>& words, Scenario& to) {
    const std::string& key = words[0];
    if (key == "weights") return weights_of(words, to.weights);
    if (key == "at") return event_of(words, to.events.emplace_back());
    if (words.size() != 2) return false;
    const std::string& value = words[1];
    if (key == "endpoints") return number(value, to.endpoints) && to.endpoints > 0;
    if (key == "concurrency") return number(value, to.concurrency) && to.concurrency > 0;
    if (key == "clients") return number(value, to.clients) && to.clients > 0;
    if (key == "spread") return number(value, to.spread) && to.spread >= 0;
    if (key == "load") return number(value, to.load) && to.load > 0;
    if (key == "service_time") return duration(value, to.service_time);
    if (key == "warm_up") return duration(value, to.warm_up);
    if (key == "duration") return duration(value, to.duration);
    return false;
}

}  // namespace

Result<Scenario> parse_scenario(std::string name, std::string_view text) {
    Scenario scenario{.name = std::move(name)};
    std::istringstream lines{std::string(text)};
    std::string line;
    for (int at = 1; std::getline(lines, line); ++at) {
        std::istringstream rest(line.substr(0, line.find('#')));
        std::vector<std::string> words;
        for (std::string word; rest >> word;) words.push_back(word);
        if (words.empty() || understand(words, scenario)) continue;
        return Error{
            .code = Code::invalid,
            .what = scenario.name + ":" + std::to_string(at) + ": cannot be understood: " + line
        };
    }
    for (const ScenarioEvent& event : scenario.events) {
        if (event.first > event.last || event.last >= scenario.endpoints) {
            return Error{
                .code = Code::invalid,
                .what = scenario.name + ": an event names an endpoint that does not exist"
            };
        }
    }
    return scenario;
}

}  // namespace datapunk::mesh::bench
