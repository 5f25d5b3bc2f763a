#include "apps/discovery_settings.h"

namespace datapunk::mesh::apps {

CircuitBreakerConfig breaker_of(const config::Config& config) {
    const config::RegistryBreakerSection& breaker = config.registry.breaker;
    CircuitBreakerConfig out = ServiceDiscoveryConfig{}.registry_breaker;
    out.enabled = breaker.enabled;
    out.consecutive = breaker.consecutive;
    out.failure_rate = breaker.failure_rate;
    out.open_for = breaker.open_for;
    out.open_max = breaker.open_max;
    return out;
}

ServiceDiscoveryConfig discovery_of(const config::Config& config) {
    const config::DiscoverySection& section = config.discovery;
    ServiceDiscoveryConfig out;
    out.cache_ttl = section.cache_ttl;
    out.negative_ttl = section.negative_ttl;
    out.removal_grace = section.removal_grace;
    out.removal_share_max = section.removal_share_max;
    out.reset_grace = section.reset_grace;
    out.fallback_after = section.fallback_after;
    out.queries_per_second = section.queries_per_second;
    out.registry_breaker = breaker_of(config);
    out.snapshot_file = section.snapshot.file;
    out.snapshot_delay = section.snapshot.delay;
    out.snapshot_max_age = section.snapshot.max_age;
    const config::RedisSection& redis = config.redis;
    if (!redis.enabled) return out;
    out.shared_cache = {
        .host = redis.address.host,
        .port = redis.address.port,
        .username = redis.username,
        .password = redis.password.reveal(),
        .database = redis.database,
        .tls = redis.tls,
        .tls_ca = redis.tls_ca,
        .tls_certificate = redis.tls_certificate,
        .tls_private_key = redis.tls_private_key.reveal(),
        .tls_server_name = redis.tls_server_name,
        .prefix = redis.prefix,
        .timeout = redis.timeout,
        .keep = redis.keep
    };
    return out;
}

}  // namespace datapunk::mesh::apps
