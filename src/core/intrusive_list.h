#pragma once

// A doubly linked list whose links live in the elements: insert and remove are O(1), nothing is
// allocated, and an element that dies removes itself. Not thread-safe.

#include "core/assert.h"

namespace datapunk::mesh::core {

class ListNode {
  public:
    ListNode() noexcept = default;
    ListNode(const ListNode&) = delete;
    ListNode& operator=(const ListNode&) = delete;

    ~ListNode() { unlink(); }

    bool is_linked() const noexcept { return next_ != nullptr; }

    void unlink() noexcept {
        if (next_ == nullptr) return;
        prev_->next_ = next_;
        next_->prev_ = prev_;
        next_ = prev_ = nullptr;
    }

  private:
    template <class T>
    friend class IntrusiveList;

    ListNode* prev_ = nullptr;
    ListNode* next_ = nullptr;
};

// T derives from ListNode. The list does not own its elements.
template <class T>
class IntrusiveList {
  public:
    IntrusiveList() noexcept { head_.prev_ = head_.next_ = &head_; }

    ~IntrusiveList() {
        while (!empty()) front().ListNode::unlink();
        head_.prev_ = head_.next_ = nullptr;
    }

    IntrusiveList(const IntrusiveList&) = delete;
    IntrusiveList& operator=(const IntrusiveList&) = delete;

    bool empty() const noexcept { return head_.next_ == &head_; }

    T& front() noexcept { return static_cast<T&>(*head_.next_); }

    T& back() noexcept { return static_cast<T&>(*head_.prev_); }

    void push_back(T& element) noexcept { insert_before(head_, element); }

    void push_front(T& element) noexcept { insert_before(*head_.next_, element); }

    T* pop_front() noexcept {
        if (empty()) return nullptr;
        T& first = front();
        static_cast<ListNode&>(first).unlink();
        return &first;
    }

    // Moves all of `other` to the end of this list, in order. O(1).
    void splice_back(IntrusiveList& other) noexcept {
        if (other.empty()) return;
        ListNode* first = other.head_.next_;
        ListNode* last = other.head_.prev_;
        other.head_.prev_ = other.head_.next_ = &other.head_;
        first->prev_ = head_.prev_;
        head_.prev_->next_ = first;
        last->next_ = &head_;
        head_.prev_ = last;
    }

    // Visits every element; `visit` may unlink the one it is given, but no other.
    template <class Visit>
    void for_each(Visit visit) {
        for (ListNode* at = head_.next_; at != &head_;) {
            ListNode* next = at->next_;
            visit(static_cast<T&>(*at));
            at = next;
        }
    }

  private:
    static void insert_before(ListNode& at, ListNode& node) noexcept {
        MESH_ASSERT(!node.is_linked());
        node.prev_ = at.prev_;
        node.next_ = &at;
        at.prev_->next_ = &node;
        at.prev_ = &node;
    }

    ListNode head_;
};

}  // namespace datapunk::mesh::core
