// Vectors of 64 bytes for sums, whatever the machine's registers are; and its registers, for what no sum goes through.
//
// A sum over columns is computed as one partial sum for each number of a vector, and these are added in a fixed order,
// so its bits depend neither on the machine's registers nor on the compiler's choice of instructions.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

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

// The machine's registers, for loops in which every number has a sum of its own, or none: their width changes no bits.
#if defined(__AVX512F__)
constexpr int REGISTER_BYTES = 64;
#elif defined(__AVX__)
constexpr int REGISTER_BYTES = 32;
#else
constexpr int REGISTER_BYTES = 16;
#endif
constexpr int REGISTERS = 64 / REGISTER_BYTES;  // of one vector

template <class T> struct Registers {
    typedef T Register __attribute__((vector_size(REGISTER_BYTES)));
    typedef T Unaligned __attribute__((vector_size(REGISTER_BYTES), aligned(sizeof(T)), may_alias));
};

template <class T> using Register = typename Registers<T>::Register;
template <class T> constexpr int64_t IN_REGISTER = REGISTER_BYTES / sizeof(T);

template <class V> using Element = std::remove_reference_t<decltype(std::declval<V &>()[0])>;
template <class V> constexpr bool IS_WIDE = sizeof(V) > REGISTER_BYTES;

// A vector whose numbers are all `value`.
template <class V> inline V filled(Element<V> value) {
    return value - V{};  // not +, which would turn -0 into 0
}
template <class T> inline Vector<T> all(T value) { return filled<Vector<T>>(value); }

// Applies a function of single numbers to a vector register by register: for wider ones compilers compare number by
// number.
template <class V, class F> inline V by_register(V x, F function) {
    if constexpr (IS_WIDE<V>) {
        Register<Element<V>> parts[REGISTERS];
        std::memcpy(parts, &x, sizeof(x));
        for (auto &part : parts) part = function(part);
        std::memcpy(&x, parts, sizeof(x));
        return x;
    } else {
        return function(x);
    }
}

template <class T> inline Register<T> load_register(const T *from) {
    return *reinterpret_cast<const typename Registers<T>::Unaligned *>(from);
}

template <class T> inline void store_register(T *to, Register<T> values) {
    *reinterpret_cast<typename Registers<T>::Unaligned *>(to) = values;
}

template <class T> inline T sum_of(Vector<T> values) {
    for (int64_t half = N<T> / 2; half; half /= 2)
        for (int64_t i = 0; i < half; i++) values[i] += values[i + half];
    return values[0];
}

inline int64_t padded(int64_t size, int64_t quantum) { return (size + quantum - 1) / quantum * quantum; }
