// Exponential, logarithm, tanh and erf of vectors. For float by polynomials (S. L. Moshier, Cephes Mathematical
// Library, 1989, single precision; errors within 2 units of the last place or 1e-7), for double by the C library.
#pragma once

#include "vectors.h"

template <class V> constexpr bool IS_FLOAT = std::is_same_v<Element<V>, float>;
template <class V> using Whole = decltype(V{} < V{});  // whole numbers of the same size

template <class V, class F> inline V by_number(V x, F function) {
    for (size_t i = 0; i < sizeof(V) / sizeof(Element<V>); i++) x[i] = function(x[i]);
    return x;
}

// Applies `floats` to the registers of a vector of floats, `doubles` to the numbers of one of doubles.
template <class V, class Floats, class Doubles> inline V by_type(V x, Floats floats, Doubles doubles) {
    if constexpr (IS_FLOAT<V>)
        return by_register(x, floats);
    else
        return by_number(x, doubles);
}

template <class V> inline V maximum(V x, V y) { return y > x ? y : x; }  // x if either is NaN

template <class V> inline V magnitude(V x) {
    return by_register(x, [](auto part) { return part < 0 ? -part : part; });
}

template <class V> inline V root(V x) {
    return by_number(x, [](Element<V> value) { return std::sqrt(value); });
}

// Evaluates a polynomial; coefficients from the highest power.
template <class V, class... Rest> inline V polynomial(V x, Element<V> highest, Rest... rest) {
    V sum = filled<V>(highest);
    ((sum = sum * x + rest), ...);
    return sum;
}

template <class V> inline V bits_as_float(Whole<V> bits) { return reinterpret_cast<V>(bits); }

template <class V> inline V exponential_of_floats(V x) {
    const V inside = x > 88.0f ? filled<V>(88.0f) : x < -87.0f ? filled<V>(-87.0f) : x;
    const V shifted = inside * 1.44269504f + 12582912.0f;  // adding 1.5 * 2^23 rounds to a whole number
    const V power = shifted - 12582912.0f;
    V rest = inside - power * 0.693359375f;
    rest = rest - power * -2.12194440e-4f;
    const V series = polynomial(rest, 1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
        4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f);
    const V mantissa = rest * rest * series + rest + 1.0f;
    const Whole<V> exponent = __builtin_convertvector(power == power ? power : V{}, Whole<V>);
    const V result = mantissa * bits_as_float<V>((exponent + 127) << 23);
    return x > 88.7f ? filled<V>(INFINITY) : x < -87.3f ? V{} : result;
}

template <class V> inline V exponential(V x) {
    const auto floats = [](auto part) { return exponential_of_floats(part); };
    return by_type(x, floats, [](double value) { return std::exp(value); });
}

template <class V> inline V logarithm_of_floats(V x) {
    const Whole<V> bits = reinterpret_cast<Whole<V>>(x);
    V power = __builtin_convertvector((bits >> 23) - 126, V);
    V part = bits_as_float<V>((bits & 0x007fffff) | 0x3f000000);  // in [0.5, 1)
    const auto is_low = part < 0.707106781f;
    power = is_low ? power - 1.0f : power;
    part = (is_low ? part + part : part) - 1.0f;
    const V square = part * part;
    V series = polynomial(part, 7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f,
        -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f, 2.0000714765e-1f,
        -2.4999993993e-1f, 3.3333331174e-1f);
    series = part * square * series + power * -2.12194440e-4f - 0.5f * square;
    const V result = part + series + power * 0.693359375f;
    return x > 0 ? (x < INFINITY ? result : x) : x == 0 ? filled<V>(-INFINITY) : filled<V>(NAN);
}

template <class V> inline V logarithm(V x) {
    const auto floats = [](auto part) { return logarithm_of_floats(part); };
    return by_type(x, floats, [](double value) { return std::log(value); });
}

template <class V> inline V hyperbolic_tangent_of_floats(V x) {
    const V size = magnitude(x), square = x * x;
    const V series = polynomial(square, -5.70498872745e-3f, 2.06390887954e-2f,
        -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f);
    const V small = series * square * x + x;
    const V large = 1.0f - 2.0f / (exponential(size + size) + 1.0f);
    return size < 0.625f ? small : x < 0 ? -large : x == x ? large : x;
}

template <class V> inline V hyperbolic_tangent(V x) {
    const auto floats = [](auto part) { return hyperbolic_tangent_of_floats(part); };
    return by_type(x, floats, [](double value) { return std::tanh(value); });
}

// erf(x); for |x| > 1 by 1 - exp(-x^2) / x times a polynomial of 1 / x^2.
template <class V> inline V error_function_of_floats(V x) {
    const V square = x * x, size = magnitude(x);
    const V series = polynomial(square, 7.853861353153693e-5f, -8.010193625184903e-4f,
        5.188327685732524e-3f, -2.685381193529856e-2f, 1.128358514861418e-1f,
        -3.761262582423300e-1f, 1.128379165726710e+0f);
    const V small = x * series;
    const V inverse = 1.0f / maximum(size, filled<V>(1.0f)), y = inverse * inverse;
    const V near = polynomial(y, 2.326819970068386e-2f, -1.387039388740657e-1f,
        3.687424674597105e-1f, -5.824733027278666e-1f, 6.210004621745983e-1f,
        -4.944515323274145e-1f, 3.404879937665872e-1f, -2.741127028184656e-1f,
        5.638259427472472e-1f);
    const V far = polynomial(y, -1.047766399936249e+1f, 1.297719955372516e+1f,
        -7.495518717768503e+0f, 2.921019019210786e+0f, -1.015265279202700e+0f,
        4.218463358204948e-1f, -2.820767439740514e-1f, 5.641895067754075e-1f);
    const V large = 1.0f - exponential(-square) * inverse * (size < 2.0f ? near : far);
    return size < 1.0f ? small : x < 0 ? -large : x == x ? large : x;
}

template <class V> inline V error_function(V x) {
    const auto floats = [](auto part) { return error_function_of_floats(part); };
    return by_type(x, floats, [](double value) { return std::erf(value); });
}

// The greatest magnitude for which `sine_and_cosine` holds.
constexpr float GREATEST_ANGLE = 8192;

// Both from the rest of x by multiples of pi / 2, which are subtracted in three parts.
template <class V> inline void sine_and_cosine_of_floats(V x, V &sine, V &cosine) {
    const V shifted = x * 0.636619772f + 12582912.0f;  // rounds to a whole number, as in exponential
    const V turns = shifted - 12582912.0f;
    const Whole<V> quarter = reinterpret_cast<Whole<V>>(shifted);
    V rest = x - turns * 1.5703125f;
    rest = rest - turns * 4.837512969970703125e-4f;
    rest = rest - turns * 7.54978995489188216e-8f;
    const V square = rest * rest;
    const V of_sine = polynomial(square, -1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f);
    const V of_cosine = polynomial(square, 2.443315711809948e-5f, -1.388731625493765e-3f,
        4.166664568298827e-2f);
    const V low = of_sine * square * rest + rest;
    const V high = of_cosine * square * square - 0.5f * square + 1.0f;
    const auto is_odd = (quarter & 1) != 0;
    const V s = is_odd ? high : low, c = is_odd ? low : high;
    sine = (quarter & 2) != 0 ? -s : s;
    cosine = ((quarter + 1) & 2) != 0 ? -c : c;
}

template <class V> inline void sine_and_cosine(V x, V &sine, V &cosine) {
    if constexpr (!IS_FLOAT<V>) {
        sine = by_number(x, [](double value) { return std::sin(value); });
        cosine = by_number(x, [](double value) { return std::cos(value); });
    } else if constexpr (IS_WIDE<V>) {
        Register<float> angles[REGISTERS], sines[REGISTERS], cosines[REGISTERS];
        std::memcpy(angles, &x, sizeof(x));
        for (int i = 0; i < REGISTERS; i++) sine_and_cosine_of_floats(angles[i], sines[i], cosines[i]);
        std::memcpy(&sine, sines, sizeof(x));
        std::memcpy(&cosine, cosines, sizeof(x));
    } else {
        sine_and_cosine_of_floats(x, sine, cosine);
    }
}

// exp(x) - 1 for x <= 0.
template <class V> inline V exponential_less_one(V x) {
    const V half = hyperbolic_tangent(x * Element<V>(0.5));
    return Element<V>(2) * half / (Element<V>(1) - half);
}

template <class V> inline V logistic(V x) { return Element<V>(1) / (Element<V>(1) + exponential(-x)); }
