// The steps of an epoch for every member of a pack, one member after the other: its weights, gradients and moments stay
// in the cache for the whole epoch. models/compiled/library.py declares the same structures.

#include "network.h"
#include "scores.h"

#ifdef __SSE__
#include <xmmintrin.h>
#endif

// A run of steps of one epoch for the members of a pack.
template <class T> struct Steps {
    const Member<T> *members;
    int64_t n_members;
    int64_t first, last;  // steps, of n_steps
    int64_t n_groups, n_streams, n_noise_layers;
    int64_t columns, inputs, channels;  // a batch's columns and padded inputs; rows of the targets
    int64_t noise_row;                  // columns as the noise counts them
    const T *const *rows;               // by group, (steps, columns, inputs)
    const T *const *columns_of;         // by group, (steps, inputs, columns)
    const Bf16 *const *row_pairs;       // by group, pairs of the rows of each of `rows`; null where nobody reads them
    const Bf16 *const *column_pairs;    // the same of `columns_of`
    const T *targets;                   // (steps, groups, channels, columns)
    const T *weights;                   // (steps, groups, columns)
    const int32_t *noise;               // (steps, noise layers, streams, 2), or null
    const T *rates;                     // (steps, members)
    int64_t steps_before;               // steps that the members have taken before this epoch
    int64_t passes, updates;            // whether to compute the gradients, whether to apply them
    T *losses;                          // (members,) receives the sum over the steps
};

// One pass over validation rows, without noise and without smoothed labels.
template <class T> struct Evaluation {
    const Member<T> *members;
    int64_t n_members;
    int64_t stack;  // which weights
    int64_t n_chunks, columns, inputs, channels;
    const T *const *columns_of;  // by group, (chunks, inputs, columns)
    const T *targets;            // (groups, chunks, channels, columns)
    const T *weights;            // (groups, chunks, columns)
    Score score;                 // what is summed
    const double *values;        // (groups, chunks, columns): the truth in the user's units
    const double *codings;       // (groups, 2): scale and mean of the target
    T *losses;                   // (members,)
    double *scores;              // (members,): sums
    T *outputs;                  // (members, units, chunks * columns), or null where nobody wants them
};

// Some members' weights to their best ones.
template <class T> struct Keeping {
    const Member<T> *members;
    int64_t n_members;
    int64_t stack;         // which weights
    const bool *is_best;   // (members,)
};

namespace {

thread_local Arena arena;

// Numbers too small for their full precision count as zero while this lives: they make the machine a hundred times as
// slow, and moments of units that are never active fade into them.
class WithoutDenormals {
#ifdef __SSE__
  public:
    WithoutDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | FLUSH_RESULTS | FLUSH_OPERANDS); }
    ~WithoutDenormals() { _mm_setcsr(before_); }

  private:
    static constexpr unsigned FLUSH_RESULTS = 0x8000, FLUSH_OPERANDS = 0x0040;
    const unsigned before_;
#endif
};

template <class T> Batch<T> batch_of(const Steps<T> &steps, const Member<T> &member, int64_t step) {
    const int64_t at = step * steps.n_groups + member.group, size = steps.columns * steps.inputs;
    const auto pairs = [&](const Bf16 *const *of, int64_t terms, int64_t row) {
        return of ? of[member.group] + step * padded(terms, TILE_TERMS) * row : nullptr;
    };
    return {steps.rows[member.group] + step * size, steps.columns_of[member.group] + step * size,
            pairs(steps.row_pairs, steps.columns, steps.inputs), pairs(steps.column_pairs, steps.inputs, steps.columns),
            steps.inputs, steps.columns,
            {steps.targets + at * steps.channels * steps.columns, steps.weights + at * steps.columns},
            steps.noise ? steps.noise + step * steps.n_noise_layers * steps.n_streams * 2 : nullptr, steps.n_streams,
            steps.noise_row};
}

template <class T> void train(const Steps<T> &steps) {
    const WithoutDenormals guard;
    std::optional<Tiles> tiles;
    for (int64_t m = 0; m < steps.n_members; m++) {
        const Member<T> &member = steps.members[m];
        arena.reset();
        Passes<T> passes(member, steps.columns, steps.inputs, arena);
        if (passes.bf16 && !tiles) tiles.emplace();
        const bool at_once = steps.passes && steps.updates && !member.update.clip;
        T *scratch = at_once ? arena.take<T>(size_of_scratch(member)) : nullptr;
        for (int64_t step = steps.first; step < steps.last; step++) {
            const int64_t number = steps.steps_before + step + 1;
            const T rate = steps.rates[step * steps.n_members + m];
            if (at_once) {
                UpdateAtOnce<T> sink(member, rate, number, scratch);
                steps.losses[m] += passes.run(batch_of(steps, member, step), sink);
                sink.finish();
                continue;
            }
            Gradients<T> sink;
            if (steps.passes) steps.losses[m] += passes.run(batch_of(steps, member, step), sink);
            if (steps.updates) update_member(member, rate, number);
        }
    }
}

template <class T> Truth<T> truth_of(const Evaluation<T> &task, const Member<T> &member, int64_t chunk) {
    const int64_t at = member.group * task.n_chunks + chunk;
    return {task.targets + at * task.channels * task.columns, task.weights + at * task.columns};
}

template <class T> Coded coded_of(const Evaluation<T> &task, const Member<T> &member, int64_t first) {
    const double *coding = task.codings + 2 * member.group;
    return {task.values + member.group * task.n_chunks * task.columns + first, coding[0], coding[1]};
}

// The weight of the classes of all rows; 1 where classes have none.
template <class T> T whole_of(const Evaluation<T> &task, const Member<T> &member, T *scratch) {
    if (!member.loss.class_weights) return 1;
    Vector<T> total{};
    for (int64_t chunk = 0; chunk < task.n_chunks; chunk++)
        total += weigh(member.loss, truth_of(task, member, chunk), member.output().units, task.columns, scratch);
    return sum_of<T>(total);
}

template <class T> void copy_out(const T *outputs, int64_t units, int64_t columns, T *out, int64_t out_row) {
    for (int64_t u = 0; u < units; u++) std::memcpy(out + u * out_row, outputs + u * columns, columns * sizeof(T));
}

template <class T> void evaluate(const Evaluation<T> &task) {
    const WithoutDenormals guard;
    const int64_t all_columns = task.n_chunks * task.columns;
    for (int64_t m = 0; m < task.n_members; m++) {
        const Member<T> &member = task.members[m];
        const int64_t units = member.output().units;
        arena.reset();
        Passes<T> passes(member, task.columns, 0, arena);
        LossNumbers<T> loss = member.loss;
        loss.smoothing = 0;
        const T whole = whole_of(task, member, passes.scratch);
        task.losses[m] = 0;
        task.scores[m] = 0;
        for (int64_t chunk = 0; chunk < task.n_chunks; chunk++) {
            const int64_t first = chunk * task.columns;
            passes.evaluate(task.columns_of[member.group] + first * task.inputs, Stack(task.stack));
            const Truth<T> truth = truth_of(task, member, chunk);
            const Coded coded = coded_of(task, member, first);
            task.scores[m] += score_of(task.score, truth, coded, units, task.columns, passes.outputs);
            T *out = task.outputs + m * units * all_columns + first;
            if (task.outputs) copy_out(passes.outputs, units, task.columns, out, all_columns);
            task.losses[m] += passes.loss(loss, truth, &whole);
        }
    }
}

template <class T> void keep(const Keeping<T> &task) {
    for (int64_t m = 0; m < task.n_members; m++) {
        if (!task.is_best[m]) continue;
        for (int64_t i = 0; i < task.members[m].n_layers; i++) {
            const Layer<T> &layer = task.members[m].layers[i];
            std::memcpy(layer.weights[BEST], layer.weights[task.stack], layer.units * layer.row * sizeof(T));
            for (T *const *stacks : {layer.biases, layer.scales, layer.shifts, layer.means, layer.variances})
                if (stacks[BEST]) std::memcpy(stacks[BEST], stacks[task.stack], layer.units * sizeof(T));
        }
    }
}

template <class T> void transpose_all(const T *in, int64_t count, int64_t rows, int64_t columns, T *out) {
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = i * rows * columns;
        transpose(in + at, columns, rows, columns, out + at, rows);
    }
}

}  // namespace

extern "C" {
// Whether products in bf16 are faster than others in this process.
bool has_tiles() { return may_use_tiles(); }
void train_float(const Steps<float> *steps) { train(*steps); }
void train_double(const Steps<double> *steps) { train(*steps); }
// (count, rows, columns) to (count, columns, rows), both multiples of 16.
void transpose_float(const float *in, int64_t count, int64_t rows, int64_t columns, float *out) {
    transpose_all(in, count, rows, columns, out);
}
void transpose_double(const double *in, int64_t count, int64_t rows, int64_t columns, double *out) {
    transpose_all(in, count, rows, columns, out);
}
// Pairs of the rows of (count, rows, columns), filled up to a multiple of 32; columns are a multiple of 16.
void pairs_float(const float *in, int64_t count, int64_t rows, int64_t columns, Bf16 *out) {
    for (int64_t i = 0; i < count; i++)
        to_pairs(in + i * rows * columns, columns, rows, columns, out + i * padded(rows, TILE_TERMS) * columns);
}
void evaluate_float(const Evaluation<float> *task) { evaluate(*task); }
void evaluate_double(const Evaluation<double> *task) { evaluate(*task); }
void keep_float(const Keeping<float> *task) { keep(*task); }
void keep_double(const Keeping<double> *task) { keep(*task); }
}
