// The steps of an epoch for every member of a pack, one member after the other: its weights, gradients and moments stay
// in the cache for the whole epoch. models/compiled/library.py declares the same structures.

#include "network.h"

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
    const T *targets;                   // (steps, groups, channels, columns)
    const T *weights;                   // (steps, groups, columns)
    const int32_t *noise;               // (steps, noise layers, streams, 2), or null
    const T *rates;                     // (steps, members)
    int64_t steps_before;               // steps that the members have taken before this epoch
    int64_t passes, updates;            // whether to compute the gradients, whether to apply them
    T *losses;                          // (members,) receives the sum over the steps
};

// One pass over rows without noise.
template <class T> struct Evaluation {
    const Member<T> *members;
    int64_t n_members;
    int64_t stack;  // which weights
    int64_t n_chunks, columns, inputs;
    const T *const *columns_of;  // by group, (chunks, inputs, columns)
    T *outputs;                  // (members, units, chunks * columns)
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
    return {steps.rows[member.group] + step * size, steps.columns_of[member.group] + step * size, steps.inputs, steps.columns,
            {steps.targets + at * steps.channels * steps.columns, steps.weights + at * steps.columns},
            steps.noise ? steps.noise + step * steps.n_noise_layers * steps.n_streams * 2 : nullptr, steps.n_streams,
            steps.noise_row};
}

template <class T> void train(const Steps<T> &steps) {
    const WithoutDenormals guard;
    for (int64_t m = 0; m < steps.n_members; m++) {
        const Member<T> &member = steps.members[m];
        arena.reset();
        Passes<T> passes(member, steps.columns, arena);
        for (int64_t step = steps.first; step < steps.last; step++) {
            if (steps.passes) steps.losses[m] += passes.run(batch_of(steps, member, step));
            const int64_t number = steps.steps_before + step + 1;
            if (steps.updates) update_member(member, steps.rates[step * steps.n_members + m], number, number == 1);
        }
    }
}

template <class T> void evaluate(const Evaluation<T> &task) {
    const WithoutDenormals guard;
    const int64_t all_columns = task.n_chunks * task.columns;
    for (int64_t m = 0; m < task.n_members; m++) {
        const Member<T> &member = task.members[m];
        arena.reset();
        Passes<T> passes(member, task.columns, arena);
        T *outputs = task.outputs + m * member.output().units * all_columns;
        for (int64_t chunk = 0; chunk < task.n_chunks; chunk++)
            passes.evaluate(task.columns_of[member.group] + chunk * task.inputs * task.columns, Stack(task.stack),
                            outputs + chunk * task.columns, all_columns);
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
void train_float(const Steps<float> *steps) { train(*steps); }
void train_double(const Steps<double> *steps) { train(*steps); }
// (count, rows, columns) to (count, columns, rows), both multiples of 16.
void transpose_float(const float *in, int64_t count, int64_t rows, int64_t columns, float *out) {
    transpose_all(in, count, rows, columns, out);
}
void transpose_double(const double *in, int64_t count, int64_t rows, int64_t columns, double *out) {
    transpose_all(in, count, rows, columns, out);
}
void evaluate_float(const Evaluation<float> *task) { evaluate(*task); }
void evaluate_double(const Evaluation<double> *task) { evaluate(*task); }
}
