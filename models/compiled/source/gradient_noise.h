// Noise on the gradients, as in models/eager/gradient_noise.py.
#pragma once

#include "network.h"

// The noise of one step of one member. `keys` is (kinds, streams, 2), from the member's stream on.
template <class T> struct Noise {
    const int32_t *keys;
    int64_t streams;
    T deviation;  // 0 for no noise

    const int32_t *of(Factors factors) const { return keys + factors.kind * streams * 2; }
};

// Draws a number as normal_noise of models/noise.py: the sum of twelve uniform bytes, scaled.
inline double normal_noise(uint32_t position, uint32_t multiplier, uint32_t offset) {
    int32_t total = 0;
    for (uint32_t i = 0; i < 4; i++) {
        const uint32_t drawn = mixed(position * multiplier + offset + i * 1013904243u);
        total += int32_t((drawn & 255) + (drawn >> 8 & 255) + (drawn >> 16));
    }
    return (total - 12 * 127.5) / std::sqrt(256.0 * 256.0 - 1);
}

// Multiplies the gradients of a part, (rows, columns), by `scale` and adds the noise; rows are `row` numbers apart.
template <class T>
void add_noise(const Noise<T> &noise, Factors factors, T scale, T *gradients, int64_t rows, int64_t columns,
               int64_t row) {
    const int32_t *key = noise.of(factors);
    const uint32_t multiplier = key[0], offset = key[1];
    for (int64_t u = 0; u < rows; u++)
        for (int64_t i = 0; i < columns; i++) {
            const T drawn = T(normal_noise(uint32_t(u * NOISE_ROW + i), multiplier, offset));
            gradients[u * row + i] = gradients[u * row + i] * scale + drawn * noise.deviation;
        }
}

// Does so for all parts of a member.
template <class T> void add_noise(const Member<T> &member, const Noise<T> &noise, T scale) {
    for (int64_t i = 0; i < member.n_layers; i++) {
        const Layer<T> &layer = member.layers[i];
        each_map(layer, [&](const LinearMap<T> &map) {
            add_noise(noise, map.weight_factors, scale, map.weights[GRADIENTS], layer.units, layer.inputs, layer.row);
        });
        const auto vector = [&](T *const *stacks, Factors factors) {
            if (stacks[PARAMETERS]) add_noise(noise, factors, scale, stacks[GRADIENTS], layer.units, 1, 1);
        };
        each_map(layer, [&](const LinearMap<T> &map) { vector(map.biases, map.bias_factors); });
        vector(layer.scales, layer.scale_factors);
        vector(layer.shifts, layer.shift_factors);
        vector(layer.shares, layer.share_factors);
    }
    if (member.stage)
        each_trained(*member.stage, [&](const StagePart<T> &part) {
            add_noise(noise, part.factors, scale, part.values[GRADIENTS], part.rows, part.columns, part.row);
        });
}
