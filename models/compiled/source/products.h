// Matrix products for the sizes of small networks: operands fit the cache, and every element of the result is summed
// from the first term to the last by fused multiply-adds.
#pragma once

#include "vectors.h"

// A matrix whose element (m, k) lies at at[m * row + k * column].
template <class T> struct Factor {
    const T *at;
    int64_t row, column;

    Factor from_row(int64_t m) const { return {at + m * row, row, column}; }
};

// Tiles of up to so many rows exist in every size, so that the remaining rows of a matrix are one tile.
constexpr int MOST_KINDS = 6;

// The initial values of the sums of a product.
template <class T> struct Start {
    const T *of_rows;    // a number for each row of the result; null for 0
    bool from_result;  // whether to add to the present result instead

    Start from(int64_t row) const { return {of_rows ? of_rows + row : nullptr, from_result}; }
};

// Computes ROWS x (LINES registers) of the result, with the sums in registers.
template <class T, int ROWS, int LINES>
inline void tile(Factor<T> left, const T *right, int64_t right_row, int64_t terms, Start<T> start, T *out,
                 int64_t out_row) {
    Register<T> sums[ROWS][LINES];
#pragma GCC unroll 16
    for (int m = 0; m < ROWS; m++)
#pragma GCC unroll 4
        for (int v = 0; v < LINES; v++)
            sums[m][v] = start.from_result ? load_register(out + m * out_row + v * IN_REGISTER<T>)
                                           : (start.of_rows ? start.of_rows[m] : T(0)) - Register<T>{};  // keeps -0
    for (int64_t k = 0; k < terms; k++) {
        Register<T> line[LINES];
#pragma GCC unroll 4
        for (int v = 0; v < LINES; v++) line[v] = load_register(right + k * right_row + v * IN_REGISTER<T>);
#pragma GCC unroll 16
        for (int m = 0; m < ROWS; m++) {
            const T factor = left.at[m * left.row + k * left.column];
#pragma GCC unroll 4
            for (int v = 0; v < LINES; v++) sums[m][v] += factor * line[v];
        }
    }
#pragma GCC unroll 16
    for (int m = 0; m < ROWS; m++)
#pragma GCC unroll 4
        for (int v = 0; v < LINES; v++) store_register(out + m * out_row + v * IN_REGISTER<T>, sums[m][v]);
}

// Computes `rows` rows of the result in tiles of ROWS; the remaining rows in one tile, or in tiles of half the rows.
template <class T, int ROWS, int LINES>
inline void rows_of(Factor<T> left, const T *right, int64_t right_row, int64_t rows, int64_t terms, Start<T> start,
                    T *out, int64_t out_row) {
    constexpr int FEWER = ROWS <= MOST_KINDS ? ROWS - 1 : ROWS / 2;
    int64_t m = 0;
    for (; m + ROWS <= rows; m += ROWS)
        tile<T, ROWS, LINES>(left.from_row(m), right, right_row, terms, start.from(m), out + m * out_row, out_row);
    if constexpr (FEWER > 0)
        if (m < rows)
            rows_of<T, FEWER, LINES>(left.from_row(m), right, right_row, rows - m, terms, start.from(m),
                                     out + m * out_row, out_row);
}

// out[m][n] = start + sum over k of left(m, k) * right[k][n]; `columns` is a multiple of N. The tiles fill the registers:
// 32 of 64 bytes, 16 of 32 bytes (AVX2) or 32 of 16 bytes (ARM), less those for the factors.
template <class T>
void product(Factor<T> left, const T *right, int64_t right_row, int64_t rows, int64_t terms, int64_t columns,
             Start<T> start, T *out, int64_t out_row) {
    int64_t n = 0;
    if constexpr (REGISTERS == 1) {
        for (; n + 4 * N<T> <= columns; n += 4 * N<T>)
            rows_of<T, 6, 4>(left, right + n, right_row, rows, terms, start, out + n, out_row);
        for (; n + 2 * N<T> <= columns; n += 2 * N<T>)
            rows_of<T, 12, 2>(left, right + n, right_row, rows, terms, start, out + n, out_row);
        for (; n + N<T> <= columns; n += N<T>)
            rows_of<T, 16, 1>(left, right + n, right_row, rows, terms, start, out + n, out_row);
    } else {
        for (; n + N<T> <= columns; n += N<T>)
            rows_of<T, 6, REGISTERS>(left, right + n, right_row, rows, terms, start, out + n, out_row);
    }
}

// Transposes a square of vectors: swaps the off-diagonal blocks of size HALF, then recursively those of half the size.
template <class T, int HALF> inline void exchange(Vector<T> *lines) {
    if constexpr (HALF > 0) {
        using Places = decltype(Vector<T>{} < Vector<T>{});  // integers of the size of T
        Places left, right;
        for (int j = 0; j < N<T>; j++) {
            left[j] = j & HALF ? N<T> + j - HALF : j;
            right[j] = j & HALF ? N<T> + j : j + HALF;
        }
#pragma GCC unroll 16
        for (int i = 0; i < N<T>; i++)
            if (!(i & HALF)) {
                const Vector<T> above = lines[i], below = lines[i + HALF];
                lines[i] = __builtin_shuffle(above, below, left);
                lines[i + HALF] = __builtin_shuffle(above, below, right);
            }
        exchange<T, HALF / 2>(lines);
    }
}

// out[n][m] = in[m][n]; `columns` is a multiple of N, and rows of `out` are filled with zeros up to `out_row`.
template <class T> void transpose(const T *in, int64_t in_row, int64_t rows, int64_t columns, T *out, int64_t out_row) {
    for (int64_t m = 0; m < out_row; m += N<T>)
        for (int64_t n = 0; n < columns; n += N<T>) {
            Vector<T> lines[N<T>];
#pragma GCC unroll 16
            for (int64_t i = 0; i < N<T>; i++) lines[i] = m + i < rows ? load(in + (m + i) * in_row + n) : Vector<T>{};
            exchange<T, N<T> / 2>(lines);
#pragma GCC unroll 16
            for (int64_t i = 0; i < N<T>; i++) store(out + (n + i) * out_row + m, lines[i]);
        }
}
