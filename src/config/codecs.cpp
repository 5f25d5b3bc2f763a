#include "config/codecs.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/utf8.h"

namespace datapunk::mesh::config {

namespace {

constexpr std::size_t kTextBytesMax = 4096;  // longer than any path or URL; a value, not a document
constexpr std::size_t kShownBytesMax = 64;

std::string in_quotes(std::string_view text) {
    return fmt::format("\"{}\"", text.substr(0, kShownBytesMax));
}

bool scalar(const ReadSpot& spot, std::string_view wanted) {
    if (spot.tree.kind == Tree::Kind::scalar) return true;
    spot.reader.fail(
        spot.tree, spot.path, fmt::format("must be {}, not {}", wanted, to_string(spot.tree.kind))
    );
    return false;
}

bool refuse(const ReadSpot& spot, std::string_view wanted, std::string hint = {}) {
    spot.reader.fail(
        spot.tree,
        spot.path,
        fmt::format("{} is not {}", in_quotes(spot.tree.text), wanted),
        std::move(hint)
    );
    return false;
}

bool in_range(double value, Shape::Kind kind, const ReadSpot& spot) {
    const ValueRange& limits = spot.limits;
    const bool low = limits.min && (limits.is_open ? value <= *limits.min : value < *limits.min);
    const bool high = limits.max && value > *limits.max;
    if (!low && !high) return true;
    spot.reader.fail(
        spot.tree,
        spot.path,
        fmt::format("{} is out of range: must be {}", spot.tree.text, limits_text(limits, kind))
    );
    return false;
}

bool is_all_digits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

bool expect(Tree::Kind kind, const ReadSpot& spot) {
    if (spot.tree.kind == kind || spot.tree.kind == Tree::Kind::null) return true;
    spot.reader.fail(
        spot.tree,
        spot.path,
        fmt::format("must be {}, not {}", to_string(kind), to_string(spot.tree.kind))
    );
    return false;
}

bool read_text(std::string& to, const ReadSpot& spot) {
    if (!scalar(spot, "text")) return false;
    const std::string& text = spot.tree.text;
    if (text.size() > kTextBytesMax)
        return refuse(spot, fmt::format("short enough: at most {} bytes", kTextBytesMax));
    if (!core::is_utf8(text)) {
        spot.reader.fail(spot.tree, spot.path, "is not UTF-8");
        return false;
    }
    if (text.starts_with("${"))
        return refuse(spot, "read here", "references like ${env:NAME} work in secret fields only");
    to = text;
    return true;
}

bool read_boolean(bool& to, const ReadSpot& spot) {
    if (!scalar(spot, "true or false")) return false;
    if (spot.tree.text != "true" && spot.tree.text != "false") return refuse(spot, "true or false");
    to = spot.tree.text == "true";
    return true;
}

bool read_integer(std::uint64_t& to, std::uint64_t type_max, const ReadSpot& spot) {
    if (!scalar(spot, "a whole number")) return false;
    const std::string& text = spot.tree.text;
    if (!is_all_digits(text)) return refuse(spot, "a whole number");
    if (text.size() > 1 && text.front() == '0')
        return refuse(spot, "a whole number", "leave out the leading zero");
    const auto value = core::parse_number<std::uint64_t>(text);
    if (!value || (*value > type_max && !spot.limits.max))
        return refuse(spot, fmt::format("at most {}", type_max));
    if (!in_range(static_cast<double>(*value), Shape::Kind::integer, spot)) return false;
    to = *value;
    return true;
}

bool read_number(double& to, const ReadSpot& spot) {
    if (!scalar(spot, "a number")) return false;
    const std::string& text = spot.tree.text;
    double value = 0;
    const auto [end, problem] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::general);
    const bool whole = problem == std::errc() && end == text.data() + text.size();
    if (!whole || !std::isfinite(value)) return refuse(spot, "a number", "write it like 0.5");
    if (!in_range(value, Shape::Kind::number, spot)) return false;
    to = value;
    return true;
}

bool read_duration(Duration& to, const ReadSpot& spot) {
    if (!scalar(spot, "a duration")) return false;
    if (is_all_digits(spot.tree.text) && spot.tree.text != "0")
        return refuse(spot, "a duration", "add a unit: " + spot.tree.text.substr(0, 20) + "s?");
    const Result<Duration> value = core::parse_duration(spot.tree.text);
    if (!value) return refuse(spot, "a duration", "write 250ms, 10s or 1m30s");
    if (!in_range(in_limits(value.value()), Shape::Kind::duration, spot)) return false;
    if (value.value() < Duration::zero()) return refuse(spot, "zero or more");
    to = value.value();
    return true;
}

bool read_choice(std::size_t& to, const std::vector<std::string>& choices, const ReadSpot& spot) {
    if (!scalar(spot, "text")) return false;
    const auto found = std::find(choices.begin(), choices.end(), spot.tree.text);
    if (found == choices.end()) {
        const std::vector<std::string_view> views(choices.begin(), choices.end());
        return refuse(
            spot,
            fmt::format("one of {}", fmt::join(choices, ", ")),
            suggestion(spot.tree.text, views)
        );
    }
    to = static_cast<std::size_t>(found - choices.begin());
    return true;
}

// A secret's text never gets into a problem: only the name of where it should have come from does.
bool read_secret(Secret& to, const ReadSpot& spot) {
    if (!scalar(spot, "text")) return false;
    const std::string_view text = spot.tree.text;
    const auto fail = [&](std::string what) {
        spot.reader.fail(spot.tree, spot.path, std::move(what));
        return false;
    };
    if (text == kRedacted) return fail("is a redacted value: put the secret itself here");
    if (text.size() > kTextBytesMax) return fail("is longer than 4096 bytes");
    if (!text.starts_with("${")) {
        to = Secret(std::string(text));
        return true;
    }
    constexpr std::string_view kEnv = "${env:";
    constexpr std::string_view kFile = "${file:";
    if (!text.ends_with("}") || (!text.starts_with(kEnv) && !text.starts_with(kFile)))
        return fail("a reference is ${env:NAME} or ${file:/path}");
    if (text.starts_with(kEnv)) {
        const std::string name(text.substr(kEnv.size(), text.size() - kEnv.size() - 1));
        const auto* environment = spot.reader.secrets.environment;
        if (environment == nullptr || environment->find(name) == environment->end())
            return fail(fmt::format("environment variable {} is not set", name));
        to = Secret(environment->at(name));
        return true;
    }
    const std::string path(text.substr(kFile.size(), text.size() - kFile.size() - 1));
    if (!spot.reader.secrets.read_file) return fail("files cannot be read here");
    Result<std::string> content = spot.reader.secrets.read_file(path);
    if (!content) return fail(content.error().what);
    std::string secret = std::move(content).value();
    while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r')) secret.pop_back();
    if (secret.empty()) return fail(fmt::format("file {} is empty", path));
    to = Secret(std::move(secret));
    return true;
}

bool read_host_port(NetworkAddress& to, const ReadSpot& spot) {
    constexpr const char* kHint = "write 10.0.0.5:8080, name:8080 or [::1]:8080";
    if (!scalar(spot, "host:port")) return false;
    std::string_view host = spot.tree.text;
    const std::size_t colon = host.rfind(':');
    if (colon == std::string_view::npos) return refuse(spot, "host:port", kHint);
    const auto port = core::parse_number<std::uint16_t>(host.substr(colon + 1));
    host = host.substr(0, colon);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (bracketed) host = host.substr(1, host.size() - 2);
    const bool is_v6 = host.find(':') != std::string_view::npos;
    if (!port || *port == 0 || host.empty() || host.size() > 255 || is_v6 != bracketed ||
        host.find_first_of("[]/@ ") != std::string_view::npos)
        return refuse(spot, "host:port", kHint);
    to = {.host = std::string(host), .port = *port};
    return true;
}

std::string number_text(double value) {
    return fmt::format("{}", value);
}

std::string host_port_text(const NetworkAddress& value) {
    const bool is_v6 = value.host.find(':') != std::string::npos;
    return fmt::format(fmt::runtime(is_v6 ? "[{}]:{}" : "{}:{}"), value.host, value.port);
}

}  // namespace datapunk::mesh::config
