// Trained activations: z + s (f(z) - z) with a share s of each unit, as in models/eager/trained.py.
#pragma once

#include "activations.h"

// Turns pre-activations `z`, (units, columns), into activations in place; `applied` receives f(z).
template <class T>
void activate_by_shares(Activation name, const T *shares, int64_t units, int64_t columns, T *z, T *applied) {
    std::memcpy(applied, z, units * columns * sizeof(T));
    activate(name, applied, units * columns);
    for (int64_t u = 0; u < units; u++)
        change(z + u * columns, applied + u * columns, columns,
               [s = shares[u]](Register<T> x, Register<T> f) -> Register<T> { return x + s * (f - x); });
}

// Turns `delta` into the gradient with respect to the pre-activations; `found`, (units,), receives that of the shares.
// `through` is scratch memory of the size of `delta`.
template <class T>
void shares_backward(Activation name, const T *shares, T *found, int64_t units, int64_t columns, T *delta, const T *z,
                     const T *applied, T *through) {
    for (int64_t u = 0; u < units; u++) {
        const int64_t at = u * columns;
        Vector<T> sums{};
        for (int64_t c = at; c < at + columns; c += N<T>) {
            const Vector<T> d = load(delta + c);
            sums += d * (load(applied + c) - load(z + c));
            store(through + c, d * shares[u]);
            store(delta + c, d - d * shares[u]);
        }
        found[u] = sum_of<T>(sums);
    }
    activate_backward(name, through, needs_input(name) ? z : applied, units * columns);
    change(delta, through, units * columns, [](Register<T> d, Register<T> t) -> Register<T> { return d + t; });
}
