#pragma once

// UniqueFunction<R(Args...)>: a callable that may own move-only things (std::move_only_function
// needs C++23). Small callables (three words) live inside, larger ones on the heap. Not
// thread-safe.

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include "core/assert.h"

namespace datapunk::mesh::core {

template <class Signature>
class UniqueFunction;

template <class R, class... Args>
class UniqueFunction<R(Args...)> {
  public:
    UniqueFunction() noexcept = default;

    template <class F>
        requires(!std::is_same_v<std::decay_t<F>, UniqueFunction> && std::is_invocable_r_v<R, std::decay_t<F>&, Args...>)
    UniqueFunction(F&& callable) {  // NOLINT: implicit like std::function
        using D = std::decay_t<F>;
        if constexpr (fits<D>()) {
            ::new (static_cast<void*>(&storage_)) D(std::forward<F>(callable));
            ops_ = &kInline<D>;
        } else {
            ::new (static_cast<void*>(&storage_)) D*(new D(std::forward<F>(callable)));
            ops_ = &kHeap<D>;
        }
    }

    UniqueFunction(UniqueFunction&& other) noexcept { take(other); }

    UniqueFunction& operator=(UniqueFunction&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }

    ~UniqueFunction() { reset(); }

    explicit operator bool() const noexcept { return ops_ != nullptr; }

    R operator()(Args... args) {
        MESH_ASSERT(ops_ != nullptr);
        return ops_->call(&storage_, std::forward<Args>(args)...);
    }

    void reset() noexcept {
        if (ops_ != nullptr) std::exchange(ops_, nullptr)->destroy(&storage_);
    }

  private:
    struct Ops {
        R (*call)(void*, Args&&...);
        void (*move)(void* from, void* to) noexcept;
        void (*destroy)(void*) noexcept;
    };

    static constexpr std::size_t kInlineBytes = 3 * sizeof(void*);

    template <class D>
    static constexpr bool fits() {
        return sizeof(D) <= kInlineBytes && alignof(D) <= alignof(void*) &&
               std::is_nothrow_move_constructible_v<D>;
    }

    template <class D>
    static constexpr Ops kInline = {
        [](void* self, Args&&... args) -> R {
            return (*static_cast<D*>(self))(std::forward<Args>(args)...);
        },
        [](void* from, void* to) noexcept {
            ::new (to) D(std::move(*static_cast<D*>(from)));
            static_cast<D*>(from)->~D();
        },
        [](void* self) noexcept { static_cast<D*>(self)->~D(); },
    };
    template <class D>
    static constexpr Ops kHeap = {
        [](void* self, Args&&... args) -> R {
            return (**static_cast<D**>(self))(std::forward<Args>(args)...);
        },
        [](void* from, void* to) noexcept { ::new (to) D*(*static_cast<D**>(from)); },
        [](void* self) noexcept { delete *static_cast<D**>(self); },
    };

    void take(UniqueFunction& other) noexcept {
        ops_ = std::exchange(other.ops_, nullptr);
        if (ops_ != nullptr) ops_->move(&other.storage_, &storage_);
    }

    alignas(void*) std::byte storage_[kInlineBytes];
    const Ops* ops_ = nullptr;
};

}  // namespace datapunk::mesh::core
