#include "discovery/subscriber.h"

#include <exception>

namespace datapunk::mesh::discovery {

void Subscriber::orphan() noexcept {
    service_ = nullptr;
    static_cast<io::Ready&>(*this).unlink();
}

void Subscriber::stop() {
    if (service_ == nullptr) return;
    const auto self = shared_from_this();  // the service lets go of us
    FollowedService& service = *std::exchange(service_, nullptr);
    static_cast<io::Ready&>(*this).unlink();
    service.drop(*this);
}

void Subscriber::run() {
    if (service_ == nullptr || service_->latest() == nullptr) return;
    const EndpointSetPtr now = service_->latest();
    if (told_ != nullptr && told_->generation == now->generation) return;
    const bool is_first = told_ == nullptr;
    const EndpointChange change = service_->change_since(told_.get());
    told_ = now;
    if (!is_first && change.added.empty() && change.removed.empty() && change.changed.empty()) {
        return;  // there and back again since the last call
    }
    const auto self = shared_from_this();  // it may stop itself while it is called
    DiscoveryContext& context = service_->context();
    ++context.stats.callbacks;
    try {
        callback_(change);
    } catch (const std::exception& problem) {
        ++context.stats.callback_errors;
        context.log.warn(
            "a watch callback threw", {{"service", now->service}, {"what", problem.what()}}
        );
    } catch (...) {
        ++context.stats.callback_errors;
        context.log.warn("a watch callback threw", {{"service", now->service}});
    }
}

}  // namespace datapunk::mesh::discovery
