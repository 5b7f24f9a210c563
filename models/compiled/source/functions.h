// Exponential, logarithm, tanh and erf of vectors. For float by polynomials (S. L. Moshier, Cephes Mathematical
// Library, 1989, single precision; errors within 2 units of the last place or 1e-7), for double by the C library.
#pragma once

#include "vectors.h"

template <class F> inline Vector<double> by_number(Vector<double> x, F function) {
    for (int64_t i = 0; i < N<double>; i++) x[i] = function(x[i]);
    return x;
}

template <class T> inline Vector<T> maximum(Vector<T> x, Vector<T> y) { return y > x ? y : x; }  // x if either is NaN

template <class T> inline Vector<T> magnitude(Vector<T> x) { return x < 0 ? -x : x; }

template <class T> inline Vector<T> root(Vector<T> x) {
    for (int64_t i = 0; i < N<T>; i++) x[i] = std::sqrt(x[i]);
    return x;
}

// Evaluates a polynomial; coefficients from the highest power.
template <class T> inline Vector<T> polynomial(Vector<T>, Vector<T> sum) { return sum; }
template <class T, class... Rest> inline Vector<T> polynomial(Vector<T> x, Vector<T> sum, T next, Rest... rest) {
    return polynomial<T>(x, sum * x + next, rest...);
}

using Whole = int32_t __attribute__((vector_size(64)));

inline Vector<float> bits_as_float(Whole bits) { return reinterpret_cast<Vector<float>>(bits); }

inline Vector<float> exponential(Vector<float> x) {
    const Vector<float> inside = x > 88.0f ? all(88.0f) : x < -87.0f ? all(-87.0f) : x;
    const Vector<float> shifted = inside * 1.44269504f + 12582912.0f;  // adding 1.5 * 2^23 rounds to a whole number
    const Vector<float> power = shifted - 12582912.0f;
    Vector<float> rest = inside - power * 0.693359375f;
    rest = rest - power * -2.12194440e-4f;
    const Vector<float> series = polynomial<float>(rest, all(1.9875691500e-4f), 1.3981999507e-3f, 8.3334519073e-3f,
                                                   4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f);
    const Vector<float> mantissa = rest * rest * series + rest + 1.0f;
    const Whole exponent = __builtin_convertvector(power == power ? power : Vector<float>{}, Whole);
    const Vector<float> result = mantissa * bits_as_float((exponent + 127) << 23);
    return x > 88.7f ? all(INFINITY) : x < -87.3f ? Vector<float>{} : result;
}

inline Vector<float> logarithm(Vector<float> x) {
    const Whole bits = reinterpret_cast<Whole>(x);
    Vector<float> power = __builtin_convertvector((bits >> 23) - 126, Vector<float>);
    Vector<float> part = bits_as_float((bits & 0x007fffff) | 0x3f000000);  // in [0.5, 1)
    const auto is_low = part < 0.707106781f;
    power = is_low ? power - 1.0f : power;
    part = (is_low ? part + part : part) - 1.0f;
    const Vector<float> square = part * part;
    Vector<float> series = polynomial<float>(part, all(7.0376836292e-2f), -1.1514610310e-1f, 1.1676998740e-1f,
                                             -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f, 2.0000714765e-1f,
                                             -2.4999993993e-1f, 3.3333331174e-1f);
    series = part * square * series + power * -2.12194440e-4f - 0.5f * square;
    const Vector<float> result = part + series + power * 0.693359375f;
    return x > 0 ? (x < INFINITY ? result : x) : x == 0 ? all(-INFINITY) : all(NAN);
}

inline Vector<float> hyperbolic_tangent(Vector<float> x) {
    const Vector<float> size = magnitude<float>(x), square = x * x;
    const Vector<float> series = polynomial<float>(square, all(-5.70498872745e-3f), 2.06390887954e-2f,
                                                   -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f);
    const Vector<float> small = series * square * x + x;
    const Vector<float> large = 1.0f - 2.0f / (exponential(size + size) + 1.0f);
    return size < 0.625f ? small : x < 0 ? -large : x == x ? large : x;
}

// erf(x); for |x| > 1 by 1 - exp(-x^2) / x times a polynomial of 1 / x^2.
inline Vector<float> error_function(Vector<float> x) {
    const Vector<float> square = x * x, size = magnitude<float>(x);
    const Vector<float> series = polynomial<float>(square, all(7.853861353153693e-5f), -8.010193625184903e-4f,
                                                   5.188327685732524e-3f, -2.685381193529856e-2f, 1.128358514861418e-1f,
                                                   -3.761262582423300e-1f, 1.128379165726710e+0f);
    const Vector<float> small = x * series;
    const Vector<float> inverse = 1.0f / maximum<float>(size, all(1.0f)), y = inverse * inverse;
    const Vector<float> near = polynomial<float>(y, all(2.326819970068386e-2f), -1.387039388740657e-1f,
                                                 3.687424674597105e-1f, -5.824733027278666e-1f, 6.210004621745983e-1f,
                                                 -4.944515323274145e-1f, 3.404879937665872e-1f, -2.741127028184656e-1f,
                                                 5.638259427472472e-1f);
    const Vector<float> far = polynomial<float>(y, all(-1.047766399936249e+1f), 1.297719955372516e+1f,
                                                -7.495518717768503e+0f, 2.921019019210786e+0f, -1.015265279202700e+0f,
                                                4.218463358204948e-1f, -2.820767439740514e-1f, 5.641895067754075e-1f);
    const Vector<float> large = 1.0f - exponential(-square) * inverse * (size < 2.0f ? near : far);
    return size < 1.0f ? small : x < 0 ? -large : x == x ? large : x;
}

inline Vector<double> exponential(Vector<double> x) {
    return by_number(x, [](double value) { return std::exp(value); });
}
inline Vector<double> logarithm(Vector<double> x) {
    return by_number(x, [](double value) { return std::log(value); });
}
inline Vector<double> hyperbolic_tangent(Vector<double> x) {
    return by_number(x, [](double value) { return std::tanh(value); });
}
inline Vector<double> error_function(Vector<double> x) {
    return by_number(x, [](double value) { return std::erf(value); });
}

// exp(x) - 1 for x <= 0.
template <class T> inline Vector<T> exponential_less_one(Vector<T> x) {
    const Vector<T> half = hyperbolic_tangent(x * T(0.5));
    return T(2) * half / (T(1) - half);
}

template <class T> inline Vector<T> logistic(Vector<T> x) { return T(1) / (T(1) + exponential(-x)); }
