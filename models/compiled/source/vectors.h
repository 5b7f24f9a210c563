// Vectors of 64 bytes, which all loops of this library use, independently of the width of the machine's registers.
//
// A sum over columns is computed as one partial sum for each number of a vector, and these are added in a fixed order,
// so its bits depend neither on the machine's registers nor on the compiler's choice of instructions.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

template <class T> struct Vectors {
    static constexpr int64_t N = 64 / sizeof(T);
    typedef T Vector __attribute__((vector_size(64)));
    typedef T Unaligned __attribute__((vector_size(64), aligned(sizeof(T)), may_alias));
};

template <class T> using Vector = typename Vectors<T>::Vector;
template <class T> constexpr int64_t N = Vectors<T>::N;

template <class T> inline Vector<T> load(const T *from) {
    return *reinterpret_cast<const typename Vectors<T>::Unaligned *>(from);
}

template <class T> inline void store(T *to, Vector<T> values) {
    *reinterpret_cast<typename Vectors<T>::Unaligned *>(to) = values;
}

template <class T> inline Vector<T> all(T value) {
    return value - Vector<T>{};  // not +, which would turn -0 into 0
}

template <class T> inline T sum_of(Vector<T> values) {
    for (int64_t half = N<T> / 2; half; half /= 2)
        for (int64_t i = 0; i < half; i++) values[i] += values[i + half];
    return values[0];
}

inline int64_t padded(int64_t size, int64_t quantum) { return (size + quantum - 1) / quantum * quantum; }
