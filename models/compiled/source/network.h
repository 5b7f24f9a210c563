// One member of a pack: its scratch memory, its forward pass and its backward pass.
//
// Values are (unit, column), a column being a row of the batch. The backward pass is that of models/eager/packed.py.
#pragma once

#include <optional>
#include <type_traits>

#include "activations.h"
#include "arena.h"
#include "bf16.h"
#include "input_stage.h"
#include "losses.h"
#include "normalization.h"
#include "products.h"
#include "trained.h"
#include "units.h"

inline bool drops(Dropout dropout) { return dropout.below > 0; }

template <class T> NormNumbers<T> norm_of(const Layer<T> &layer, Stack stack) {
    return {layer.scales[stack], layer.shifts[stack], layer.means[stack], layer.variances[stack],
            T(layer.norm_momentum)};
}

template <class T> bool is_trained(const Layer<T> &layer) { return layer.shares[PARAMETERS]; }

template <class T> int64_t n_hidden(const Member<T> &member) { return member.n_layers - 1; }
template <class T> const Layer<T> &output_of(const Member<T> &member) { return member.layers[n_hidden(member)]; }

// Values of one hidden layer that the forward pass keeps for the backward pass; (units, columns) except `transposed`.
template <class T> struct Kept {
    T *hidden;      // activations, before dropout
    T *below;       // the input of the next layer
    T *before;      // pre-activations, if the derivative needs them, else null
    T *applied;     // the activation function of `before`, if its share is trained, else null
    T *second;      // the second linear map, else null; in the backward pass the gradient with respect to it
    T *first;       // what it was joined with, else null
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
    const T *shares;       // (columns,) 1 / rows, or 0 for a column that fills up the batch
    const int32_t *noise;  // (1 + hidden layers, streams, 2) multipliers and offsets
    int64_t streams, noise_row;
    double drops;  // factor on the dropout rates
};

// Hashes to a uniform whole number below 2^24, as dropout_noise of models/noise.py.
inline uint32_t mixed(uint32_t x) {
    x = (x ^ (x >> 16)) * 2246822507u;
    x = (x ^ (x >> 13)) * 3266489909u;
    return (x ^ (x >> 16)) >> 8;
}

// Multiplies a dropout rate by the batch's factor; rounds as `threshold` of models/noise.py.
inline Dropout dropout_at(Dropout dropout, double factor) {
    const double rate = dropout.rate * factor;
    return factor == 1 ? dropout : Dropout{int64_t(std::nearbyint(rate * (1 << 24))), 1 / (1 - rate), rate};
}

// Applies dropout: out = in * scale for a kept unit, else 0. `out` may be `in`; `layer` is 0 for the inputs.
template <class T>
void drop(Dropout constant, const Batch<T> &batch, int64_t layer, int64_t stream, int64_t units, const T *in, T *out) {
    const Dropout dropout = dropout_at(constant, batch.drops);
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
    T **gained;  // by layer and linear map the weights times the layer's gain, (units, row); null without one
    T *outputs, *output_delta, *scratch;
    T *dropped, *dropped_rows;  // inputs after dropout, (inputs, columns) and (columns, input_row); else null
    std::optional<StagePasses<T>> stage;
    std::optional<Bf16Room> bf16;  // only if products round to bf16

    // `input_row` is the length of a row of inputs in the batches; 0 without a backward pass.
    Passes(const Member<T> &member, int64_t columns, int64_t input_row, Arena &arena)
        : member(member), columns(columns) {
        if (member.stage) stage.emplace(*member.stage, columns, arena);
        if (member.in_bf16 && input_row) bf16.emplace(largest_factor(), arena);
        kept = arena.take<Kept<T>>(n_hidden(member));
        for (int64_t i = 0; i < n_hidden(member); i++) {
            const Layer<T> &layer = member.layers[i];
            const int64_t size = layer.units * columns;
            const bool is_normal = layer.norm != Norm::none;
            T *hidden = arena.take<T>(size);
            kept[i] = {hidden, drops(layer.dropout) || layer.skips ? arena.take<T>(size) : hidden,
                       needs_input(layer.activation) || is_trained(layer) ? arena.take<T>(size) : nullptr,
                       is_trained(layer) ? arena.take<T>(size) : nullptr,
                       has_second(layer) ? arena.take<T>(size) : nullptr,
                       has_second(layer) ? arena.take<T>(size) : nullptr,
                       arena.take<T>(padded(layer.units, N<T>) * columns), arena.take<T>(size),
                       {is_normal ? arena.take<T>(size) : nullptr,
                        is_normal ? arena.take<T>(layer.units + columns) : nullptr}};
        }
        gained = arena.take<T *>(member.n_layers * MOST_MAPS);
        for (int64_t i = 0; i < member.n_layers; i++)
            each_map(member.layers[i], [&](const LinearMap<T> &map) {
                const Layer<T> &layer = member.layers[i];
                gained_of(i, map) = layer.gain == 1 ? nullptr : arena.take<T>(layer.units * layer.row);
            });
        outputs = arena.take<T>(output_of(member).units * columns);
        output_delta = arena.take<T>(output_of(member).units * columns);
        scratch = arena.take<T>((output_of(member).units + 1) * columns);
        dropped = drops(member.dropout) ? arena.take<T>(n_inputs() * columns) : nullptr;
        dropped_rows = drops(member.dropout) ? arena.take<T>(input_row * columns) : nullptr;
    }

    T *&gained_of(int64_t i, const LinearMap<T> &map) const { return gained[i * MOST_MAPS + map.number]; }

    // Inputs of the network, without padding.
    int64_t n_inputs() const { return member.stage ? member.stage->inputs : member.layers[0].inputs; }

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
            drop(member.dropout, batch, 0, member.stream, n_inputs(), inputs.at, dropped);
            if (!stage) transpose(dropped, columns, n_inputs(), columns, dropped_rows, batch.input_row);
            inputs = {dropped, columns, nullptr};
        }
        if (stage) {
            stage->forward(inputs.at, batch.columns_of, PARAMETERS);
            stage->transpose_out();
            inputs = {stage->out, columns, nullptr};
        }
        each_layer(inputs, PARAMETERS, [&](const Layer<T> &layer, int64_t i, const T *input) {
            const Kept<T> &keep = kept[i];
            const int64_t size = layer.units * columns;
            join_maps(layer, Units::maxout, keep);
            normalise(layer, batch.shares, keep);
            if (keep.before) std::memcpy(keep.before, keep.hidden, size * sizeof(T));
            apply(layer, PARAMETERS, keep);
            join_maps(layer, Units::glu, keep);
            if (drops(layer.dropout)) drop(layer.dropout, batch, i + 1, member.stream, layer.units, keep.hidden, keep.below);
            if (layer.skips) add_below(layer, i, drops(layer.dropout) ? keep.below : keep.hidden, input);
            transpose_below(keep, layer.units);
            return keep.below;
        });
    }

    // Joins the two linear maps where the layer's units are of that kind, and keeps what the backward pass needs.
    void join_maps(const Layer<T> &layer, Units kind, const Kept<T> &keep) const {
        if (!is_of(layer.kind, kind)) return;
        std::memcpy(keep.first, keep.hidden, layer.units * columns * sizeof(T));
        join(kind, keep.hidden, keep.second, layer.units * columns);
    }

    void part_maps(const Layer<T> &layer, Units kind, const Kept<T> &keep) const {
        if (is_of(layer.kind, kind)) part(kind, keep.delta, keep.first, keep.second, layer.units * columns);
    }

    void apply(const Layer<T> &layer, Stack stack, const Kept<T> &keep) const {
        if (is_of(layer.kind, Units::maxout)) return;
        if (is_trained(layer))
            return activate_by_shares(layer.activation, layer.shares[stack], layer.units, columns, keep.hidden, keep.applied);
        activate(layer.activation, keep.hidden, layer.units * columns);
    }

    // Computes what the next layer reads: `output` plus the layer's own input.
    void add_below(const Layer<T> &layer, int64_t i, const T *output, const T *input) {
        for (int64_t k = 0; k < layer.units * columns; k += N<T>)
            store(kept[i].below + k, load(output + k) + load(input + k));
    }

    // Returns the weights times the layer's gain; after `gain_weights` those of that stack.
    const T *weights_of(const LinearMap<T> &map, int64_t i, Stack stack) const {
        return gained_of(i, map) ? gained_of(i, map) : map.weights[stack];
    }

    void gain_weights(const LinearMap<T> &map, int64_t i, Stack stack) {
        T *to = gained_of(i, map);
        if (!to) return;
        const Layer<T> &layer = member.layers[i];
        std::memcpy(to, map.weights[stack], layer.units * layer.row * sizeof(T));
        scale(to, layer.units * layer.row, T(layer.gain));
    }

    static void scale(T *values, int64_t count, T factor) {
        change(values, count, [=](Register<T> x) -> Register<T> { return x * factor; });
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
        if (stage) stage->forward(inputs, inputs, stack);
        const T *first = stage ? stage->out : inputs;
        each_layer({first, columns, nullptr}, stack, [&](const Layer<T> &layer, int64_t i, const T *input) {
            join_maps(layer, Units::maxout, kept[i]);
            normalise_alone(layer, stack, kept[i].hidden);
            apply(layer, stack, kept[i]);
            join_maps(layer, Units::glu, kept[i]);
            if (!layer.skips) return kept[i].hidden;
            add_below(layer, i, kept[i].hidden, input);
            return kept[i].below;
        });
    }

    // Runs all layers; `finish(layer, i, input)` turns the pre-activations in kept[i].hidden into the next
    // layer's input.
    template <class F> void each_layer(Right<T> below, Stack stack, F finish) {
        for (int64_t i = 0; i < member.n_layers; i++) {
            const Layer<T> &layer = member.layers[i];
            const bool is_output = i == n_hidden(member);
            each_map(layer, [&](const LinearMap<T> &map) {
                gain_weights(map, i, stack);
                multiply({weights_of(map, i, stack), layer.row, 1}, below, layer.units, layer.inputs, columns,
                         {map.biases[stack], false}, is_output ? outputs : map.number ? kept[i].second : kept[i].hidden,
                         columns);
            });
            if (!is_output) below = {finish(layer, i, below.at), columns, nullptr};
        }
    }

    // `sink.room` returns memory for the gradients of rows of weights, then `sink.done` is called; see Gradients.
    template <class Sink> void backward(const Batch<T> &batch, Sink &sink) {
        T *delta = output_delta;
        for (int64_t i = n_hidden(member); i >= 0; i--) {
            const Layer<T> &layer = member.layers[i];
            if (layer.skips) std::memcpy(kept[i - 1].delta, delta, layer.units * columns * sizeof(T));
            if (i < n_hidden(member)) to_pre_activations(layer, batch, i);
            T *below = i ? kept[i - 1].delta : stage ? stage->delta : nullptr;
            const Right<T> read = i         ? rows_below(i)
                                  : stage   ? Right<T>{stage->rows, stage->padded_units(), nullptr}
                                  : dropped ? Right<T>{dropped_rows, batch.input_row, nullptr}
                                            : Right<T>{batch.rows, batch.input_row, batch.row_pairs};
            each_map(layer, [&](const LinearMap<T> &map) {
                map_backward(i, map, map.number ? kept[i].second : delta, read, below, sink);
            });
            delta = below;
        }
        if (stage) stage->backward();
    }

    // Computes the gradients of a linear map of layer i from those with respect to its results, and adds to `below`.
    template <class Sink>
    void map_backward(int64_t i, const LinearMap<T> &map, const T *delta, Right<T> read, T *below, Sink &sink) {
        const Layer<T> &layer = member.layers[i];
        bias_gradients(layer, map, delta);
        const int64_t at_once = rows_at_once(layer);
        for (int64_t u = 0; u < layer.units; u += at_once) {
            const int64_t n = std::min(at_once, layer.units - u);
            const T *part = delta + u * columns;
            if (below)
                multiply({weights_of(map, i, PARAMETERS) + u * layer.row, 1, layer.row}, {part, columns, nullptr},
                         layer.inputs, n, columns, {nullptr, u > 0 || map.number || layer.skips}, below, columns);
            T *found = sink.room(layer, map, u);
            multiply({part, columns, 1}, read, n, columns, padded(layer.inputs, N<T>), {}, found, layer.row);
            for (int64_t r = 0; gained_of(i, map) && r < n; r++)
                scale(found + r * layer.row, padded(layer.inputs, N<T>), T(layer.gain));
            sink.done(layer, map, u, n);
        }
    }

    void bias_gradients(const Layer<T> &layer, const LinearMap<T> &map, const T *delta) {
        for (int64_t u = 0; u < layer.units && map.biases[GRADIENTS]; u++)
            map.biases[GRADIENTS][u] =
                over_columns<T>(columns, [&](int64_t c) { return load(delta + u * columns + c); });
    }

    void to_pre_activations(const Layer<T> &layer, const Batch<T> &batch, int64_t i) {
        const Kept<T> &keep = kept[i];
        if (drops(layer.dropout)) drop(layer.dropout, batch, i + 1, member.stream, layer.units, keep.delta, keep.delta);
        part_maps(layer, Units::glu, keep);
        activations_backward(layer, keep);
        if (layer.norm != Norm::none) normalise_backward(layer, batch.shares, keep);
        part_maps(layer, Units::maxout, keep);
    }

    void activations_backward(const Layer<T> &layer, const Kept<T> &keep) {
        if (is_of(layer.kind, Units::maxout)) return;
        const T *after = keep.first ? keep.first : keep.hidden;
        if (is_trained(layer))
            shares_backward(layer.activation, layer.shares[PARAMETERS], layer.shares[GRADIENTS], layer.units, columns,
                            keep.delta, keep.before, keep.applied, keep.hidden);
        else
            activate_backward(layer.activation, keep.delta, keep.before ? keep.before : after, layer.units * columns);
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
