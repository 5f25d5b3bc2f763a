#pragma once

// What three parsers make of the same bytes, compared. Where we differ from the others it is on
// purpose, and in one of the lists below with its reason; anything else is a finding.
//
//   stricter   we refuse what another one takes, for one of these reasons of ours
//   narrower   another one refuses what we take, for a reason of its own that does not bind us
//
// Never excused: a message of another length, another body, another field, method, target or status
// than a parser that takes it reads; whole to one and unfinished to another; a connection that goes
// on to us and ends to another. (CONNECT has no body to us and llhttp; Boost.Beast reads one.)

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "reading.h"

namespace datapunk::mesh::differential {

enum class Other : std::uint8_t { llhttp, beast };

struct Stricter {
    std::string_view reason;  // ours (wire::http1::to_string of a Reject)
    std::string_view because;
    std::string_view example;                           // that another one takes; none: a limit
    bool (*applies)(std::string_view bytes) = nullptr;  // only to these; none: to all
};

struct Narrower {
    Other who;
    std::string_view word;  // theirs
    std::string_view because;
    std::string_view example;
    // Whether that can be what it is about: `ours` is whole.
    bool (*applies)(const Reading& ours, std::string_view bytes);
};

std::span<const Stricter> stricter();
std::span<const Narrower> narrower();

struct Judgement {
    std::string finding;  // empty: all agree, or the difference is deliberate, namely
    const Stricter* stricter = nullptr;
    const Narrower* narrower[2] = {};  // by Other
};

Judgement judge(
    const Reading& ours, const Reading& llhttp, const Reading& beast, std::string_view bytes
);

// Of bytes that begin as one.
Kind kind_of(std::string_view bytes);

// Has all three read it.
Judgement compare(Kind kind, std::string_view bytes);

// Fit for a terminal and for a string of C++.
std::string escaped(std::string_view bytes);

}  // namespace datapunk::mesh::differential
