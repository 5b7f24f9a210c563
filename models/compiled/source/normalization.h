// Batch and layer normalisation of pre-activations, as in models/eager/normalization.py: scale * x_hat + shift, with x_hat =
// (z - mean) / sqrt(variance + NORM_EPSILON), over the rows of the batch for each unit or over the units for each row.
#pragma once

#include "functions.h"
#include "status.h"

// The parameters and statistics of one layer's normalisation, (units,) each; no running ones in layer normalisation.
template <class T> struct NormNumbers {
    T *scale, *shift, *running_mean, *running_variance;
    T momentum;
};

// Values for the backward pass: x_hat, (units, columns), and 1 / sqrt(variance + NORM_EPSILON) of each unit or column.
template <class T> struct Normalized {
    T *x_hat, *inverse;
};

template <class T, class F> inline T over_columns(int64_t columns, F of) {
    Vector<T> sum{};
    for (int64_t c = 0; c < columns; c += N<T>) sum += of(c);
    return sum_of<T>(sum);
}

template <class T> inline T inverse_root(T variance) { return T(1) / std::sqrt(variance + T(NORM_EPSILON)); }

// Batch normalisation, in place; `weights`, (columns,), are 1 / rows, or 0 for a column that fills up the batch.
template <class T>
void normalise_rows(NormNumbers<T> numbers, const T *weights, int64_t units, int64_t columns, T *z,
                    Normalized<T> kept) {
    T greatest = 0;
    for (int64_t c = 0; c < columns; c++) greatest = weights[c] > greatest ? weights[c] : greatest;
    const T rows = T(1) / greatest, unbiased = rows / (rows - 1 < 1 ? T(1) : rows - 1);
    for (int64_t u = 0; u < units; u++) {
        T *row = z + u * columns, *x_hat = kept.x_hat + u * columns;
        const T mean = over_columns<T>(columns, [&](int64_t c) { return load(row + c) * load(weights + c); });
        const T variance = over_columns<T>(columns, [&](int64_t c) {
            const Vector<T> centred = load(row + c) - mean;
            store(x_hat + c, centred);
            return centred * centred * load(weights + c);
        });
        numbers.running_mean[u] += numbers.momentum * (mean - numbers.running_mean[u]);
        numbers.running_variance[u] += numbers.momentum * (variance * unbiased - numbers.running_variance[u]);
        const T inverse = inverse_root(variance), scale = numbers.scale[u], shift = numbers.shift[u];
        kept.inverse[u] = inverse;
        for (int64_t c = 0; c < columns; c += N<T>) {
            const Vector<T> normal = load(x_hat + c) * inverse;
            store(x_hat + c, normal);
            store(row + c, normal * scale + shift);
        }
    }
}

template <class T> void normalise_by_running(NormNumbers<T> numbers, int64_t units, int64_t columns, T *z) {
    for (int64_t u = 0; u < units; u++) {
        const T mean = numbers.running_mean[u], inverse = inverse_root(numbers.running_variance[u]);
        const T scale = numbers.scale[u], shift = numbers.shift[u];
        for (int64_t c = 0; c < columns; c += N<T>) {
            T *at = z + u * columns + c;
            store(at, (load(at) - mean) * inverse * scale + shift);
        }
    }
}

// Layer normalisation, in place; `kept` holds null pointers if no backward pass follows.
template <class T>
void normalise_units(NormNumbers<T> numbers, int64_t units, int64_t columns, T *z, Normalized<T> kept) {
    using V = Vector<T>;
    for (int64_t c = 0; c < columns; c += N<T>) {
        V mean{}, variance{};
        for (int64_t u = 0; u < units; u++) mean += load(z + u * columns + c);
        mean /= T(units);
        for (int64_t u = 0; u < units; u++) {
            const V centred = load(z + u * columns + c) - mean;
            variance += centred * centred;
        }
        const V inverse = T(1) / root(variance / T(units) + T(NORM_EPSILON));
        if (kept.inverse) store(kept.inverse + c, inverse);
        for (int64_t u = 0; u < units; u++) {
            T *at = z + u * columns + c;
            const V normal = (load(at) - mean) * inverse;
            if (kept.x_hat) store(kept.x_hat + u * columns + c, normal);
            store(at, normal * numbers.scale[u] + numbers.shift[u]);
        }
    }
}

// Computes the gradients of scale and shift.
template <class T>
void norm_gradients(NormNumbers<T> gradients, int64_t units, int64_t columns, const T *delta, const T *x_hat) {
    for (int64_t u = 0; u < units; u++) {
        const T *own = delta + u * columns, *normal = x_hat + u * columns;
        gradients.shift[u] = over_columns<T>(columns, [&](int64_t c) { return load(own + c); });
        gradients.scale[u] = over_columns<T>(columns, [&](int64_t c) { return load(own + c) * load(normal + c); });
    }
}

// Turns `delta` into the gradient with respect to the pre-activations; `gradients` must be computed before.
template <class T>
void normalise_rows_backward(NormNumbers<T> numbers, NormNumbers<T> gradients, const T *weights, int64_t units,
                             int64_t columns, T *delta, Normalized<T> kept) {
    for (int64_t u = 0; u < units; u++) {
        const T scale = numbers.scale[u], inverse = kept.inverse[u];
        const T along_ones = scale * gradients.shift[u], along_x = scale * gradients.scale[u];
        for (int64_t c = 0; c < columns; c += N<T>) {
            T *at = delta + u * columns + c;
            const Vector<T> weight = load(weights + c), normal = load(kept.x_hat + u * columns + c);
            store(at, (load(at) * scale - weight * along_ones - weight * normal * along_x) * inverse);
        }
    }
}

template <class T>
void normalise_units_backward(NormNumbers<T> numbers, int64_t units, int64_t columns, T *delta, Normalized<T> kept) {
    using V = Vector<T>;
    for (int64_t c = 0; c < columns; c += N<T>) {
        V along_ones{}, along_x{};
        for (int64_t u = 0; u < units; u++) {
            const V scaled = load(delta + u * columns + c) * numbers.scale[u];
            along_ones += scaled;
            along_x += scaled * load(kept.x_hat + u * columns + c);
        }
        along_ones /= T(units);
        along_x /= T(units);
        const V inverse = load(kept.inverse + c);
        for (int64_t u = 0; u < units; u++) {
            T *at = delta + u * columns + c;
            const V normal = load(kept.x_hat + u * columns + c);
            store(at, (load(at) * numbers.scale[u] - along_ones - normal * along_x) * inverse);
        }
    }
}
