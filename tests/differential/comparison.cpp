#include "comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace datapunk::mesh::differential {

namespace {

using Verdict = Reading::Verdict;

bool has_fold(std::string_view bytes) {
    return bytes.find("\r\n ") != std::string_view::npos ||
           bytes.find("\r\n\t") != std::string_view::npos;
}

template <std::size_t kBytes>
bool is_longer_than(std::string_view bytes) {
    return bytes.size() > kBytes;
}

bool has_many_lines(std::string_view bytes) {
    return std::count(bytes.begin(), bytes.end(), '\n') > 100;
}

bool has_tab_at_an_end(std::string_view bytes) {
    return bytes.find("\t\r\n") != std::string_view::npos ||
           bytes.find("\t ") != std::string_view::npos;
}

constexpr std::array kStricter = {
    // Limits of ours, which others leave to who uses them.
    Stricter{"head_too_large", "a head over 60 KiB", {}, is_longer_than<60UL * 1024>},
    Stricter{"target_too_long", "a target over 8 KiB", {}, is_longer_than<8UL * 1024>},
    Stricter{"too_many_fields", "more than 100 fields", {}, has_many_lines},
    Stricter{"trailer_too_large", "trailers over 8 KiB", {}, is_longer_than<8UL * 1024>},
    Stricter{
        "bad_content_length",
        "a tab behind the number, which is a part of it to llhttp",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\t\r\n\r\nabcde",
        has_tab_at_an_end
    },
    Stricter{
        "bad_content_length",
        "a length that stands on the next line",
        "HTTP/1.1 304 x\r\nContent-Length:\r\n 5\r\n\r\n",
        has_fold
    },
    Stricter{
        "bad_field_name",
        "a field without a name, or one that is no token",
        "GET / HTTP/1.1\r\n: b\r\nHost: a\r\n\r\n"
    },
    Stricter{"bad_host", "a Host that is no authority", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
    Stricter{
        "bad_method",
        "a second empty line before the message",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"
    },
    Stricter{"bad_request_line", "HTTP/0.9, and more than one blank", "GET /\r\n\r\n"},
    Stricter{
        "bad_status_line",
        "a status that is not three digits from 100 to 599",
        "HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n"
    },
    Stricter{
        "bad_target",
        "a target in none of the four forms, or with bytes that none may have",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n"
    },
    Stricter{
        "bad_version",
        "an empty line before an answer, blanks before the version",
        "\r\nHTTP/1.1 204 x\r\n\r\n"
    },
    Stricter{"bare_cr", "a return without its line feed", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    Stricter{"bare_lf", "a line feed without its return", "GET / HTTP/1.1\nHost: a\r\n\r\n"},
    Stricter{
        "chunk_extension",
        "readers differ about where they end",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n"
    },
    Stricter{
        "control_byte",
        "control bytes, in whatever place",
        "HTTP/1.1 404 a\x10z\r\nContent-Length: 0\r\n\r\n"
    },
    Stricter{
        "forbidden_trailer",
        "a trailer that frames, routes or authenticates",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: b\r\n\r\n"
    },
    Stricter{
        "host_mismatch",
        "a target and a Host that name different hosts",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"
    },
    Stricter{"no_host", "HTTP/1.1 without Host", "GET / HTTP/1.1\r\n\r\n"},
    Stricter{
        "obs_fold", "a field over several lines", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"
    },
    Stricter{
        "te_in_http10",
        "chunks in HTTP/1.0, which has none",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    },
    Stricter{"two_hosts", "Host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
    Stricter{
        "two_lengths",
        "Content-Length twice or as a list, also of the same number",
        "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\nHost: a\r\n\r\nabcde"
    },
    Stricter{
        "unknown_expectation",
        "an Expect that nobody knows",
        "GET / HTTP/1.1\r\nExpect: x\r\nHost: a\r\n\r\n"
    },
    Stricter{
        "unknown_transfer_coding",
        "Transfer-Encoding of anything but chunked, once and without a tab behind it",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\nabc"
    },
    Stricter{
        "unsupported_version",
        "a version of HTTP/1 that there is not",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n"
    },
};

bool has_unknown_method(const Reading& ours, std::string_view /*bytes*/) {
    return !ours.method.empty() && !is_method_of_llhttp(ours.method);
}

bool is_pri(const Reading& ours, std::string_view /*bytes*/) {
    return ours.method == "PRI";
}

bool begins_with_empty_line(const Reading& /*ours*/, std::string_view bytes) {
    return bytes.starts_with("\r\n");
}

bool has_status_line_without_reason(const Reading& ours, std::string_view bytes) {
    return ours.status != 0 && bytes.find("\r\n") == std::string_view("HTTP/1.1 200").size();
}

// Connection, Proxy-Connection and Upgrade are lists of tokens; one that is not names nothing.
bool has_odd_options(const Reading& ours, std::string_view /*bytes*/) {
    const auto is_odd = [](char c) {
        return !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
               std::string_view("!#$%&'*+-.^_`|~, \t").find(c) == std::string_view::npos;
    };
    const auto fields = by_name(ours.fields);
    for (const char* name : {"connection", "proxy-connection", "upgrade"}) {
        const auto found = fields.find(name);
        if (found == fields.end()) continue;
        for (const std::string& value : found->second) {
            const bool two_words = value.find_first_of(" \t") != std::string::npos;
            if (two_words || std::any_of(value.begin(), value.end(), is_odd)) return true;
        }
    }
    return false;
}

constexpr std::array kNarrower = {
    Narrower{
        Other::llhttp,
        "HPE_INVALID_VERSION",
        "PRI is HTTP/2's preface to it, and nothing else; a method like others to us",
        "PRI / HTTP/1.1\r\nHost: a\r\n\r\n",
        is_pri
    },
    Narrower{
        Other::llhttp,
        "HPE_INVALID_METHOD",
        "it has a list of methods; we pass any token on",
        "BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
        has_unknown_method
    },
    Narrower{
        Other::beast,
        "bad method",
        "an empty line before a request is to be forgiven (RFC 9112 2.2)",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        begins_with_empty_line
    },
    Narrower{
        Other::beast,
        "bad status",
        "the blank before a reason that is not there may be missing",
        "HTTP/1.1 304\r\n\r\n",
        has_status_line_without_reason
    },
    Narrower{
        Other::beast,
        "bad value",
        "what is no token in Connection or Upgrade names nothing to us",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: a@b\r\n\r\n",
        has_odd_options
    },
};

std::string_view name_of(Other who) {
    return who == Other::llhttp ? "llhttp" : "Boost.Beast";
}

std::string told(const Reading& reading) {
    if (reading.verdict == Verdict::refused) return fmt::format("refuses it ({})", reading.why);
    if (reading.verdict == Verdict::unfinished) return "takes it for unfinished";
    return "takes it";
}

std::string difference(const Reading& ours, Other who, const Reading& theirs) {
    const bool is_connect = who == Other::beast && ours.method == "CONNECT";
    if (is_connect && theirs.method == "CONNECT" && theirs.bytes >= ours.bytes) return {};
    if (ours.bytes != theirs.bytes)
        return fmt::format("{} bytes to us and {} to it", ours.bytes, theirs.bytes);
    if (ours.body != theirs.body)
        return fmt::format(
            "a body of {} bytes to us, {} to it", ours.body.size(), theirs.body.size()
        );
    if (ours.method != theirs.method) return "another method";
    if (ours.target != theirs.target) return "another target";
    if (ours.status != theirs.status) return "another status";
    if (by_name(ours.fields) != by_name(theirs.fields)) return "other fields";
    if (ours.is_keep_alive && !theirs.is_keep_alive)
        return "the connection goes on to us and ends to it";
    return {};
}

void weigh(
    Judgement& out, const Reading& ours, Other who, const Reading& theirs, std::string_view bytes
) {
    if (ours.verdict == Verdict::whole && theirs.verdict == Verdict::refused) {
        for (const Narrower& one : kNarrower) {
            if (one.who == who && one.word == theirs.why && one.applies(ours, bytes))
                out.narrower[static_cast<int>(who)] = &one;
        }
        if (out.narrower[static_cast<int>(who)] != nullptr) return;
    } else if (ours.verdict == Verdict::refused && theirs.verdict == Verdict::whole) {
        for (const Stricter& one : kStricter) {
            if (one.reason == ours.why && (one.applies == nullptr || one.applies(bytes)))
                out.stricter = &one;
        }
        if (out.stricter != nullptr) return;
    } else if (ours.verdict == Verdict::whole && theirs.verdict == Verdict::whole) {
        const std::string differs = difference(ours, who, theirs);
        if (!differs.empty()) out.finding = fmt::format("{}: {}", name_of(who), differs);
        return;
    } else if (ours.verdict != Verdict::whole && theirs.verdict != Verdict::whole) {
        return;  // nobody takes it, as yet
    }
    out.finding = fmt::format("{} {}, ours {}", name_of(who), told(theirs), told(ours));
}

}  // namespace

std::span<const Stricter> stricter() {
    return kStricter;
}

std::span<const Narrower> narrower() {
    return kNarrower;
}

Judgement judge(
    const Reading& ours, const Reading& llhttp, const Reading& beast, std::string_view bytes
) {
    Judgement out;
    weigh(out, ours, Other::llhttp, llhttp, bytes);
    if (out.finding.empty()) weigh(out, ours, Other::beast, beast, bytes);
    return out;
}

Kind kind_of(std::string_view bytes) {
    const auto begin = bytes.find_first_not_of("\r\n");
    const bool is_answer =
        begin != std::string_view::npos && bytes.substr(begin).starts_with("HTTP/");
    return is_answer ? Kind::response : Kind::request;
}

Judgement compare(Kind kind, std::string_view bytes) {
    return judge(read_ours(kind, bytes), read_llhttp(kind, bytes), read_beast(kind, bytes), bytes);
}

std::string escaped(std::string_view bytes) {
    std::string out;
    for (const char c : bytes) {
        if (c == '\r') {
            out += "\\r";
        } else if (c == '\n') {
            out += "\\n";
        } else if (c >= ' ' && c <= '~') {
            out += c;
        } else {
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

}  // namespace datapunk::mesh::differential
