// The losses and their gradients, as in models/eager/losses.py: weighted sums over the columns, with weight 1 / (rows
// of the batch) for a row and 0 for a column that fills up the batch.
#pragma once

#include "class_losses.h"
#include "status.h"

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
            const T share = loss.spread ? T(loss.smoothing) * T(loss.spread[k]) : T(loss.smoothing) / T(classes);
            const V spread = weight * share * of_class / whole;
            const V target = load(scratch + k * columns + c) / whole * T(1 - loss.smoothing) + spread;
            store(scratch + k * columns + c, target);
            of_column += target;
        }
        store(weights + c, loss.class_weights ? of_column : weight);
    }
    return {scratch, weights};
}

// Applies class weights and smoothing; see loss_of.
template <class T>
Truth<T> weighted(const LossNumbers<T> &numbers, Truth<T> truth, int64_t units, int64_t columns, const T *whole,
                  T *scratch) {
    const T own = sum_of<T>(weigh(numbers, truth, units, columns, scratch));
    const T over = !numbers.class_weights ? T(1) : whole ? *whole : own;
    return softened(numbers, truth, units, columns, over, scratch);
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

// Computes the mean over several targets of a loss of one output, as `regression` does.
template <class T, class F>
T of_each(Truth<T> truth, int64_t units, int64_t columns, T *outputs, T *delta, F of) {
    using V = Vector<T>;
    const T share = T(1) / T(units);
    T sum = 0;
    for (int64_t u = 0; u < units; u++) {
        const Truth<T> own{truth.values + u * columns, truth.weights};
        sum += regression(own, columns, false, outputs + u * columns, delta + u * columns,
                          [=](V output, V target, V, V *gradient) -> V {
            const V part = of(output, target, gradient);
            *gradient *= share;
            return part * share;
        });
    }
    return sum;
}

// Computes the loss, and its gradient in `delta`. If `truth` is only a part of the rows, `whole` points to the class
// weight of all rows, else it is null. `scratch` is (units + 1, columns).
template <class T>
T loss_of(const LossNumbers<T> &numbers, Truth<T> truth, int64_t units, int64_t columns, const T *whole, T *outputs,
          T *delta, T *scratch) {
    using V = Vector<T>;
    const T number = T(numbers.number);
    switch (numbers.name) {
    case Loss::cross_entropy:
        if (numbers.smoothing > 0 || numbers.class_weights)
            truth = weighted(numbers, truth, units, columns, whole, scratch);
        return cross_entropy(truth, units, columns, outputs, delta);
    case Loss::hinge:
    case Loss::focal:
    case Loss::ordinal: {
        if (numbers.class_weights) truth = weighted(numbers, truth, units, columns, whole, scratch);
        if (numbers.name == Loss::hinge) return hinge(truth, units, columns, outputs, delta);
        if (numbers.name == Loss::focal) return focal(truth, units, columns, number, outputs, delta);
        return ordinal(truth, units, columns, outputs, delta);
    }
    case Loss::mse:
        return of_each(truth, units, columns, outputs, delta, [](V output, V target, V *gradient) -> V {
            const V error = output - target;
            *gradient = error * T(2);
            return error * error;
        });
    case Loss::mae:
        return of_each(truth, units, columns, outputs, delta, [](V output, V target, V *gradient) -> V {
            const V error = output - target;
            *gradient = error > 0 ? all(T(1)) : error < 0 ? all(T(-1)) : error;
            return magnitude(error);
        });
    case Loss::huber:
        return of_each(truth, units, columns, outputs, delta, [number](V output, V target, V *gradient) -> V {
            const V error = output - target;
            const V clipped = error > number ? all(number) : error < -number ? all(-number) : error;
            *gradient = clipped;
            return (error - clipped * T(0.5)) * clipped;
        });
    case Loss::label_cross_entropy: {
        const T kept = T(1 - numbers.smoothing), spread = T(numbers.smoothing) / T(2);
        return of_each(truth, units, columns, outputs, delta, [=](V output, V target, V *gradient) -> V {
            const V label = target * kept + spread, decay = exponential(-magnitude(output));
            *gradient = (output >= 0 ? all(T(1)) : decay) / (decay + T(1)) - label;
            return logarithm(decay + T(1)) + (output < 0 ? V{} : output) - label * output;
        });
    }
    case Loss::quantile: {
        T sum = 0;
        for (int64_t u = 0; u < units; u++) {
            const T level = T(numbers.levels[u]), share = T(1) / T(units);
            sum += regression(truth, columns, false, outputs + u * columns, delta + u * columns,
                              [=](V output, V target, V, V *gradient) -> V {
                const V error = target - output;
                const V slope = error > 0 ? all(level) : error < 0 ? all(level - T(1)) : error + (level - T(0.5));
                *gradient = slope * -share;
                return error * slope * share;
            });
        }
        return sum;
    }
    case Loss::poisson:
        return regression(truth, columns, true, outputs, delta, [](V output, V target, V offset, V *gradient) -> V {
            const V log_mean = output + offset, mean = exponential(log_mean);
            *gradient = mean - target;
            return mean - log_mean * target;
        });
    case Loss::gamma:
        return regression(truth, columns, true, outputs, delta, [](V output, V target, V offset, V *gradient) -> V {
            const V log_mean = output + offset, ratio = target * exponential(-log_mean);
            *gradient = T(1) - ratio;
            return log_mean + ratio;
        });
    case Loss::tweedie: {
        const T one = T(1 - numbers.number), two = T(2 - numbers.number);
        return regression(truth, columns, true, outputs, delta, [=](V output, V target, V offset, V *gradient) -> V {
            const V log_mean = output + offset;
            const V whole = exponential(log_mean * two), part = target * exponential(log_mean * one);
            *gradient = whole - part;
            return whole / two - part / one;
        });
    }
    }
    throw UnknownName();
}
