// Matrix products whose factors are rounded to bfloat16, the upper half of a float; sums and results are floats.
//
// A processor with AMX multiplies a 16 x 32 tile by a 32 x 16 tile in one instruction. For other processors there is a
// scalar version of the same products, which only tests use.
#pragma once

#include <algorithm>

#include "arena.h"
#include "interface.h"
#include "products.h"

#if defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#define HAS_TILES
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

using Line = Vector<Bf16>;

constexpr int64_t TILE = 16;  // rows and columns of a result's tile; the tiles of its factors have TILE_TERMS terms

#ifdef HAS_TILES

// Concatenates `first` and `second`, rounded to bf16.
inline Line line_of(Vector<float> first, Vector<float> second) {
    return reinterpret_cast<Line>(_mm512_cvtne2ps_pbh(second, first));
}

// Interleaves the numbers of `even` and `odd`, rounded to bf16.
inline Line pairs_of(Vector<float> even, Vector<float> odd) {
    constexpr Line IN_TURNS = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                               8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    return __builtin_shuffle(line_of(even, odd), IN_TURNS);
}

// Asks the system for permission to use tiles, as their state is large (Linux, Documentation/arch/x86/xstate.rst).
inline bool may_use_tiles() {
    constexpr long REQUEST = 0x1023, TILE_DATA = 18;
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

// Configures this thread's tiles, 16 rows of 64 bytes each, for the lifetime of the object.
class Tiles {
  public:
    Tiles() {
        Configuration all{1, {}, {}, {}};
        for (int i = 0; i < 8; i++) all.bytes[i] = 64, all.rows[i] = TILE;
        _tile_loadconfig(&all);
    }
    ~Tiles() { _tile_release(); }

  private:
    struct Configuration {
        uint8_t palette, reserved[15];
        uint16_t bytes[16];
        uint8_t rows[16];
    };
};

// Computes ROWS x COLUMNS tiles of a product, and adds them to `out` unless `from_zero`; ROWS and COLUMNS are 1 or 2.
// `left` is row-major; `right` has pairs of terms, (terms / 2, columns, 2).
template <int ROWS, int COLUMNS>
inline void add_tiles(const Bf16 *left, const Bf16 *right, int64_t right_row, int64_t terms, bool from_zero, float *out,
                      int64_t out_row) {
    constexpr bool LOWER = ROWS > 1, FURTHER = COLUMNS > 1;
    float *lower = out + TILE * out_row;
    const int64_t bytes = out_row * sizeof(float);
    if (from_zero) {
        _tile_zero(0);
        if constexpr (FURTHER) _tile_zero(1);
        if constexpr (LOWER) _tile_zero(2);
        if constexpr (LOWER && FURTHER) _tile_zero(3);
    } else {
        _tile_loadd(0, out, bytes);
        if constexpr (FURTHER) _tile_loadd(1, out + TILE, bytes);
        if constexpr (LOWER) _tile_loadd(2, lower, bytes);
        if constexpr (LOWER && FURTHER) _tile_loadd(3, lower + TILE, bytes);
    }
    for (int64_t k = 0; k < terms; k += TILE_TERMS) {
        const Bf16 *pairs = right + k * right_row;
        _tile_loadd(4, left + k, terms * sizeof(Bf16));
        _tile_loadd(6, pairs, right_row * 2 * sizeof(Bf16));
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (FURTHER) _tile_loadd(7, pairs + 2 * TILE, right_row * 2 * sizeof(Bf16));
        if constexpr (FURTHER) _tile_dpbf16ps(1, 4, 7);
        if constexpr (LOWER) _tile_loadd(5, left + TILE * terms + k, terms * sizeof(Bf16));
        if constexpr (LOWER) _tile_dpbf16ps(2, 5, 6);
        if constexpr (LOWER && FURTHER) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, out, bytes);
    if constexpr (FURTHER) _tile_stored(1, out + TILE, bytes);
    if constexpr (LOWER) _tile_stored(2, lower, bytes);
    if constexpr (LOWER && FURTHER) _tile_stored(3, lower + TILE, bytes);
}

#else

using Words = uint32_t __attribute__((vector_size(64)));

// Rounds to the nearest bf16, ties to even; the result is the upper half of each word.
inline Words rounded(Vector<float> x) {
    const Words bits = reinterpret_cast<Words>(x), up = bits + 0x7fff + (bits >> 16 & 1);
    return (x == x ? up : bits | 0x400000) & 0xffff0000;  // NaN stays NaN
}

inline Line line_of(Vector<float> first, Vector<float> second) {
    Line line;
    const Words words[] = {rounded(first) >> 16, rounded(second) >> 16};
    for (int i = 0; i < 32; i++) line[i] = words[i / 16][i % 16];
    return line;
}

inline Line pairs_of(Vector<float> even, Vector<float> odd) {
    return reinterpret_cast<Line>(rounded(even) >> 16 | rounded(odd));
}

inline bool may_use_tiles() { return false; }

struct Tiles {};

inline float value_of(Bf16 rounded) {
    const uint32_t bits = uint32_t(rounded) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

template <int ROWS, int COLUMNS>
inline void add_tiles(const Bf16 *left, const Bf16 *right, int64_t right_row, int64_t terms, bool from_zero, float *out,
                      int64_t out_row) {
    for (int64_t m = 0; m < ROWS * TILE; m++)
        for (int64_t n = 0; n < COLUMNS * TILE; n++) {
            float sum = from_zero ? 0 : out[m * out_row + n];
            for (int64_t k = 0; k < terms; k++)
                sum += value_of(left[m * terms + k]) * value_of(right[(k / 2 * right_row + n) * 2 + k % 2]);
            out[m * out_row + n] = sum;
        }
}

#endif

// Rounds (rows, columns) to bf16, row-major; both are filled up with zeros to whole tiles.
inline void to_rows(Factor<float> in, int64_t rows, int64_t columns, Bf16 *out) {
    const int64_t out_row = padded(columns, TILE_TERMS);
    for (int64_t m = 0; m < padded(rows, TILE); m++)
        for (int64_t n = 0; n < out_row; n += TILE_TERMS) {
            const auto part = [&](int64_t from) {
                return m < rows && from < columns ? load(in.at + m * in.row + from) : Vector<float>{};
            };
            store(out + m * out_row + n, line_of(part(n), part(n + N<float>)));
        }
}

// Rounds (terms, columns) to bf16 as (terms / 2, columns, 2); terms are filled up with zeros to whole tiles.
inline void to_pairs(const float *in, int64_t in_row, int64_t terms, int64_t columns, Bf16 *out) {
    for (int64_t k = 0; k < padded(terms, TILE_TERMS); k += 2)
        for (int64_t n = 0; n < columns; n += N<float>) {
            const auto part = [&](int64_t term) { return term < terms ? load(in + term * in_row + n) : Vector<float>{}; };
            store(out + k * columns + 2 * n, pairs_of(part(k), part(k + 1)));
        }
}

// Rounds the transpose of (terms, rows), in the layout of to_rows; a pair of terms is moved as one float.
inline void to_rows_transposed(const float *in, int64_t in_row, int64_t rows, int64_t terms, Bf16 *pairs, Bf16 *out) {
    const int64_t columns = padded(rows, TILE), n_pairs = padded(terms, TILE_TERMS) / 2;
    to_pairs(in, in_row, terms, columns, pairs);
    transpose(reinterpret_cast<float *>(pairs), columns, n_pairs, columns, reinterpret_cast<float *>(out), n_pairs);
}

// Rounds the transpose of (rows, columns) to pairs, (columns / 2, rows, 2), both filled up; `lines` is scratch.
inline void to_pairs_transposed(const float *in, int64_t rows, int64_t columns, Bf16 *lines, Bf16 *out) {
    const int64_t out_row = padded(rows, TILE), n_pairs = padded(columns, TILE_TERMS) / 2;
    to_rows({in, columns, 1}, rows, columns, lines);
    transpose(reinterpret_cast<float *>(lines), n_pairs, out_row, n_pairs, reinterpret_cast<float *>(out), out_row);
}

// Scratch memory for factors of products with at most `most` numbers.
struct Bf16Room {
    Bf16 *left, *right, *pairs;

    Bf16Room(int64_t most, Arena &arena)
        : left(arena.take<Bf16>(most)), right(arena.take<Bf16>(most)), pairs(arena.take<Bf16>(most)) {}
};

// A product of rounded factors; `right` is (terms / 2, columns, 2).
struct TiledProduct {
    const Bf16 *left, *right;
    int64_t right_row, terms, columns;
    bool from_zero;
    float *out;
    int64_t out_row;

    template <int ROWS> void rows(int64_t m) const {
        const Bf16 *lines = left + m * terms;
        float *to = out + m * out_row;
        int64_t n = 0;
        for (; n + 2 * TILE <= columns; n += 2 * TILE)
            add_tiles<ROWS, 2>(lines, right + 2 * n, right_row, terms, from_zero, to + n, out_row);
        if (n < columns) add_tiles<ROWS, 1>(lines, right + 2 * n, right_row, terms, from_zero, to + n, out_row);
    }

    // Computes fewer rows than a tile has, in a buffer beside the result.
    void few_rows(int64_t m, int64_t count) const {
        for (int64_t n = 0; n < columns; n += TILE) {
            float beside[TILE * TILE] = {};
            for (int64_t i = 0; i < count && !from_zero; i++) store(beside + i * TILE, load(out + (m + i) * out_row + n));
            add_tiles<1, 1>(left + m * terms, right + 2 * n, right_row, terms, from_zero, beside, TILE);
            for (int64_t i = 0; i < count; i++) store(out + (m + i) * out_row + n, load(beside + i * TILE));
        }
    }
};

// The right factor of a product, row-major, with rows of length `row`; and its pairs, null if they do not exist.
template <class T> struct Right {
    const T *at;
    int64_t row;
    const Bf16 *pairs;
};

// Computes `product` with rounded factors. Either the rows or the columns of `left` must be contiguous.
inline void product_in_bf16(Factor<float> left, Right<float> right, int64_t rows, int64_t terms, int64_t columns,
                              Start<float> start, float *out, int64_t out_row, const Bf16Room &room) {
    for (int64_t m = 0; m < rows && start.of_rows; m++)
        for (int64_t n = 0; n < columns; n += N<float>) store(out + m * out_row + n, all(start.of_rows[m]));
    if (!right.pairs) {
        to_pairs(right.at, right.row, terms, columns, room.right);
        right = {right.at, columns, room.right};
    }
    if (left.column == 1)
        to_rows(left, rows, terms, room.left);
    else
        to_rows_transposed(left.at, left.column, rows, terms, room.pairs, room.left);
    const bool from_zero = !start.of_rows && !start.from_result;
    const int64_t all_terms = padded(terms, TILE_TERMS);
    const TiledProduct tiled{room.left, right.pairs, right.row, all_terms, columns, from_zero, out, out_row};
    int64_t m = 0;
    for (; m + 2 * TILE <= rows; m += 2 * TILE) tiled.rows<2>(m);
    for (; m + TILE <= rows; m += TILE) tiled.rows<1>(m);
    if (m < rows) tiled.few_rows(m, rows - m);
}
