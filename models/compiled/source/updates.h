// The update rules, as in models/eager/optim.py, applied to one contiguous run of numbers after the other.
#pragma once

#include "functions.h"
#include "status.h"

// A contiguous run of parameters with gradients, moments and averages; `second` and `average` may be null.
template <class T> struct Run {
    T *parameters, *gradients, *first, *second, *average;
};

// The values of one step that are equal for all parameters of a member.
template <class T> struct Step {
    T rate;                      // the learning rate
    T clipped_to;                // factor on the gradient
    T correction1, correction2;  // adam: 1 - beta1^t; square root of 1 - beta2^t
    bool starts_average;
};

template <class T> inline Vector<T> sign(Vector<T> x) { return x > 0 ? all(T(1)) : x < 0 ? all(T(-1)) : x; }

template <class T> void add_l1(const RuleNumbers &numbers, Run<T> run, int64_t count) {
    for (int64_t i = 0; i < count; i += N<T>)
        store(run.gradients + i, load(run.gradients + i) + sign<T>(load(run.parameters + i)) * T(numbers.l1));
}

template <class T> void add_squares(Vector<T> &sum, Run<T> run, int64_t count) {
    for (int64_t i = 0; i < count; i += N<T>) sum += load(run.gradients + i) * load(run.gradients + i);
}

// `change(g, p, m, v)` returns the new parameter and changes m and v, the first and the second moments.
template <class T, class F>
inline void update_by(const RuleNumbers &numbers, const Step<T> &step, Run<T> run, int64_t count, F change) {
    using V = Vector<T>;
    const T l2 = T(numbers.l2), clipped_to = step.clipped_to;
    for (int64_t i = 0; i < count; i += N<T>) {
        V parameter = load(run.parameters + i), first = load(run.first + i), second{};
        if (run.second) second = load(run.second + i);
        const V gradient = load(run.gradients + i) * clipped_to + parameter * l2;
        parameter = change(gradient, parameter, first, second);
        store(run.parameters + i, parameter);
        store(run.first + i, first);
        if (run.second) store(run.second + i, second);
    }
}

template <class T> void take_average(const RuleNumbers &numbers, const Step<T> &step, Run<T> run, int64_t count) {
    const T share = T(step.starts_average ? 1 : numbers.average);
    for (int64_t i = 0; i < count; i += N<T>) {
        const Vector<T> now = load(run.parameters + i), before = load(run.average + i);
        store(run.average + i, share == 1 ? now : before + share * (now - before));
    }
}

template <class T> void apply_rule(const RuleNumbers &numbers, const Step<T> &step, Run<T> run, int64_t count) {
    using V = Vector<T>;
    const T rate = step.rate, momentum = T(numbers.momentum), eps = T(numbers.eps);
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
            b = b * momentum + g / (root<T>(v) + eps);
            return p - rate * b;
        });
    }
    case Rule::adam: {
        const T beta1 = T(numbers.beta1), beta2 = T(numbers.beta2), new1 = T(1 - numbers.beta1), new2 = T(1 - numbers.beta2);
        const T pace = rate / step.correction1, shrunk = T(1) - rate * T(numbers.decoupled), scale = T(1) / step.correction2;
        return update_by(numbers, step, run, count, [=](V g, V p, V &m, V &v) -> V {
            m = beta1 * m + new1 * g;
            v = beta2 * v + new2 * (g * g);
            return shrunk * p - pace * (m / (root<T>(v) * scale + eps));
        });
    }
    }
    throw UnknownName();
}

template <class T> void update(const RuleNumbers &numbers, const Step<T> &step, Run<T> run, int64_t count) {
    apply_rule(numbers, step, run, count);
    if (run.average) take_average(numbers, step, run, count);
}
