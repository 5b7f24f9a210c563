// The update of one member's parameters: after its backward pass, or at once for each gradient that the pass finishes.
#pragma once

#include "gradient_noise.h"
#include "muon.h"
#include "network.h"
#include "updates.h"

template <class T> Run<T> run_of(T *const *stacks, Factors factors, int64_t at) {
    const auto from = [&](Stack stack) { return stacks[stack] ? stacks[stack] + at : nullptr; };
    return {from(PARAMETERS), from(GRADIENTS), from(FIRST), from(SECOND), from(AVERAGE), from(INITIAL), factors};
}

// Calls `visit(run, count)` for rows of a map's weights: for each row, or once for all if they are contiguous.
template <class T, class F>
void each_row(const Layer<T> &layer, const LinearMap<T> &map, int64_t first, int64_t rows, F visit) {
    const int64_t length = padded(layer.inputs, N<T>);
    const int64_t rows_of_run = length == layer.row ? rows : 1;
    for (int64_t u = first; u < first + rows; u += rows_of_run)
        visit(run_of<T>(map.weights, map.weight_factors, u * layer.row), rows_of_run * length);
}

// Calls `visit(run, count)` for a layer's biases, scales, shifts and shares.
template <class T, class F> void each_vector(const Layer<T> &layer, F visit) {
    const auto part = [&](T *const *stacks, Factors factors) {
        if (stacks[PARAMETERS]) visit(run_of<T>(stacks, factors, 0), padded(layer.units, N<T>));
    };
    each_map(layer, [&](const LinearMap<T> &map) { part(map.biases, map.bias_factors); });
    part(layer.scales, layer.scale_factors);
    part(layer.shifts, layer.shift_factors);
    part(layer.shares, layer.share_factors);
}

// Calls `visit(run, count)` for the parameters of a member's input stage.
template <class T, class F> void each_of_stage(const Member<T> &member, F visit) {
    if (member.stage)
        each_trained(*member.stage, [&](const StagePart<T> &part) {
            visit(run_of<T>(part.values, part.factors, 0), part.count);
        });
}

// Calls `visit(run, count)` for all parameters of the member, always in the same order.
template <class T, class F> void each_run(const Member<T> &member, F visit) {
    for (int64_t i = 0; i < member.n_layers; i++) {
        const Layer<T> &layer = member.layers[i];
        each_map(layer, [&](const LinearMap<T> &map) { each_row(layer, map, 0, layer.units, visit); });
        each_vector(layer, visit);
    }
    each_of_stage(member, visit);
}

// Computes the factor that clips the norm of the gradient (Pascanu et al. 2013); 1e-6 as in PyTorch.
template <class T> T clipped_to(const Member<T> &member) {
    if (!member.update.clip) return 1;
    Vector<T> sum{};
    each_run(member, [&](Run<T> run, int64_t count) { add_squares(sum, run, count); });
    const T factor = T(member.update.clip) / (std::sqrt(sum_of<T>(sum)) + T(1e-6));
    return factor < 1 ? factor : 1;  // also 1 for NaN: the member diverges anyway
}

// Updates the average of numbers that no update rule changes.
template <class T> void average_alone(const Step<T> &step, T *const *stacks, int64_t count) {
    if (stacks[AVERAGE])
        take_average(step, {stacks[PARAMETERS], nullptr, nullptr, nullptr, stacks[AVERAGE], nullptr, {}}, count);
}

// Updates the averages of the running statistics and of the constants of an input stage.
template <class T> void average_statistics(const Member<T> &member, const Step<T> &step) {
    if (member.stage)
        each_constant(*member.stage,
                      [&](const StagePart<T> &part) { average_alone(step, part.values, part.count); });
    for (int64_t i = 0; i < n_hidden(member); i++) {
        const Layer<T> &layer = member.layers[i];
        for (T *const *stacks : {layer.means, layer.variances})
            average_alone(step, stacks, padded(layer.units, N<T>));
    }
}

// Collects the numbers of step `step` of an epoch for member `m`.
template <class T> Step<T> step_of(const Steps<T> &steps, int64_t m, int64_t step) {
    const RuleNumbers &numbers = steps.members[m].update;
    const int64_t at = step * steps.n_members + m, number = steps.steps_before + step + 1;
    const bool has_share = steps.averages && steps.averages[at] >= 0;
    const T share = number == 1 ? T(1) : has_share ? steps.averages[at] : T(numbers.average);
    return {steps.rates[at], T(1), T(1 - std::pow(numbers.beta1, double(number))),
            T(std::sqrt(1 - std::pow(numbers.beta2, double(number)))), share, steps.decays ? steps.decays[at] : T(1)};
}

// Collects what noise the gradients get in step `step` of an epoch.
template <class T> Noise<T> noise_of(const Steps<T> &steps, int64_t m, int64_t step) {
    const Member<T> &member = steps.members[m];
    if (!member.update.noise || !steps.gradient_keys) return {nullptr, 0, T(0)};
    const double fading = std::pow(double(steps.steps_before + step + 1), -NOISE_FADING / 2);
    return {steps.gradient_keys + (step * steps.n_kinds * steps.n_streams + member.stream) * 2, steps.n_streams,
            T(member.update.noise * fading)};
}

// Calls `visit(run, count)` for all parameters but those of muon's matrices, which it updates itself.
template <class T, class F>
void each_run_beside_muon(const Member<T> &member, const Step<T> &step, const MuonRoom<T> &room, F visit) {
    for (int64_t i = 0; i < member.n_layers; i++) {
        const Layer<T> &layer = member.layers[i];
        each_map(layer, [&](const LinearMap<T> &map) {
            if (!room.x || i == n_hidden(member)) return each_row(layer, map, 0, layer.units, visit);
            update_orthogonally(member.update, step, run_of<T>(map.weights, map.weight_factors, 0),
                                {layer.units, layer.inputs}, layer.row, room);
        });
        each_vector(layer, visit);
    }
    each_of_stage(member, visit);
}

template <class T>
void update_member(const Member<T> &member, Step<T> step, const MuonRoom<T> &room, const Noise<T> &noise) {
    const RuleNumbers &numbers = member.update;
    if (numbers.l1) each_run(member, [&](Run<T> run, int64_t count) { add_l1(numbers, run, count); });
    step.clipped_to = clipped_to(member);
    if (noise.deviation) {
        add_noise(member, noise, step.clipped_to);
        step.clipped_to = 1;
    }
    each_run_beside_muon(member, step, room, [&](Run<T> run, int64_t count) { update(numbers, step, run, count); });
    average_statistics(member, step);
}

// Sinks receive the gradients of the backward pass. This one stores them in the stack of gradients.
template <class T> struct Gradients {
    T *room(const Layer<T> &layer, const LinearMap<T> &map, int64_t row) const {
        return map.weights[GRADIENTS] + row * layer.row;
    }
    void done(const Layer<T> &, const LinearMap<T> &, int64_t, int64_t) const {}
};

// This one updates the weights at once, while the gradients are in the cache; see `may_update_at_once`.
template <class T> struct UpdateAtOnce {
    const Member<T> &member;
    const Step<T> step;
    T *const scratch;  // (rows at once, row) of the largest layer

    T *room(const Layer<T> &, const LinearMap<T> &, int64_t) const { return scratch; }

    void done(const Layer<T> &layer, const LinearMap<T> &map, int64_t row, int64_t rows) const {
        T *gradients = scratch;
        each_row(layer, map, row, rows, [&](Run<T> run, int64_t count) {
            run.gradients = gradients;
            take(run, count);
            gradients += std::max(count, layer.row);
        });
    }

    // Updates the remaining parameters after the pass: biases, scales and shifts.
    void finish() const {
        for (int64_t i = 0; i < member.n_layers; i++)
            each_vector(member.layers[i], [&](Run<T> run, int64_t count) { take(run, count); });
        each_of_stage(member, [&](Run<T> run, int64_t count) { take(run, count); });
        average_statistics(member, step);
    }

  private:
    void take(Run<T> run, int64_t count) const {
        if (member.update.l1) add_l1(member.update, run, count);
        update(member.update, step, run, count);
    }
};

// Tells whether a member's weights may be updated during the backward pass: clipping, muon and noise need the whole
// gradient first.
template <class T> bool may_update_at_once(const Member<T> &member) {
    return !member.update.clip && !member.update.noise && member.update.rule != Rule::muon;
}

template <class T> int64_t size_of_scratch(const Member<T> &member) {
    int64_t most = 0;
    for (int64_t i = 0; i < member.n_layers; i++)
        most = std::max(most, rows_at_once(member.layers[i]) * member.layers[i].row);
    return most;
}
