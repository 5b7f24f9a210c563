// The input stage of one member: what is between its inputs and its first layer, as in models/eager/input_stage.py.
#pragma once

#include "arena.h"
#include "functions.h"
#include "products.h"
#include "status.h"

// What the kinds of number embeddings differ in.
struct EmbeddingForm {
    bool has_bins;      // its features are shares of bins, else sines and cosines of angles
    bool has_phases;    // its features are cosines with trained phases, else sines and cosines
    bool rectifies;     // what the linear map gives
    bool keeps_number;  // the number itself is the last value
};

inline EmbeddingForm form_of(Embedding kind) {
    switch (kind) {
    case Embedding::none:
    case Embedding::periodic: return {false, false, false, false};
    case Embedding::plr: return {false, false, true, false};
    case Embedding::pbld: return {false, true, false, true};
    case Embedding::piecewise: return {true, false, false, false};
    }
    throw UnknownName();
}

// Calls `visit(part)` for each trained part of a stage.
template <class T, class F> void each_trained(const Stage<T> &stage, F visit) {
    for (const StagePart<T> *part : {&stage.frequency, &stage.phase, &stage.linear, &stage.linear_bias, &stage.category,
                                     &stage.missing, &stage.input_scale})
        if (part->values[PARAMETERS]) visit(*part);
}

// Calls `visit(part)` for each part of a stage that training does not change.
template <class T, class F> void each_constant(const Stage<T> &stage, F visit) {
    for (const StagePart<T> *part : {&stage.edge, &stage.inverse_width})
        if (part->values[PARAMETERS]) visit(*part);
}

// Adds up N vectors of partial sums: one number for each.
template <class T> inline Vector<T> sums_of_lines(Vector<T> *lines) {
    exchange<T, N<T> / 2>(lines);
    Vector<T> sum = lines[0];
    for (int64_t i = 1; i < N<T>; i++) sum += lines[i];
    return sum;
}

// out[f] = factor * sum over the columns of by[c] * lines[f][c], or of lines[f][c] where `by` is null; added to `out` if
// `adds`. Numbers of `out` after `count` are 0, up to a multiple of N.
template <class T>
void weighted_sums(const T *by, const T *lines, int64_t count, int64_t columns, T factor, bool adds, T *out) {
    for (int64_t f = 0; f < count; f += N<T>) {
        const int64_t here = std::min(N<T>, count - f);
        Vector<T> sums[N<T>] = {};
        for (int64_t c = 0; c < columns; c += N<T>) {
            const Vector<T> weight = by ? load(by + c) : all(T(1));
            for (int64_t i = 0; i < here; i++) sums[i] += weight * load(lines + (f + i) * columns + c);
        }
        const Vector<T> found = factor * sums_of_lines<T>(sums);
        store(out + f, adds ? load(out + f) + found : found);
    }
}

// Computes sine and cosine of first * x + second for all columns; `size` is the greatest magnitude of x.
template <class T>
void sines(const T *x, T size, T first, T second, int64_t columns, T *sine, T *cosine) {
    if (std::abs(first) * size + std::abs(second) <= T(GREATEST_ANGLE)) {
        for (int64_t c = 0; c < columns; c += N<T>) {
            Vector<T> of_sine, of_cosine;
            sine_and_cosine(first * load(x + c) + second, of_sine, of_cosine);
            store(sine + c, of_sine);
            store(cosine + c, of_cosine);
        }
        return;
    }
    for (int64_t c = 0; c < columns; c++) {  // also for NaN
        const T angle = first * x[c] + second;
        sine[c] = std::sin(angle);
        cosine[c] = std::cos(angle);
    }
}

// The passes through one member's stage, and their scratch memory.
template <class T> struct StagePasses {
    const Stage<T> &stage;
    const EmbeddingForm form;
    int64_t columns;
    T *out, *rows;          // what the first layer reads: (units, columns) and, transposed, (columns, padded units)
    T *delta;               // the gradient with respect to `out`
    T *before;              // `out` before its trained factors
    T *features;            // (embedded, features, columns)
    T *sine;                // of the angles, (embedded, frequencies, columns); in periodic a part of the features
    T *of_features, *back;  // gradients of one column's features, and of its number
    T *filled;              // rows with a trained value for what is missing, (pairs, columns)
    const T **row_of;       // by input, its numbers
    const T *codes;         // the inputs without dropout

    StagePasses(const Stage<T> &stage, int64_t columns, Arena &arena)
        : stage(stage), form(form_of(stage.kind)), columns(columns) {
        const int64_t size = stage.units * columns, n = stage.columns * columns;
        out = arena.take<T>(size);
        rows = arena.take<T>(padded(stage.units, N<T>) * columns);
        delta = arena.take<T>(size);
        before = stage.input_scale.values[PARAMETERS] ? arena.take<T>(size) : out;
        features = arena.take<T>(n * stage.features);
        sine = arena.take<T>(n * stage.frequencies);
        of_features = arena.take<T>(stage.features * columns);
        back = arena.take<T>(columns);
        filled = arena.take<T>(stage.pairs * columns);
        row_of = arena.take<const T *>(stage.inputs);
    }

    int64_t padded_units() const { return padded(stage.units, N<T>); }

    // Computes `out` from inputs, (inputs, columns), with the weights of a stack; `whole` are the inputs without dropout.
    void forward(const T *inputs, const T *whole, Stack stack) {
        for (int64_t i = 0; i < stage.inputs; i++) row_of[i] = inputs + i * columns;
        for (int64_t i = 0; i < stage.pairs; i++) fill(i, inputs, stage.missing.values[stack][i]);
        for (int64_t j = 0; j < stage.columns; j++) embed(j, stack);
        codes = whole;
        each_category([&](const T *code, int64_t width, int64_t at, int64_t unit) {
            const T *table = stage.category.values[stack] + at;
            for (int64_t w = 0; w < width; w++)
                for (int64_t c = 0; c < columns; c++)
                    before[(unit + w) * columns + c] = table[int64_t(code[c]) * width + w];
        });
        for (int64_t i = 0; i < stage.n_kept; i++)
            std::memcpy(before + (kept_from() + i) * columns, row_of[stage.kept[i]], columns * sizeof(T));
        if (before != out)
            for (int64_t u = 0; u < stage.units; u++) scale(before + u * columns, stage.input_scale.values[stack][u], out + u * columns);
    }

    void transpose_out() { transpose(out, columns, stage.units, columns, rows, padded_units()); }

    // Computes the gradients of the stage's numbers from `delta`, which is changed.
    void backward() {
        for (int64_t u = 0; before != out && u < stage.units; u++) {
            T *own = delta + u * columns, *values = before + u * columns;
            Vector<T> sum{};
            for (int64_t c = 0; c < columns; c += N<T>) sum += load(own + c) * load(values + c);
            stage.input_scale.values[GRADIENTS][u] = sum_of<T>(sum);
            scale(own, stage.input_scale.values[PARAMETERS][u], own);
        }
        for (int64_t i = 0; i < stage.pairs; i++) stage.missing.values[GRADIENTS][i] = 0;
        for (int64_t j = 0; j < stage.columns; j++) embed_backward(j);
        if (stage.n_codes) std::memset(stage.category.values[GRADIENTS], 0, stage.category.count * sizeof(T));
        each_category([&](const T *code, int64_t width, int64_t at, int64_t unit) {
            T *table = stage.category.values[GRADIENTS] + at;
            for (int64_t c = 0; c < columns; c++)
                for (int64_t w = 0; w < width; w++)
                    table[int64_t(code[c]) * width + w] += delta[(unit + w) * columns + c];
        });
        for (int64_t i = 0; i < stage.n_kept; i++)
            fill_backward(stage.kept[i], delta + (kept_from() + i) * columns);
    }

  private:
    // Calls `visit(codes, width, place of its table, first unit)` for each column of codes.
    template <class F> void each_category(F visit) const {
        int64_t at = 0, unit = stage.columns * stage.size;
        for (int64_t i = 0; i < stage.n_codes; i++) {
            const int64_t *code = stage.codes + 3 * i;
            visit(codes + code[0] * columns, code[2], at, unit);
            at += code[1] * code[2];
            unit += code[2];
        }
    }

    int64_t kept_from() const { return stage.units - stage.n_kept; }

    void scale(const T *in, T factor, T *to) {
        for (int64_t c = 0; c < columns; c += N<T>) store(to + c, load(in + c) * factor);
    }

    // Adds the trained value where the number of a pair is missing, which is the median there.
    void fill(int64_t pair, const T *inputs, T value) {
        const T *flag = inputs + stage.missing_at[2 * pair] * columns;
        const T *number = inputs + stage.missing_at[2 * pair + 1] * columns;
        T *to = filled + pair * columns;
        for (int64_t c = 0; c < columns; c += N<T>) store(to + c, load(number + c) + load(flag + c) * value);
        row_of[stage.missing_at[2 * pair + 1]] = to;
    }

    // Adds to the gradients of the trained values of an input what its gradient, (columns,), says.
    void fill_backward(int64_t input, const T *of_input) {
        for (int64_t i = 0; i < stage.pairs; i++) {
            if (stage.missing_at[2 * i + 1] != input) continue;
            const T *flag = row_of[stage.missing_at[2 * i]];
            Vector<T> sum{};
            for (int64_t c = 0; c < columns; c += N<T>) sum += load(flag + c) * load(of_input + c);
            stage.missing.values[GRADIENTS][i] += sum_of<T>(sum);
        }
    }

    bool is_filled(int64_t input) const {
        for (int64_t i = 0; i < stage.pairs; i++)
            if (stage.missing_at[2 * i + 1] == input) return true;
        return false;
    }

    // The first row of a column's linear map.
    int64_t row_of_map(int64_t j) const { return (stage.maps > 1 ? j : 0) * stage.n_linear; }

    T *features_of(int64_t j) const { return features + j * stage.features * columns; }

    T *sine_of(int64_t j) const {
        return form.has_phases ? sine + j * stage.frequencies * columns
                               : features_of(j) + stage.frequencies * columns;
    }

    void embed(int64_t j, Stack stack) {
        const T *x = row_of[stage.embedded[j]];
        T *values = before + j * stage.size * columns;
        if (form.has_bins)
            encode(j, x, stack);
        else
            find_sines(j, x, stack);
        const int64_t row = row_of_map(j);
        product<T>({stage.linear.values[stack] + row * stage.linear.row, stage.linear.row, 1}, features_of(j), columns,
                   stage.n_linear, stage.features, columns, {stage.linear_bias.values[stack] + row, false}, values,
                   columns);
        if (form.rectifies)
            for (int64_t i = 0; i < stage.n_linear * columns; i += N<T>) {
                const Vector<T> value = load(values + i);
                store(values + i, value < 0 ? Vector<T>{} : value);
            }
        if (form.keeps_number) std::memcpy(values + stage.n_linear * columns, x, columns * sizeof(T));
    }

    void find_sines(int64_t j, const T *x, Stack stack) {
        const T *frequency = stage.frequency.values[stack] + j * stage.frequency.row;
        const T *phase = form.has_phases ? stage.phase.values[stack] + j * stage.phase.row : nullptr;
        Vector<T> greatest{};
        for (int64_t c = 0; c < columns; c += N<T>) greatest = maximum(greatest, magnitude(load(x + c)));
        T size = 0;
        for (int64_t i = 0; i < N<T>; i++) size = greatest[i] <= size ? size : greatest[i];
        for (int64_t f = 0; f < stage.frequencies; f++)
            sines(x, size, T(2 * M_PI) * frequency[f], phase ? phase[f] : T(0), columns, sine_of(j) + f * columns,
                  features_of(j) + f * columns);
    }

    // Computes how far the numbers are within each bin of their column, and the numbers themselves.
    void encode(int64_t j, const T *x, Stack stack) {
        const T *edge = stage.edge.values[stack] + j * stage.edge.row;
        const T *inverse = stage.inverse_width.values[stack] + j * stage.inverse_width.row;
        for (int64_t t = 0; t < stage.bins; t++) {
            const bool is_last = is_last_bin(inverse, t);
            for (int64_t c = 0; c < columns; c += N<T>) {
                Vector<T> share = (load(x + c) - edge[t]) * inverse[t];
                if (t > 0) share = share < 0 ? Vector<T>{} : share;
                if (!is_last) share = share > 1 ? all(T(1)) : share;
                store(features_of(j) + t * columns + c, share);
            }
        }
        std::memcpy(features_of(j) + stage.bins * columns, x, columns * sizeof(T));
    }

    bool is_last_bin(const T *inverse, int64_t t) const {
        return inverse[t] > 0 && (t + 1 == stage.bins || !(inverse[t + 1] > 0));
    }

    void embed_backward(int64_t j) {
        const int64_t row = row_of_map(j), input = stage.embedded[j];
        const bool adds = stage.maps == 1 && j > 0;
        T *own = delta + j * stage.size * columns;
        const T *values = before + j * stage.size * columns;
        if (form.rectifies)
            for (int64_t i = 0; i < stage.n_linear * columns; i += N<T>)
                store(own + i, load(values + i) <= 0 ? Vector<T>{} : load(own + i));
        for (int64_t l = 0; l < stage.n_linear; l++) {
            const T *of_value = own + l * columns;
            weighted_sums(of_value, features_of(j), stage.features, columns, T(1), adds,
                          stage.linear.values[GRADIENTS] + (row + l) * stage.linear.row);
            Vector<T> sum{};
            for (int64_t c = 0; c < columns; c += N<T>) sum += load(of_value + c);
            T &bias = stage.linear_bias.values[GRADIENTS][row + l];
            bias = adds ? bias + sum_of<T>(sum) : sum_of<T>(sum);
        }
        const bool goes_on = is_filled(input);
        if (form.has_bins && !goes_on) return;
        product<T>({stage.linear.values[PARAMETERS] + row * stage.linear.row, 1, stage.linear.row}, own, columns,
                   stage.features, stage.n_linear, columns, {}, of_features, columns);
        if (form.has_bins)
            encode_backward(j);
        else
            sines_backward(j, goes_on);
        if (!goes_on) return;
        if (form.keeps_number)
            for (int64_t c = 0; c < columns; c += N<T>) store(back + c, load(back + c) + load(own + stage.n_linear * columns + c));
        fill_backward(input, back);
    }

    // Turns `of_features` into the gradient with respect to the angles; `back` becomes that of the number.
    void sines_backward(int64_t j, bool goes_on) {
        const int64_t k = stage.frequencies, size = k * columns;
        const T *cosine = features_of(j), *own_sine = sine_of(j), *x = row_of[stage.embedded[j]];
        for (int64_t i = 0; i < size; i += N<T>) {
            const Vector<T> of_angle = -(load(of_features + i) * load(own_sine + i));
            store(of_features + i, form.has_phases ? of_angle : of_angle + load(of_features + size + i) * load(cosine + i));
        }
        weighted_sums(x, of_features, k, columns, T(2 * M_PI), false, stage.frequency.values[GRADIENTS] + j * stage.frequency.row);
        if (form.has_phases)
            weighted_sums<T>(nullptr, of_features, k, columns, T(1), false, stage.phase.values[GRADIENTS] + j * stage.phase.row);
        if (!goes_on) return;
        const T *frequency = stage.frequency.values[PARAMETERS] + j * stage.frequency.row;
        for (int64_t c = 0; c < columns; c += N<T>) {
            Vector<T> sum{};
            for (int64_t f = 0; f < k; f++) sum += T(2 * M_PI) * frequency[f] * load(of_features + f * columns + c);
            store(back + c, sum);
        }
    }

    void encode_backward(int64_t j) {
        const T *inverse = stage.inverse_width.values[PARAMETERS] + j * stage.inverse_width.row;
        for (int64_t c = 0; c < columns; c += N<T>) {
            Vector<T> sum = load(of_features + stage.bins * columns + c);
            for (int64_t t = 0; t < stage.bins; t++) {
                const Vector<T> share = load(features_of(j) + t * columns + c);
                Vector<T> slope = all(inverse[t]);
                if (t > 0) slope = share <= 0 ? Vector<T>{} : slope;
                if (!is_last_bin(inverse, t)) slope = share >= 1 ? Vector<T>{} : slope;
                sum += slope * load(of_features + t * columns + c);
            }
            store(back + c, sum);
        }
    }
};
