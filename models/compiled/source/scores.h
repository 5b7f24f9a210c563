// Sums over rows from which validation metrics are computed, in double precision and the user's units
// (models/metrics.py).
#pragma once

#include "losses.h"

// Counts the rows that are rightly predicted (the first of equal outputs counts); NaN if an output is not finite.
template <class T> double right(Truth<T> truth, int64_t classes, int64_t columns, const T *outputs) {
    using V = Vector<T>;
    V count{}, strange{};
    for (int64_t c = 0; c < columns; c += N<T>) {
        V greatest = load(outputs + c), share = load(truth.values + c), not_finite = greatest - greatest;
        for (int64_t k = 1; k < classes; k++) {
            const V output = load(outputs + k * columns + c), of_class = load(truth.values + k * columns + c);
            const auto is_greater = output > greatest;
            greatest = is_greater ? output : greatest;
            share = is_greater ? of_class : share;
            not_finite += output - output;
        }
        count += share > 0 ? all(T(1)) : V{};
        strange += load(truth.weights + c) > 0 ? not_finite : V{};
    }
    return double(sum_of<T>(count)) + double(sum_of<T>(strange));
}

// The truth of a regression in the user's units, (columns,); a prediction is output * scale + mean.
struct Coded {
    const double *values;
    double scale, mean;
};

// Sums `of(error)` over the rows, with error = prediction - truth.
template <class T, class F>
double sum_of_errors(Coded truth, const T *weights, int64_t columns, const T *outputs, F of) {
    constexpr int64_t LANES = N<double>;
    Vector<double> sums{};
    for (int64_t c = 0; c < columns; c += LANES)
        for (int64_t lane = 0; lane < LANES; lane++) {
            const double error = double(outputs[c + lane]) * truth.scale + truth.mean - truth.values[c + lane];
            sums[lane] += weights[c + lane] > 0 ? of(error) : 0.0;
        }
    return sum_of<double>(sums);
}

// Computes the sum of one score over the columns of a chunk.
template <class T>
double score_of(Score score, Truth<T> truth, Coded coded, int64_t units, int64_t columns, const T *outputs) {
    switch (score) {
    case Score::right: return right(truth, units, columns, outputs);
    case Score::squares:
        return sum_of_errors(coded, truth.weights, columns, outputs, [](double error) { return error * error; });
    case Score::distances:
        return sum_of_errors(coded, truth.weights, columns, outputs, [](double error) { return std::abs(error); });
    case Score::none: return 0;
    }
    throw UnknownName();
}
