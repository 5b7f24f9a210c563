// Muon's orthogonal updates of the weights of hidden layers, as in models/eager/muon.py.
#pragma once

#include "arena.h"
#include "products.h"
#include "updates.h"

// The matrix of one layer as the iteration sees it: `rows` is the smaller size, `is_tall` whether it is transposed.
struct Sides {
    int64_t units, inputs;

    bool is_tall() const { return units > inputs; }
    int64_t rows() const { return std::min(units, inputs); }
    int64_t columns() const { return std::max(units, inputs); }
};

// Scratch memory for the largest matrix of a member; each is null without muon.
template <class T> struct MuonRoom {
    T *x, *next, *turned;   // (rows, columns) or transposed, with both sizes filled up to whole vectors
    T *gram, *polynomial;  // (rows, rows) likewise

    MuonRoom(const Member<T> &member, Arena &arena) : x(), next(), turned(), gram(), polynomial() {
        if (member.update.rule != Rule::muon) return;
        int64_t most = 0, square = 0;
        for (int64_t i = 0; i + 1 < member.n_layers; i++) {
            const Sides sides{member.layers[i].units, member.layers[i].inputs};
            const int64_t rows = padded(sides.rows(), N<T>), columns = padded(sides.columns(), N<T>);
            most = std::max(most, rows * columns);
            square = std::max(square, rows * rows);
        }
        for (T **of : {&x, &next, &turned}) *of = arena.take<T>(most);
        for (T **of : {&gram, &polynomial}) *of = arena.take<T>(square);
    }
};

// Moves the singular values of room.x, (rows, row), to about 1. Numbers that fill up a row are 0.
template <class T> void make_orthogonal(MuonRoom<T> &room, int64_t rows, int64_t row) {
    const T a = T(NEWTON_SCHULZ_A), b = T(NEWTON_SCHULZ_B), c = T(NEWTON_SCHULZ_C);
    const int64_t side = padded(rows, N<T>), size = rows * row;
    Vector<T> squares{};
    for (int64_t i = 0; i < size; i += N<T>) squares += load(room.x + i) * load(room.x + i);
    const T norm = std::sqrt(sum_of<T>(squares)), divisor = norm < T(LEAST_NORM) ? T(LEAST_NORM) : norm;
    for (int64_t i = 0; i < size; i += N<T>) store(room.x + i, load(room.x + i) / divisor);
    for (int64_t step = 0; step < NEWTON_SCHULZ_STEPS; step++) {
        transpose(room.x, row, rows, row, room.turned, side);
        product<T>({room.x, row, 1}, room.turned, side, rows, row, side, {}, room.gram, side);
        product<T>({room.gram, side, 1}, room.gram, side, rows, rows, side, {}, room.polynomial, side);
        for (int64_t i = 0; i < rows * side; i += N<T>)
            store(room.polynomial + i, b * load(room.gram + i) + c * load(room.polynomial + i));
        for (int64_t i = 0; i < size; i += N<T>) store(room.next + i, a * load(room.x + i));
        product<T>({room.polynomial, side, 1}, room.x, row, rows, rows, row, {nullptr, true}, room.next, row);
        std::swap(room.x, room.next);
    }
}

// Updates the weights of a hidden layer. `run` begins at its first row; rows are `row` numbers apart.
template <class T>
void update_orthogonally(const RuleNumbers &numbers, const Step<T> &step, Run<T> run, Sides sides, int64_t row,
                         MuonRoom<T> room) {
    const T momentum = T(numbers.momentum), fresh = T(1 - numbers.momentum);
    const int64_t length = padded(sides.inputs, N<T>), height = padded(sides.units, N<T>);
    T *update = sides.is_tall() ? room.next : room.x;
    for (int64_t u = 0; u < sides.units; u++)
        for (int64_t i = 0; i < length; i += N<T>) {
            const Vector<T> gradient = load(run.gradients + u * row + i) * step.clipped_to;
            const Vector<T> first = momentum * load(run.first + u * row + i) + fresh * gradient;
            store(run.first + u * row + i, first);
            store(update + u * length + i, fresh * gradient + momentum * first);
        }
    if (sides.is_tall()) transpose(update, length, sides.units, length, room.x, height);
    make_orthogonal(room, sides.rows(), sides.is_tall() ? height : length);
    if (sides.is_tall()) transpose(room.x, height, sides.inputs, height, room.next, length);
    const T *found = sides.is_tall() ? room.next : room.x;
    const T rate = step.rate * T(run.factors.rate);
    const T drawn = rate * (T(numbers.decoupled * run.factors.decay) * step.decay), shrunk = T(1) - drawn;
    const T pace = rate * T(std::sqrt(std::max(1.0, double(sides.units) / double(sides.inputs))));
    for (int64_t u = 0; u < sides.units; u++) {
        for (int64_t i = 0; i < length; i += N<T>) {
            T *parameters = run.parameters + u * row + i;
            Vector<T> moved = shrunk * load(parameters) - pace * load(found + u * length + i);
            if (run.initial) moved += load(run.initial + u * row + i) * drawn;
            store(parameters, moved);
        }
        if (run.average) {
            Run<T> at = run;
            at.parameters += u * row;
            at.average += u * row;
            take_average(step, at, length);
        }
    }
}
