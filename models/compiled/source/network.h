// One member of a pack: its scratch memory, its forward pass and its backward pass.
//
// Values are (unit, column), a column being a row of the batch. The backward pass is that of models/eager/packed.py.
#pragma once

#include <optional>
#include <type_traits>

#include "activations.h"
#include "arena.h"
#include "bf16.h"
#include "losses.h"
#include "normalization.h"
#include "products.h"
#include "updates.h"

inline bool drops(Dropout dropout) { return dropout.below > 0; }

template <class T> NormNumbers<T> norm_of(const Layer<T> &layer, Stack stack) {
    return {layer.scales[stack], layer.shifts[stack], layer.means[stack], layer.variances[stack]};
}

template <class T> int64_t n_hidden(const Member<T> &member) { return member.n_layers - 1; }
template <class T> const Layer<T> &output_of(const Member<T> &member) { return member.layers[n_hidden(member)]; }

// Values of one hidden layer that the forward pass keeps for the backward pass; (units, columns) except `transposed`.
template <class T> struct Kept {
    T *hidden;      // activations, before dropout
    T *below;       // the input of the next layer
    T *before;      // pre-activations, if the derivative needs them, else null
    T *transposed;  // `below` as (columns, padded units), or as pairs of columns if products round to bf16
    T *delta;
    Normalized<T> normalized;
};

// One step's batch of one member; `rows` is (columns, input_row), `columns_of` (inputs, columns).
template <class T> struct Batch {
    const T *rows, *columns_of;
    const Bf16 *row_pairs, *column_pairs;  // of `rows` and `columns_of`; null if no product rounds to bf16
    int64_t input_row, columns;
    Truth<T> truth;
    const int32_t *noise;  // (1 + hidden layers, streams, 2) multipliers and offsets
    int64_t streams, noise_row;
};

// Hashes to a uniform whole number below 2^24, as dropout_noise of models/noise.py.
inline uint32_t mixed(uint32_t x) {
    x = (x ^ (x >> 16)) * 2246822507u;
    x = (x ^ (x >> 13)) * 3266489909u;
    return (x ^ (x >> 16)) >> 8;
}

// Applies dropout: out = in * scale for a kept unit, else 0. `out` may be `in`; `layer` is 0 for the inputs.
template <class T>
void drop(Dropout dropout, const Batch<T> &batch, int64_t layer, int64_t stream, int64_t units, const T *in, T *out) {
    const int32_t *key = batch.noise + (layer * batch.streams + stream) * 2;
    const uint32_t multiplier = key[0], offset = key[1], limit = dropout.below;
    const T scale = T(dropout.scale);
    for (int64_t u = 0; u < units; u++) {
        const uint32_t start = uint32_t(u * batch.noise_row) * multiplier + offset;
        const T *from = in + u * batch.columns;
        T *to = out + u * batch.columns;
        for (int64_t c = 0; c < batch.columns; c++) {
            const T kept = from[c] * scale;
            to[c] = mixed(start + uint32_t(c) * multiplier) < limit ? T(0) : kept;
        }
    }
}

// Number of rows of a layer's weights that the backward pass handles at a time: all rows if they, their gradients and
// moments fit the second-level cache; else few, so that these are still in the cache when they are updated.
template <class T> int64_t rows_at_once(const Layer<T> &layer) {
    constexpr int64_t FIT = 1 << 16, FEW = 48;  // numbers, a quarter of 1 MiB; rows, a multiple of those of all tiles
    return layer.units * layer.row > FIT ? FEW : layer.units;
}

// The passes of one member and their scratch memory, which is a part of the arena.
template <class T> struct Passes {
    const Member<T> &member;
    int64_t columns;
    Kept<T> *kept;
    T *outputs, *output_delta, *scratch;
    T *dropped, *dropped_rows;  // inputs after dropout, (inputs, columns) and (columns, input_row); else null
    std::optional<Bf16Room> bf16;  // only if products round to bf16

    // `input_row` is the length of a row of inputs in the batches; 0 without a backward pass.
    Passes(const Member<T> &member, int64_t columns, int64_t input_row, Arena &arena)
        : member(member), columns(columns) {
        if (member.in_bf16 && input_row) bf16.emplace(largest_factor(), arena);
        kept = arena.take<Kept<T>>(n_hidden(member));
        for (int64_t i = 0; i < n_hidden(member); i++) {
            const Layer<T> &layer = member.layers[i];
            const int64_t size = layer.units * columns;
            const bool is_normal = layer.norm != Norm::none;
            T *hidden = arena.take<T>(size);
            kept[i] = {hidden, drops(layer.dropout) ? arena.take<T>(size) : hidden,
                       needs_input(layer.activation) ? arena.take<T>(size) : nullptr,
                       arena.take<T>(padded(layer.units, N<T>) * columns), arena.take<T>(size),
                       {is_normal ? arena.take<T>(size) : nullptr,
                        is_normal ? arena.take<T>(layer.units + columns) : nullptr}};
        }
        outputs = arena.take<T>(output_of(member).units * columns);
        output_delta = arena.take<T>(output_of(member).units * columns);
        scratch = arena.take<T>((output_of(member).units + 1) * columns);
        dropped = drops(member.dropout) ? arena.take<T>(member.layers[0].inputs * columns) : nullptr;
        dropped_rows = drops(member.dropout) ? arena.take<T>(input_row * columns) : nullptr;
    }

    // Counts the numbers of the largest factor of a product, filled up to whole tiles.
    int64_t largest_factor() const {
        const int64_t c = padded(columns, TILE_TERMS);
        int64_t most = 0;
        for (int64_t i = 0; i < member.n_layers; i++) {
            const int64_t in = padded(member.layers[i].inputs, TILE_TERMS), out = padded(member.layers[i].units, TILE_TERMS);
            most = std::max({most, in * out, in * c, out * c});
        }
        return most;
    }

    // See `product` and `product_in_bf16`.
    void multiply(Factor<T> left, Right<T> right, int64_t rows, int64_t terms, int64_t n, Start<T> start, T *out,
                  int64_t out_row) {
        if constexpr (std::is_same_v<T, float>)
            if (bf16) return product_in_bf16(left, right, rows, terms, n, start, out, out_row, *bf16);
        product<T>(left, right.at, right.row, rows, terms, n, start, out, out_row);
    }

    // Runs both passes and returns the loss; `sink` receives the gradients of the weights.
    template <class Sink> T run(const Batch<T> &batch, Sink &sink) {
        forward(batch);
        const T found = loss(member.loss, batch.truth, nullptr);
        backward(batch, sink);
        return found;
    }

    // Computes the loss of `outputs`; see loss_of.
    T loss(const LossNumbers<T> &numbers, Truth<T> truth, const T *whole) {
        return loss_of<T>(numbers, truth, output_of(member).units, columns, whole, outputs, output_delta, scratch);
    }

    void forward(const Batch<T> &batch) {
        Right<T> inputs{batch.columns_of, columns, batch.column_pairs};
        if (drops(member.dropout)) {
            const int64_t n_inputs = member.layers[0].inputs;
            drop(member.dropout, batch, 0, member.stream, n_inputs, inputs.at, dropped);
            transpose(dropped, columns, n_inputs, columns, dropped_rows, batch.input_row);
            inputs = {dropped, columns, nullptr};
        }
        each_layer(inputs, PARAMETERS, [&](const Layer<T> &layer, int64_t i) {
            const Kept<T> &keep = kept[i];
            const int64_t size = layer.units * columns;
            normalise(layer, batch.truth.weights, keep);
            if (keep.before) std::memcpy(keep.before, keep.hidden, size * sizeof(T));
            activate(layer.activation, keep.hidden, size);
            if (drops(layer.dropout)) drop(layer.dropout, batch, i + 1, member.stream, layer.units, keep.hidden, keep.below);
            transpose_below(keep, layer.units);
            return keep.below;
        });
    }

    void transpose_below(const Kept<T> &keep, int64_t units) {
        if constexpr (std::is_same_v<T, float>)
            if (bf16) {
                Bf16 *pairs = reinterpret_cast<Bf16 *>(keep.transposed);
                return to_pairs_transposed(keep.below, units, columns, bf16->left, pairs);
            }
        transpose(keep.below, columns, units, columns, keep.transposed, padded(units, N<T>));
    }

    // The inputs of layer i > 0, transposed: one row for each column of the batch.
    Right<T> rows_below(int64_t i) const {
        const T *at = kept[i - 1].transposed;
        return {at, padded(member.layers[i].inputs, N<T>), bf16 ? reinterpret_cast<const Bf16 *>(at) : nullptr};
    }

    void normalise(const Layer<T> &layer, const T *weights, const Kept<T> &keep) {
        const NormNumbers<T> numbers = norm_of(layer, PARAMETERS);
        switch (layer.norm) {
        case Norm::none: return;
        case Norm::batch:
            return normalise_rows(numbers, weights, layer.units, columns, keep.hidden, keep.normalized);
        case Norm::layer: return normalise_units(numbers, layer.units, columns, keep.hidden, keep.normalized);
        }
        throw UnknownName();
    }

    // Normalises with running statistics (batch normalisation), or over the units of each column (layer normalisation).
    void normalise_alone(const Layer<T> &layer, Stack stack, T *hidden) const {
        switch (layer.norm) {
        case Norm::none: return;
        case Norm::batch: return normalise_by_running(norm_of(layer, stack), layer.units, columns, hidden);
        case Norm::layer: return normalise_units(norm_of(layer, stack), layer.units, columns, hidden, {});
        }
        throw UnknownName();
    }

    // Computes `outputs` with the weights of `stack`, without dropout, and keeps nothing for a backward pass.
    void evaluate(const T *inputs, Stack stack) {
        each_layer({inputs, columns, nullptr}, stack, [&](const Layer<T> &layer, int64_t i) {
            T *hidden = kept[i].hidden;
            normalise_alone(layer, stack, hidden);
            activate(layer.activation, hidden, layer.units * columns);
            return hidden;
        });
    }

    // Runs all layers; `finish(layer, i)` turns the pre-activations in kept[i].hidden into the next layer's input.
    template <class F> void each_layer(Right<T> below, Stack stack, F finish) {
        for (int64_t i = 0; i < member.n_layers; i++) {
            const Layer<T> &layer = member.layers[i];
            const bool is_output = i == n_hidden(member);
            multiply({layer.weights[stack], layer.row, 1}, below, layer.units, layer.inputs, columns,
                     {layer.biases[stack], false}, is_output ? outputs : kept[i].hidden, columns);
            if (!is_output) below = {finish(layer, i), columns, nullptr};
        }
    }

    // `sink.room` returns memory for the gradients of rows of weights, then `sink.done` is called; see Gradients.
    template <class Sink> void backward(const Batch<T> &batch, Sink &sink) {
        T *delta = output_delta;
        for (int64_t i = n_hidden(member); i >= 0; i--) {
            const Layer<T> &layer = member.layers[i];
            if (i < n_hidden(member)) to_pre_activations(layer, batch, i);
            bias_gradients(layer, delta);
            T *below = i ? kept[i - 1].delta : nullptr;
            const Right<T> read = i         ? rows_below(i)
                                  : dropped ? Right<T>{dropped_rows, batch.input_row, nullptr}
                                            : Right<T>{batch.rows, batch.input_row, batch.row_pairs};
            const int64_t at_once = rows_at_once(layer);
            for (int64_t u = 0; u < layer.units; u += at_once) {
                const int64_t n = std::min(at_once, layer.units - u);
                const T *part = delta + u * columns;
                if (below)
                    multiply({layer.weights[PARAMETERS] + u * layer.row, 1, layer.row}, {part, columns, nullptr},
                             layer.inputs, n, columns, {nullptr, u > 0}, below, columns);
                multiply({part, columns, 1}, read, n, columns, padded(layer.inputs, N<T>), {}, sink.room(layer, u),
                         layer.row);
                sink.done(layer, u, n);
            }
            delta = below;
        }
    }

    void bias_gradients(const Layer<T> &layer, const T *delta) {
        for (int64_t u = 0; u < layer.units && layer.biases[GRADIENTS]; u++)
            layer.biases[GRADIENTS][u] =
                over_columns<T>(columns, [&](int64_t c) { return load(delta + u * columns + c); });
    }

    void to_pre_activations(const Layer<T> &layer, const Batch<T> &batch, int64_t i) {
        const Kept<T> &keep = kept[i];
        if (drops(layer.dropout)) drop(layer.dropout, batch, i + 1, member.stream, layer.units, keep.delta, keep.delta);
        activate_backward(layer.activation, keep.delta, keep.before ? keep.before : keep.hidden, layer.units * columns);
        if (layer.norm != Norm::none) normalise_backward(layer, batch.truth.weights, keep);
    }

    void normalise_backward(const Layer<T> &layer, const T *weights, const Kept<T> &keep) {
        const NormNumbers<T> numbers = norm_of(layer, PARAMETERS), found = norm_of(layer, GRADIENTS);
        norm_gradients(found, layer.units, columns, keep.delta, keep.normalized.x_hat);
        switch (layer.norm) {
        case Norm::none: return;
        case Norm::batch:
            return normalise_rows_backward(numbers, found, weights, layer.units, columns, keep.delta, keep.normalized);
        case Norm::layer:
            return normalise_units_backward(numbers, layer.units, columns, keep.delta, keep.normalized);
        }
        throw UnknownName();
    }
};

template <class T> Run<T> run_of(T *const *stacks, int64_t at) {
    const auto from = [&](Stack stack) { return stacks[stack] ? stacks[stack] + at : nullptr; };
    return {from(PARAMETERS), from(GRADIENTS), from(FIRST), from(SECOND), from(AVERAGE)};
}

// Calls `visit(run, count)` for rows of a layer's weights: for each row, or once for all if they are contiguous.
template <class T, class F> void each_row(const Layer<T> &layer, int64_t first, int64_t rows, F visit) {
    const int64_t length = padded(layer.inputs, N<T>);
    const int64_t rows_of_run = length == layer.row ? rows : 1;
    for (int64_t u = first; u < first + rows; u += rows_of_run)
        visit(run_of<T>(layer.weights, u * layer.row), rows_of_run * length);
}

// Calls `visit(run, count)` for a layer's biases, scales and shifts.
template <class T, class F> void each_vector(const Layer<T> &layer, F visit) {
    for (T *const *stacks : {layer.biases, layer.scales, layer.shifts})
        if (stacks[PARAMETERS]) visit(run_of<T>(stacks, 0), padded(layer.units, N<T>));
}

// Calls `visit(run, count)` for all parameters of the member, always in the same order.
template <class T, class F> void each_run(const Member<T> &member, F visit) {
    for (int64_t i = 0; i < member.n_layers; i++) {
        each_row(member.layers[i], 0, member.layers[i].units, visit);
        each_vector(member.layers[i], visit);
    }
}

// Computes the factor that clips the norm of the gradient (Pascanu et al. 2013); 1e-6 as in PyTorch.
template <class T> T clipped_to(const Member<T> &member) {
    if (!member.update.clip) return 1;
    Vector<T> sum{};
    each_run(member, [&](Run<T> run, int64_t count) { add_squares(sum, run, count); });
    const T factor = T(member.update.clip) / (std::sqrt(sum_of<T>(sum)) + T(1e-6));
    return factor < 1 ? factor : 1;  // also 1 for NaN: the member diverges anyway
}

// Updates the averages of the running statistics, which no update rule changes.
template <class T> void average_statistics(const Member<T> &member, const Step<T> &step) {
    for (int64_t i = 0; i < n_hidden(member); i++) {
        const Layer<T> &layer = member.layers[i];
        for (T *const *stacks : {layer.means, layer.variances})
            if (stacks[AVERAGE]) {
                const Run<T> run{stacks[PARAMETERS], nullptr, nullptr, nullptr, stacks[AVERAGE]};
                take_average(member.update, step, run, padded(layer.units, N<T>));
            }
    }
}

template <class T> Step<T> step_of(const Member<T> &member, T rate, int64_t number) {
    const RuleNumbers &numbers = member.update;
    return {rate, T(1), T(1 - std::pow(numbers.beta1, double(number))),
            T(std::sqrt(1 - std::pow(numbers.beta2, double(number)))), number == 1};
}

template <class T> void update_member(const Member<T> &member, T rate, int64_t number) {
    const RuleNumbers &numbers = member.update;
    if (numbers.l1) each_run(member, [&](Run<T> run, int64_t count) { add_l1(numbers, run, count); });
    Step<T> step = step_of(member, rate, number);
    step.clipped_to = clipped_to(member);
    each_run(member, [&](Run<T> run, int64_t count) { update(numbers, step, run, count); });
    average_statistics(member, step);
}

// Sinks receive the gradients of the backward pass. This one stores them in the stack of gradients.
template <class T> struct Gradients {
    T *room(const Layer<T> &layer, int64_t row) const { return layer.weights[GRADIENTS] + row * layer.row; }
    void done(const Layer<T> &, int64_t, int64_t) const {}
};

// This one updates the weights at once, while the gradients are in the cache. It cannot be used with clipping, which
// needs the norm of the whole gradient first.
template <class T> struct UpdateAtOnce {
    const Member<T> &member;
    const Step<T> step;
    T *const scratch;  // (rows at once, row) of the largest layer

    UpdateAtOnce(const Member<T> &member, T rate, int64_t number, T *scratch)
        : member(member), step(step_of(member, rate, number)), scratch(scratch) {}

    T *room(const Layer<T> &, int64_t) const { return scratch; }

    void done(const Layer<T> &layer, int64_t row, int64_t rows) const {
        T *gradients = scratch;
        each_row(layer, row, rows, [&](Run<T> run, int64_t count) {
            run.gradients = gradients;
            take(run, count);
            gradients += std::max(count, layer.row);
        });
    }

    // Updates the remaining parameters after the pass: biases, scales and shifts.
    void finish() const {
        for (int64_t i = 0; i < member.n_layers; i++)
            each_vector(member.layers[i], [&](Run<T> run, int64_t count) { take(run, count); });
        average_statistics(member, step);
    }

  private:
    void take(Run<T> run, int64_t count) const {
        if (member.update.l1) add_l1(member.update, run, count);
        update(member.update, step, run, count);
    }
};

template <class T> int64_t size_of_scratch(const Member<T> &member) {
    int64_t most = 0;
    for (int64_t i = 0; i < member.n_layers; i++)
        most = std::max(most, rows_at_once(member.layers[i]) * member.layers[i].row);
    return most;
}
