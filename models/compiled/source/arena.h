// Scratch memory (an arena): allocated piece by piece, released as a whole; it grows and is kept between calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <vector>

class Arena {
  public:
    ~Arena() {
        for (void *block : blocks_) std::free(block);
    }

    // Allocates `count` elements of T, aligned to a cache line.
    template <class T> T *take(int64_t count) {
        const size_t size = (count * sizeof(T) + LINE - 1) / LINE * LINE;
        if (blocks_.empty() || used_ + size > room_) grow(size);
        void *piece = static_cast<char *>(blocks_.back()) + used_;
        used_ += size;
        return static_cast<T *>(piece);
    }

    // Releases everything that was allocated; pointers into the arena become invalid.
    void reset() {
        while (blocks_.size() > 1) {  // the last block is the largest
            std::free(blocks_.front());
            blocks_.erase(blocks_.begin());
        }
        used_ = 0;
    }

  private:
    static constexpr size_t LINE = 64, LEAST = size_t(1) << 20;

    void grow(size_t size) {
        size_t room = room_ ? 2 * room_ : LEAST;
        while (room < size) room *= 2;
        void *block = std::aligned_alloc(LINE, room);
        if (!block) throw std::bad_alloc();
        blocks_.push_back(block);
        room_ = room;
        used_ = 0;
    }

    std::vector<void *> blocks_;
    size_t room_ = 0, used_ = 0;
};
