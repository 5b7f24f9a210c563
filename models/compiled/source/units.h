// Units with a second linear map: gated units and maxout, forward and backward, as in models/eager/pairs.py.
#pragma once

#include "activations.h"

// The linear maps of a layer: one, or two where its units have a second one.
template <class T> struct LinearMap {
    T *const *weights;  // by stack, (units, row)
    T *const *biases;   // by stack, (units,), or null
    Factors weight_factors, bias_factors;
    int64_t number;  // 0 for the first
};

constexpr int64_t MOST_MAPS = 2;

template <class T> bool has_second(const Layer<T> &layer) { return layer.second_weights[PARAMETERS]; }

// Calls `visit(map)` for the linear maps of a layer, the first one first.
template <class T, class F> void each_map(const Layer<T> &layer, F visit) {
    visit(LinearMap<T>{layer.weights, layer.biases, layer.weight_factors, layer.bias_factors, 0});
    if (has_second(layer))
        visit(LinearMap<T>{layer.second_weights, layer.second_biases, layer.second_weight_factors,
                           layer.second_bias_factors, 1});
}

inline bool is_of(Units kind, Units wanted) {
    switch (kind) {
    case Units::plain:
    case Units::glu:
    case Units::maxout: return kind == wanted;
    }
    throw UnknownName();
}

// Joins activations (gated units), or the first map (maxout), with the second map, in place. A NaN of either stays.
template <class T> void join(Units kind, T *values, const T *second, int64_t count) {
    using V = Register<T>;
    switch (kind) {
    case Units::plain: return;
    case Units::glu: return change(values, second, count, [](V a, V w) -> V { return a * w; });
    case Units::maxout:
        return change(values, second, count, [](V z, V w) -> V {
            const V greater = z > w ? z : w;
            return z != z ? z : greater;
        });
    }
    throw UnknownName();
}

// Turns the gradient with respect to what `join` made into that with respect to `values`, which it was given, in place.
// That with respect to the second map takes the place of `second`. At a tie of maxout each map gets one half.
template <class T> void part(Units kind, T *delta, const T *values, T *second, int64_t count) {
    using V = Register<T>;
    const auto change_both = [&](auto share_of_values, auto share_of_second) {
        for (int64_t i = 0; i < count; i += IN_REGISTER<T>) {
            const V d = load_register(delta + i), a = load_register(values + i), w = load_register(second + i);
            store_register(delta + i, d * share_of_values(a, w));
            store_register(second + i, d * share_of_second(a, w));
        }
    };
    switch (kind) {
    case Units::plain: return;
    case Units::glu: return change_both([](V, V w) -> V { return w; }, [](V a, V) -> V { return a; });
    case Units::maxout: {
        const auto share = [](V z, V w) -> V { return z > w ? filled<V>(1) : z == w ? filled<V>(T(0.5)) : V{}; };
        return change_both(share, [=](V z, V w) -> V { return T(1) - share(z, w); });
    }
    }
    throw UnknownName();
}
