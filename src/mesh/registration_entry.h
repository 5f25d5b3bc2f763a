#pragma once

// RegistrationEntry: one registration as the registrar knows it. Internal to registrar*.cpp.

#include <memory>
#include <string>
#include <utility>

#include "mesh/registrar.h"

namespace datapunk::mesh::internal {

struct RegistrationEntry {
    RegistrationEntry(ServiceConfig the_config, Registrar::Ticket the_ticket, io::Loop& loop)
        : config(std::move(the_config)), ticket(the_ticket), changed(loop), rushed(loop) {}

    // Whether the registry waits for heartbeats: it was told of a ttl check.
    bool is_ttl() const { return runs_here || config.check.kind == HealthCheck::Kind::ttl; }

    void leave() {
        is_leaving = true;
        changed.set();
    }

    ServiceConfig config;
    const Registrar::Ticket ticket;
    // While it is announced: what was kept under its id.
    std::shared_ptr<RegistrationEntry> replaces;
    Health health = Health::passing;
    std::string note;
    bool runs_here = false;  // its check, since the registry cannot (self_checker.h)
    bool is_leaving = false;
    bool may_be_there = false;  // the registry may have it
    bool is_lost = false;       // the registry does not have it, or not as it should be
    bool is_failing = false;
    bool is_told = false;  // the balancer
    bool is_shown = false;
    Instant next_heartbeat = kNever;
    Instant next_read_back = kNever;
    io::Event changed;          // health, or leaving
    io::Event rushed;           // somebody wants the id while it drains
    Instant deadline = kNever;  // of announcing; moves with the wait for readiness
    bool is_ready = false;      // its check has passed
    bool is_asking = false;     // whether it is ready, on another thread
    bool has_said_yes = false;  // to that
    bool is_displaced = false;  // another process has registered its id
};

}  // namespace datapunk::mesh::internal
