// The steps of an epoch for every member of a pack, one member after the other: its weights, gradients and moments stay
// in the cache for the whole epoch. The arguments are declared in interface.h, written by models/compiled/interface.py.

#include "member_updates.h"
#include "scores.h"

#ifdef __SSE__
#include <xmmintrin.h>
#endif

namespace {

thread_local Arena arena;

// Treats denormal numbers as zero for the lifetime of the object: they are a hundred times as slow, and the moments of
// units that are never active decay to them.
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

template <class T> Batch<T> batch_of(const Steps<T> &steps, int64_t m, int64_t step) {
    const Member<T> &member = steps.members[m];
    const int64_t at = step * steps.n_groups + member.group, size = steps.columns * steps.inputs;
    const auto pairs = [&](const Bf16 *const *of, int64_t terms, int64_t row) {
        return of ? of[member.group] + step * padded(terms, TILE_TERMS) * row : nullptr;
    };
    return {steps.rows[member.group] + step * size, steps.columns_of[member.group] + step * size,
            pairs(steps.row_pairs, steps.columns, steps.inputs), pairs(steps.column_pairs, steps.inputs, steps.columns),
            steps.inputs, steps.columns,
            {steps.targets + at * steps.channels * steps.columns, steps.weights + at * steps.columns},
            steps.shares + at * steps.columns,
            steps.noise ? steps.noise + step * steps.n_noise_layers * steps.n_streams * 2 : nullptr, steps.n_streams,
            steps.noise_row, steps.drops ? steps.drops[step * steps.n_members + m] : 1};
}

template <class T> void train(const Steps<T> &steps) {
    const WithoutDenormals guard;
    std::optional<Tiles> tiles;
    for (int64_t m = 0; m < steps.n_members; m++) {
        const Member<T> &member = steps.members[m];
        arena.reset();
        Passes<T> passes(member, steps.columns, steps.inputs, arena);
        if (passes.bf16 && !tiles) tiles.emplace();
        const bool at_once = steps.passes && steps.updates && may_update_at_once(member);
        const MuonRoom<T> room(member, arena);
        T *scratch = at_once ? arena.take<T>(size_of_scratch(member)) : nullptr;
        for (int64_t step = steps.first; step < steps.last; step++) {
            const Step<T> numbers = step_of(steps, m, step);
            if (at_once) {
                UpdateAtOnce<T> sink{member, numbers, scratch};
                steps.losses[m] += passes.run(batch_of(steps, m, step), sink);
                sink.finish();
                continue;
            }
            Gradients<T> sink;
            if (steps.passes) steps.losses[m] += passes.run(batch_of(steps, m, step), sink);
            if (steps.updates) update_member(member, numbers, room, noise_of(steps, m, step));
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

// Computes the class weight of all rows; 1 without class weights.
template <class T> T whole_of(const Evaluation<T> &task, const Member<T> &member, T *scratch) {
    if (!member.loss.class_weights) return 1;
    Vector<T> total{};
    for (int64_t chunk = 0; chunk < task.n_chunks; chunk++)
        total += weigh(member.loss, truth_of(task, member, chunk), output_of(member).units, task.columns, scratch);
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
        const int64_t units = output_of(member).units;
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
            const auto keep_vector = [&](T *const *stacks) {
                if (stacks[BEST]) std::memcpy(stacks[BEST], stacks[task.stack], layer.units * sizeof(T));
            };
            each_map(layer, [&](const LinearMap<T> &map) {
                std::memcpy(map.weights[BEST], map.weights[task.stack], layer.units * layer.row * sizeof(T));
                keep_vector(map.biases);
            });
            for (T *const *stacks : {layer.scales, layer.shifts, layer.shares, layer.means, layer.variances})
                keep_vector(stacks);
        }
        const auto keep_part = [&](const StagePart<T> &part) {
            std::memcpy(part.values[BEST], part.values[task.stack], part.count * sizeof(T));
        };
        if (task.members[m].stage) {
            each_trained(*task.members[m].stage, keep_part);
            each_constant(*task.members[m].stage, keep_part);
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
// Sizes and field offsets of all structures, which Python compares with its own.
Status layout(const int64_t **numbers, int64_t *count) {
    *numbers = LAYOUT;
    *count = sizeof(LAYOUT) / sizeof(*LAYOUT);
    return Status::ok;
}
// Tells whether products in bf16 are faster than others in this process.
Status has_tiles(int64_t *found) {
    return status_of([=] { *found = may_use_tiles(); });
}
Status train_float(const Steps<float> *steps) {
    return status_of([=] { train(*steps); });
}
Status train_double(const Steps<double> *steps) {
    return status_of([=] { train(*steps); });
}
Status evaluate_float(const Evaluation<float> *task) {
    return status_of([=] { evaluate(*task); });
}
Status evaluate_double(const Evaluation<double> *task) {
    return status_of([=] { evaluate(*task); });
}
Status keep_float(const Keeping<float> *task) {
    return status_of([=] { keep(*task); });
}
Status keep_double(const Keeping<double> *task) {
    return status_of([=] { keep(*task); });
}
// Transposes (count, rows, columns) to (count, columns, rows); both are multiples of 16.
Status transpose_float(const float *in, int64_t count, int64_t rows, int64_t columns, float *out) {
    return status_of([=] { transpose_all(in, count, rows, columns, out); });
}
Status transpose_double(const double *in, int64_t count, int64_t rows, int64_t columns, double *out) {
    return status_of([=] { transpose_all(in, count, rows, columns, out); });
}
// Rounds (count, rows, columns) to pairs of rows, filled up to a multiple of 32; columns are a multiple of 16.
Status pairs_float(const float *in, int64_t count, int64_t rows, int64_t columns, Bf16 *out) {
    return status_of([=] {
        for (int64_t i = 0; i < count; i++)
            to_pairs(in + i * rows * columns, columns, rows, columns, out + i * padded(rows, TILE_TERMS) * columns);
    });
}
}
