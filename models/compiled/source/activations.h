// The activation functions and their derivatives, as in models/eager/activations.py.
#pragma once

#include "functions.h"
#include "status.h"

template <class T> constexpr T LEAK = T(LEAK_SLOPE);

template <class T, class F> inline void change(T *values, int64_t count, F function) {
    for (int64_t i = 0; i < count; i += IN_REGISTER<T>)
        store_register(values + i, function(load_register(values + i)));
}

// Changes `values` to function(value, the corresponding element of `by`).
template <class T, class F> inline void change(T *values, const T *by, int64_t count, F function) {
    for (int64_t i = 0; i < count; i += IN_REGISTER<T>)
        store_register(values + i, function(load_register(values + i), load_register(by + i)));
}

inline bool needs_input(Activation name) {
    if (uint64_t(name) >= sizeof(NEEDS_INPUT)) throw UnknownName();
    return NEEDS_INPUT[uint64_t(name)];
}

// The numbers that mish and its derivative are made of: x, limited to where both no longer differ from those of infinity;
// its exponential e; and e * (e + 2), by which tanh(log(1 + e)) is n / (n + 2).
template <class T> struct MishNumbers {
    Register<T> x, e, n;
};

template <class T> inline MishNumbers<T> mish_numbers(Register<T> x) {
    const Register<T> limited = x > 20 ? filled<Register<T>>(20) : x, e = exponential(limited);
    return {limited, e, e * (e + T(2))};
}

// Turns pre-activations into activations, in place. The comparisons keep NaN.
template <class T> void activate(Activation name, T *z, int64_t count) {
    using V = Register<T>;
    switch (name) {
    case Activation::relu: return change(z, count, [](V x) -> V { return x < 0 ? V{} : x; });
    case Activation::leaky_relu: return change(z, count, [](V x) -> V { return x < 0 ? LEAK<T> * x : x; });
    case Activation::elu: return change(z, count, [](V x) -> V { return x < 0 ? exponential_less_one(x) : x; });
    case Activation::gelu:
        return change(z, count, [](V x) -> V { return T(0.5) * x * (T(1) + error_function(x * T(M_SQRT1_2))); });
    case Activation::silu: return change(z, count, [](V x) -> V { return x * logistic(x); });
    case Activation::relu6: return change(z, count, [](V x) -> V { return x < 0 ? V{} : x > 6 ? filled<V>(6) : x; });
    case Activation::tanh: return change(z, count, [](V x) -> V { return hyperbolic_tangent(x); });
    case Activation::sigmoid: return change(z, count, [](V x) -> V { return logistic(x); });
    case Activation::selu:
        return change(z, count, [](V x) -> V {
            return x < 0 ? T(SELU_SLOPE) * exponential_less_one(x) : T(SELU_SCALE) * x;
        });
    case Activation::mish:
        return change(z, count, [](V x) -> V {
            const MishNumbers<T> of = mish_numbers<T>(x);
            return x * (of.n / (of.n + T(2)));
        });
    }
    throw UnknownName();
}

// Multiplies `delta` by the derivative, in place. `at` holds activations, or pre-activations if `needs_input`.
template <class T> void activate_backward(Activation name, T *delta, const T *at, int64_t count) {
    using V = Register<T>;
    switch (name) {
    case Activation::relu: return change(delta, at, count, [](V d, V a) -> V { return a <= 0 ? V{} : d; });
    case Activation::leaky_relu: return change(delta, at, count, [](V d, V a) -> V { return a > 0 ? d : LEAK<T> * d; });
    case Activation::elu: return change(delta, at, count, [](V d, V a) -> V { return a > 0 ? d : d * (a + T(1)); });
    case Activation::gelu:
        return change(delta, at, count, [](V d, V x) -> V {
            const V share = T(0.5) * (T(1) + error_function(x * T(M_SQRT1_2)));
            return d * (share + x * exponential(x * x * T(-0.5)) * T(0.5 * M_SQRT1_2 * M_2_SQRTPI));
        });
    case Activation::silu:
        return change(delta, at, count, [](V d, V x) -> V {
            const V share = logistic(x);
            return d * share * (T(1) + x * (T(1) - share));
        });
    case Activation::relu6: return change(delta, at, count, [](V d, V a) -> V { return a <= 0 || a >= 6 ? V{} : d; });
    case Activation::tanh: return change(delta, at, count, [](V d, V a) -> V { return d * (T(1) - a * a); });
    case Activation::sigmoid: return change(delta, at, count, [](V d, V a) -> V { return d * a * (T(1) - a); });
    case Activation::selu:
        return change(delta, at, count, [](V d, V a) -> V {
            return a > 0 ? T(SELU_SCALE) * d : d * (a + T(SELU_SLOPE));
        });
    case Activation::mish:
        return change(delta, at, count, [](V d, V x) -> V {
            const MishNumbers<T> of = mish_numbers<T>(x);
            const V whole = of.n + T(2);
            return d * (of.n / whole + of.x * T(4) * of.e * (of.e + T(1)) / (whole * whole));
        });
    }
    throw UnknownName();
}
