#pragma once

// EtcdClient: questions to an etcd cluster through its JSON gateway. Asks the member that answered
// last; one that cannot be reached, is too slow or has no leader is left for the next one. Logs in
// when a user is configured, and again when the token has run out. All that is asked may be asked
// twice: a connection that broke is no reason to give up. One loop's object.

#include <datapunk/mesh/result.h>

#include <memory>
#include <string>

#include "core/log.h"
#include "http/client.h"
#include "http/response_stream.h"
#include "io/network.h"
#include "io/task.h"
#include "registry/etcd/etcd_config.h"

namespace datapunk::mesh::registry::etcd {

class EtcdClient {
  public:
    using Streamed = std::unique_ptr<http::ResponseStream>;

    // `config` is checked; `tls` null for plain HTTP.
    EtcdClient(
        io::Network& network,
        EtcdConfig config,
        std::shared_ptr<const io::TlsContext> tls,
        core::Logger log
    );

    // The body of a 200 answer to POST `path`.
    io::Task<Result<std::string>> ask(std::string path, std::string body, Instant deadline);
    // A watch; its status is 200.
    io::Task<Result<Streamed>> watch(std::string body, Instant deadline);

    io::Loop& loop() noexcept { return network_.loop(); }

    const EtcdConfig& config() const noexcept { return config_; }

    const core::Logger& log() const noexcept { return log_; }

  private:
    // What one member said: an answer, or why there is none.
    template <class T>
    struct Said {
        Result<T> result;
        bool is_token_refused = false;
        bool try_another = false;
    };

    template <class T>
    io::Task<Result<T>> ask_around(std::string path, std::string body, Instant deadline);
    template <class T>
    io::Task<Said<T>> ask_member(
        EtcdMember member, std::string path, std::string body, Instant deadline
    );
    io::Task<Result<>> log_in(EtcdMember member, Instant deadline);
    http::Request request(std::string path, std::string body) const;

    io::Network& network_;
    EtcdConfig config_;
    core::Logger log_;
    http::Client client_;
    std::string token_;
    std::size_t current_ = 0;  // the member that answered last
};

}  // namespace datapunk::mesh::registry::etcd
