// The losses and their gradients, as in models/eager/losses.py: weighted sums over the columns, with weight 1 / (rows
// of the batch) for a row and 0 for a column that fills up the batch.
#pragma once

#include "functions.h"
#include "status.h"

// Targets and weights of one step and data group; see truth_of and batch_of in step.cpp.
template <class T> struct Truth {
    const T *values;   // (classes, columns) each column's weight at its class; or (1 or 2, columns) values and offsets
    const T *weights;  // (columns,)
};

// Writes each column's weight times the weight of its class to `weighted`, (classes, columns), and returns the sum.
template <class T>
Vector<T> weigh(const LossNumbers<T> &loss, Truth<T> truth, int64_t classes, int64_t columns, T *weighted) {
    using V = Vector<T>;
    V total{};
    for (int64_t k = 0; k < classes; k++)
        for (int64_t c = 0; c < columns; c += N<T>) {
            const V at_class = load(truth.values + k * columns + c) * T(loss.class_weights ? loss.class_weights[k] : 1);
            store(weighted + k * columns + c, at_class);
            total += at_class;
        }
    return total;
}

// Divides the output of `weigh` in `scratch` by `whole` and smooths the labels; the last row of `scratch`,
// (classes + 1, columns), receives the weights of the columns.
template <class T>
Truth<T> softened(const LossNumbers<T> &loss, Truth<T> truth, int64_t classes, int64_t columns, T whole, T *scratch) {
    using V = Vector<T>;
    T *weights = scratch + classes * columns;
    for (int64_t c = 0; c < columns; c += N<T>) {
        V of_column{};
        const V weight = load(truth.weights + c);
        for (int64_t k = 0; k < classes; k++) {
            const T of_class = T(loss.class_weights ? loss.class_weights[k] : 1);
            const V spread = weight * (T(loss.smoothing) / T(classes)) * of_class / whole;
            const V target = load(scratch + k * columns + c) / whole * T(1 - loss.smoothing) + spread;
            store(scratch + k * columns + c, target);
            of_column += target;
        }
        store(weights + c, loss.class_weights ? of_column : weight);
    }
    return {scratch, weights};
}

// Computes the cross entropy, -log(softmax) at the class (Bridle 1990), of outputs (classes, columns).
template <class T> T cross_entropy(Truth<T> truth, int64_t classes, int64_t columns, T *outputs, T *delta) {
    using V = Vector<T>;
    V loss{};
    for (int64_t c = 0; c < columns; c += N<T>) {
        V greatest = load(outputs + c), sum{}, at_class{};
        for (int64_t k = 1; k < classes; k++) greatest = maximum<T>(greatest, load(outputs + k * columns + c));
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

// Computes a loss of one output. `of(output, target, offset, &gradient)` computes loss and gradient of a column,
// without its weight.
template <class T, class F>
T regression(Truth<T> truth, int64_t columns, bool has_offset, const T *outputs, T *delta, F of) {
    using V = Vector<T>;
    V loss{};
    for (int64_t c = 0; c < columns; c += N<T>) {
        V gradient, offset{};
        if (has_offset) offset = load(truth.values + columns + c);
        const V weight = load(truth.weights + c);
        const V part = of(load(outputs + c), load(truth.values + c), offset, &gradient);
        const auto is_real = weight > 0;
        loss += is_real ? part * weight : V{};
        store(delta + c, is_real ? gradient * weight : V{});
    }
    return sum_of<T>(loss);
}

// Computes the loss, and its gradient in `delta`. If `truth` is only a part of the rows, `whole` points to the class
// weight of all rows, else it is null. `scratch` is (units + 1, columns).
template <class T>
T loss_of(const LossNumbers<T> &numbers, Truth<T> truth, int64_t units, int64_t columns, const T *whole, T *outputs,
          T *delta, T *scratch) {
    using V = Vector<T>;
    const T bend = T(numbers.bend);
    switch (numbers.name) {
    case Loss::cross_entropy:
        if (numbers.smoothing > 0 || numbers.class_weights) {
            const T own = sum_of<T>(weigh(numbers, truth, units, columns, scratch));
            const T over = !numbers.class_weights ? T(1) : whole ? *whole : own;
            truth = softened(numbers, truth, units, columns, over, scratch);
        }
        return cross_entropy(truth, units, columns, outputs, delta);
    case Loss::mse:
        return regression(truth, columns, false, outputs, delta, [](V output, V target, V, V *gradient) -> V {
            const V error = output - target;
            *gradient = error * T(2);
            return error * error;
        });
    case Loss::mae:
        return regression(truth, columns, false, outputs, delta, [](V output, V target, V, V *gradient) -> V {
            const V error = output - target;
            *gradient = error > 0 ? all(T(1)) : error < 0 ? all(T(-1)) : error;
            return magnitude<T>(error);
        });
    case Loss::huber:
        return regression(truth, columns, false, outputs, delta, [bend](V output, V target, V, V *gradient) -> V {
            const V error = output - target;
            const V clipped = error > bend ? all(bend) : error < -bend ? all(-bend) : error;
            *gradient = clipped;
            return (error - clipped * T(0.5)) * clipped;
        });
    case Loss::poisson:
        return regression(truth, columns, true, outputs, delta, [](V output, V target, V offset, V *gradient) -> V {
            const V log_mean = output + offset, mean = exponential(log_mean);
            *gradient = mean - target;
            return mean - log_mean * target;
        });
    }
    throw UnknownName();
}
