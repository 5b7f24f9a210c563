// The update rules, as in models/eager/optim.py, applied to one contiguous run of numbers after the other.
#pragma once

#include "functions.h"
#include "status.h"

// A contiguous run of parameters of one part with gradients, moments, averages, and what it decays towards. `second`
// and `average` may be null, and `initial` is where it decays towards zero.
template <class T> struct Run {
    T *parameters, *gradients, *first, *second, *average, *initial;
    Factors factors;
};

// The values of one step that are equal for all parameters of a member.
template <class T> struct Step {
    T rate;                      // the learning rate
    T clipped_to;                // factor on the gradient
    T correction1, correction2;  // adam: 1 - beta1^t; square root of 1 - beta2^t
    T share;                     // of the new weights in their average
    T decay;                     // factor on the decay
};

template <class V> inline V sign(V x) { return x > 0 ? filled<V>(1) : x < 0 ? filled<V>(-1) : x; }

template <class T> void add_l1(const RuleNumbers &numbers, Run<T> run, int64_t count) {
    for (int64_t i = 0; i < count; i += IN_REGISTER<T>)
        store_register(run.gradients + i, load_register(run.gradients + i) +
                                              sign(load_register(run.parameters + i)) * T(numbers.l1));
}

template <class T> void add_squares(Vector<T> &sum, Run<T> run, int64_t count) {
    for (int64_t i = 0; i < count; i += N<T>) sum += load(run.gradients + i) * load(run.gradients + i);
}

// `change(g, p, m, v)` returns the new parameter and changes m and v, the first and the second moments.
template <class T, class F>
inline void update_by(const RuleNumbers &numbers, const Step<T> &step, Run<T> run, int64_t count, F change) {
    using V = Register<T>;
    const T l2 = T(numbers.l2 * run.factors.decay) * step.decay, clipped_to = step.clipped_to;
    const T drawn = step.rate * T(run.factors.rate) * (T(numbers.decoupled * run.factors.decay) * step.decay);
    for (int64_t i = 0; i < count; i += IN_REGISTER<T>) {
        V parameter = load_register(run.parameters + i), first = load_register(run.first + i), second{};
        if (run.second) second = load_register(run.second + i);
        V gradient = load_register(run.gradients + i) * clipped_to + parameter * l2;
        if (run.initial) gradient -= load_register(run.initial + i) * l2;
        parameter = change(gradient, parameter, first, second);
        if (run.initial) parameter += load_register(run.initial + i) * drawn;
        store_register(run.parameters + i, parameter);
        store_register(run.first + i, first);
        if (run.second) store_register(run.second + i, second);
    }
}

template <class T> void take_average(const Step<T> &step, Run<T> run, int64_t count) {
    const T share = step.share;
    if (share == 0) return;
    for (int64_t i = 0; i < count; i += IN_REGISTER<T>) {
        const Register<T> now = load_register(run.parameters + i), before = load_register(run.average + i);
        store_register(run.average + i, share == 1 ? now : before + share * (now - before));
    }
}

template <class T> void apply_rule(const RuleNumbers &numbers, const Step<T> &step, Run<T> run, int64_t count) {
    using V = Register<T>;
    const T rate = step.rate * T(run.factors.rate), momentum = T(numbers.momentum), eps = T(numbers.eps);
    switch (numbers.rule) {
    case Rule::sgd: {
        const bool nesterov = numbers.nesterov != 0;
        return update_by(numbers, step, run, count, [=](V g, V p, V &b, V &) -> V {
            b = b * momentum + g;
            return p - rate * (nesterov ? g + momentum * b : b);
        });
    }
    case Rule::rms: {
        const T keep = T(numbers.keep), add = T(numbers.add);
        return update_by(numbers, step, run, count, [=](V g, V p, V &b, V &v) -> V {
            v = keep * v + add * (g * g);
            b = b * momentum + g / (root(v) + eps);
            return p - rate * b;
        });
    }
    case Rule::muon:  // for what is no matrix of a hidden layer; see muon.h
    case Rule::adam: {
        const T beta1 = T(numbers.beta1), beta2 = T(numbers.beta2), new1 = T(1 - numbers.beta1), new2 = T(1 - numbers.beta2);
        const T decay = T(numbers.decoupled * run.factors.decay) * step.decay;
        const T pace = rate / step.correction1, shrunk = T(1) - rate * decay, scale = T(1) / step.correction2;
        return update_by(numbers, step, run, count, [=](V g, V p, V &m, V &v) -> V {
            m = beta1 * m + new1 * g;
            v = beta2 * v + new2 * (g * g);
            return shrunk * p - pace * (m / (root(v) * scale + eps));
        });
    }
    }
    throw UnknownName();
}

template <class T> void update(const RuleNumbers &numbers, const Step<T> &step, Run<T> run, int64_t count) {
    apply_rule(numbers, step, run, count);
    if (run.average) take_average(step, run, count);
}
