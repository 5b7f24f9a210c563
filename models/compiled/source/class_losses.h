// The losses of classes and their gradients, as in models/eager/losses.py and class_losses.py: of outputs
// (classes, columns), with the gradient in `delta`.
#pragma once

#include "functions.h"

// Targets and weights of one step and data group; see truth_of and batch_of in step.cpp.
template <class T> struct Truth {
    const T *values;   // (classes, columns) each column's weight at its class; or values, (targets, columns), or with
                       // offsets (2, columns)
    const T *weights;  // (columns,)
};

// Computes the cross entropy, -log(softmax) at the class (Bridle 1990), of outputs (classes, columns).
template <class T> T cross_entropy(Truth<T> truth, int64_t classes, int64_t columns, T *outputs, T *delta) {
    using V = Vector<T>;
    V loss{};
    for (int64_t c = 0; c < columns; c += N<T>) {
        V greatest = load(outputs + c), sum{}, at_class{};
        for (int64_t k = 1; k < classes; k++) greatest = maximum(greatest, load(outputs + k * columns + c));
        for (int64_t k = 0; k < classes; k++) {
            const V shifted = load(outputs + k * columns + c) - greatest, raised = exponential(shifted);
            at_class += shifted * load(truth.values + k * columns + c);
            sum += raised;
            store(delta + k * columns + c, raised);
        }
        const V weight = load(truth.weights + c), share = weight / sum;
        for (int64_t k = 0; k < classes; k++) {
            T *at = delta + k * columns + c;
            store(at, load(at) * share - load(truth.values + k * columns + c));
        }
        loss += weight * logarithm(sum) - at_class;
    }
    return sum_of<T>(loss);
}

// Finds the outputs at the classes of the columns from `c` on; targets are above 0 there.
template <class T> Vector<T> at_class_of(Truth<T> truth, int64_t classes, int64_t columns, int64_t c, const T *outputs) {
    Vector<T> found{};
    for (int64_t k = 0; k < classes; k++)
        found = load(truth.values + k * columns + c) > 0 ? load(outputs + k * columns + c) : found;
    return found;
}

// Computes the sum over the wrong classes of max(0, 1 + output - output of the class) (Weston and Watkins 1999).
template <class T> T hinge(Truth<T> truth, int64_t classes, int64_t columns, const T *outputs, T *delta) {
    using V = Vector<T>;
    V loss{};
    for (int64_t c = 0; c < columns; c += N<T>) {
        const V weight = load(truth.weights + c), own = at_class_of(truth, classes, columns, c, outputs);
        V sum{}, within{};
        for (int64_t k = 0; k < classes; k++) {
            const V margin = load(outputs + k * columns + c) - own + T(1);
            const V wrong = load(truth.values + k * columns + c) > 0 ? V{} : margin < 0 ? V{} : margin;
            sum += wrong;
            const V counted = wrong > 0 ? all(T(1)) : V{};
            within += counted;
            store(delta + k * columns + c, counted * weight);
        }
        for (int64_t k = 0; k < classes; k++) {
            T *at = delta + k * columns + c;
            store(at, load(truth.values + k * columns + c) > 0 ? -within * weight : load(at));
        }
        loss += sum * weight;
    }
    return sum_of<T>(loss);
}

// The number that a sum of exponentials is raised to, so that its logarithm and its inverse are finite.
template <class T> constexpr T LEAST_SHARE = sizeof(T) == 8 ? T(1e-300) : T(1e-30);

// Writes exp(output - greatest output of the column) to `raised` and returns the sum over the classes.
template <class T>
Vector<T> raise(int64_t classes, int64_t columns, int64_t c, const T *outputs, T *raised, Vector<T> *greatest) {
    *greatest = load(outputs + c);
    for (int64_t k = 1; k < classes; k++) *greatest = maximum(*greatest, load(outputs + k * columns + c));
    Vector<T> sum{};
    for (int64_t k = 0; k < classes; k++) {
        const Vector<T> share = exponential(load(outputs + k * columns + c) - *greatest);
        store(raised + k * columns + c, share);
        sum += share;
    }
    return sum;
}

// Computes -(1 - p)^number log p for the probability p of the class (Lin et al. 2017).
template <class T> T focal(Truth<T> truth, int64_t classes, int64_t columns, T number, const T *outputs, T *delta) {
    using V = Vector<T>;
    V loss{};
    for (int64_t c = 0; c < columns; c += N<T>) {
        V greatest;
        const V weight = load(truth.weights + c), total = raise(classes, columns, c, outputs, delta, &greatest);
        const V log_total = logarithm(total);
        const V log_p = at_class_of(truth, classes, columns, c, outputs) - greatest - log_total;
        V others{};
        for (int64_t k = 0; k < classes; k++)
            others += load(truth.values + k * columns + c) > 0 ? V{} : load(delta + k * columns + c);
        others = maximum(others, all(LEAST_SHARE<T>));
        const V factor = exponential((logarithm(others) - log_total) * number);
        const V slope = factor * (T(1) - number * exponential(log_p) * log_p * (total / others)) * weight;
        for (int64_t k = 0; k < classes; k++) {
            T *at = delta + k * columns + c;
            const V target = load(truth.values + k * columns + c) > 0 ? all(T(1)) : V{};
            store(at, (load(at) / total - target) * slope);
        }
        const V part = factor * log_p * weight;
        loss -= weight > 0 ? part : V{};
    }
    return sum_of<T>(loss);
}

// Computes the log losses of lying below or above each border of ordered classes (Toedter and Ahrens 2012); `outputs`
// is overwritten. For a border under the class of a column the share above it counts, else the share below it.
template <class T> T ordinal(Truth<T> truth, int64_t classes, int64_t columns, T *outputs, T *delta) {
    using V = Vector<T>;
    const V least = all(LEAST_SHARE<T>);
    V loss{};
    for (int64_t c = 0; c < columns; c += N<T>) {
        V greatest;
        const V weight = load(truth.weights + c), total = raise(classes, columns, c, outputs, delta, &greatest);
        const auto is_class = [&](int64_t k) { return load(truth.values + k * columns + c) > 0; };
        V log_shares{}, share{}, seen{};
        for (int64_t k = 0; k + 1 < classes; k++) {  // upwards; `outputs` receives the inverse shares below
            share += load(delta + k * columns + c);
            const V below = maximum(share, least);
            seen = is_class(k) ? all(T(1)) : seen;
            log_shares += seen > 0 ? logarithm(below) : V{};
            store(outputs + k * columns + c, seen > 0 ? T(1) / below : V{});
        }
        V lower{};
        share = seen = V{};
        for (int64_t k = classes - 2; k >= 0; k--) {  // downwards; or those above, and below the sum from here on
            share += load(delta + (k + 1) * columns + c);
            const V above = maximum(share, least);
            seen = is_class(k + 1) ? all(T(1)) : seen;
            log_shares += seen > 0 ? logarithm(above) : V{};
            lower += load(outputs + k * columns + c);
            store(outputs + k * columns + c, seen > 0 ? T(1) / above : lower);
        }
        V upper{};
        store(outputs + (classes - 1) * columns + c, V{});
        seen = V{};
        for (int64_t k = 0; k < classes; k++) {
            T *at = delta + k * columns + c;
            const V own = load(outputs + k * columns + c);
            seen = is_class(k) ? all(T(1)) : seen;
            const V pull = upper + (seen > 0 ? own : lower);
            store(at, load(at) * (T(classes - 1) / total - pull) * weight);
            upper += seen > 0 ? V{} : own;
        }
        const V part = (T(classes - 1) * logarithm(total) - log_shares) * weight;
        loss += weight > 0 ? part : V{};
    }
    return sum_of<T>(loss);
}
