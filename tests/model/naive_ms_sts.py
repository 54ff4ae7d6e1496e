"""The paper's Eqs. 1-5 written as loops over scales, positions, frames and heads, in float64 NumPy.

Only the weights are read from the modules; every operation is spelled out here. Sequences are lists of [C] vectors.
"""

import itertools
import math

import numpy as np
from torch import Tensor, nn

from mssts.model.ms_sts import InterScaleTemporalAttention, IntraScaleTemporalAttention, MsStsAttention

Shape = tuple[int, int]


def as_array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    y = as_array(layer.weight) @ x
    return y if layer.bias is None else y + as_array(layer.bias)


def layer_norm(norm: nn.LayerNorm, x: np.ndarray) -> np.ndarray:
    mean = sum(x) / len(x)
    variance = sum((x - mean) ** 2) / len(x)
    return (x - mean) / math.sqrt(variance + norm.eps) * as_array(norm.weight) + as_array(norm.bias)


def mlp(layers: nn.Sequential, x: np.ndarray) -> np.ndarray:
    first, _, _, second, _ = layers
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    hidden = linear(first, x)
    return linear(second, np.array([0.5 * h * (1 + math.erf(h / math.sqrt(2))) for h in hidden]))


def attend(query: np.ndarray, keys: list[np.ndarray], values: list[np.ndarray], num_heads: int) -> np.ndarray:
    """Eqs. 2 and 5 for one query; with one head the scale is the square root of C, as printed."""
    width = len(query) // num_heads
    result = np.zeros_like(query)
    for head in range(num_heads):
        part = slice(head * width, (head + 1) * width)
        scores = [float(query[part] @ key[part]) / math.sqrt(width) for key in keys]
        exponentials = [math.exp(score - max(scores)) for score in scores]
        for exponential, value in zip(exponentials, values, strict=True):
            result[part] += exponential / sum(exponentials) * value[part]
    return result


def upsample(coarse: np.ndarray, coarse_shape: Shape, fine_shape: Shape) -> np.ndarray:
    """Bilinear between pixel centres, clamped at the border: [coarse positions, C] -> [fine positions, C]."""
    (rows, columns), (fine_rows, fine_columns) = coarse_shape, fine_shape
    result = np.zeros((fine_rows * fine_columns, coarse.shape[-1]))
    for row in range(fine_rows):
        for column in range(fine_columns):
            y = max((row + 0.5) * rows / fine_rows - 0.5, 0.0)
            x = max((column + 0.5) * columns / fine_columns - 0.5, 0.0)
            for near_y, weight_y in ((int(y), 1 - y % 1), (int(y) + 1, y % 1)):
                for near_x, weight_x in ((int(x), 1 - x % 1), (int(x) + 1, x % 1)):
                    source = min(near_y, rows - 1) * columns + min(near_x, columns - 1)
                    result[row * fine_columns + column] += weight_y * weight_x * coarse[source]
    return result


def _block(
    block: IntraScaleTemporalAttention | InterScaleTemporalAttention,
    sequence: list[np.ndarray],
    places: list[np.ndarray],
    attended: list[int],
) -> list[np.ndarray]:
    """Y = SA(LN(Z)) + Z and MLP(LN(Y)) + Y of one sequence; `attended` are the indices that may serve as keys."""
    normed = [layer_norm(block.attention_norm, z) for z in sequence]
    located = [z + place for z, place in zip(normed, places, strict=True)]
    queries = [linear(block.attention.query, z) for z in located]
    keys = [linear(block.attention.key, located[j]) for j in attended]
    values = [linear(block.attention.value, normed[j]) for j in attended]
    result = []
    for z, query in zip(sequence, queries, strict=True):
        y = attend(query, keys, values, block.attention.num_heads) + z
        result.append(mlp(block.mlp, layer_norm(block.mlp_norm, y)) + y)
    return result


def intra_scale(block: IntraScaleTemporalAttention, z: np.ndarray, place: np.ndarray, padded: np.ndarray) -> np.ndarray:
    """Eqs. 1-2 for one clip: z and place [T, S, C], padded [S]."""
    result = np.zeros_like(z)
    for s in range(z.shape[1]):
        if not padded[s]:
            result[:, s] = _block(block, list(z[:, s]), list(place[:, s]), list(range(len(z))))
    return result


def inter_scale(
    block: InterScaleTemporalAttention,
    fine: np.ndarray,
    coarse: np.ndarray,
    shapes: tuple[Shape, Shape],
    place: np.ndarray,
    padded: np.ndarray,
) -> np.ndarray:
    """Eqs. 3-5 for one clip: fine and place [T, S, C], coarse [T, S', C], padded [S]."""
    tokens, places, index = [], [], []
    for t in range(len(fine)):
        large = upsample(coarse[t], shapes[1], shapes[0])
        for s in range(fine.shape[1]):
            tokens.append(linear(block.project, np.concatenate((fine[t, s], large[s]))))
            places.append(place[t, s])
            index.append((t, s))
    attended = [i for i, (_, s) in enumerate(index) if not padded[s]]
    enriched = _block(block, tokens, places, attended)
    result = np.zeros_like(fine)
    for i in attended:
        result[index[i]] = enriched[i]
    return result


def ms_sts(
    module: MsStsAttention,
    tokens: np.ndarray,
    shapes: tuple[Shape, ...],
    place: np.ndarray,
    padded: np.ndarray,
    joint_levels: tuple[int, ...],
) -> np.ndarray:
    """The whole module for one clip: intra-scale on every level, inter-scale on the joint ones."""
    starts = [sum(h * w for h, w in shapes[:level]) for level in range(len(shapes) + 1)]
    parts = [slice(start, stop) for start, stop in itertools.pairwise(starts)]
    intra = [intra_scale(module.intra, tokens[:, p], place[:, p], padded[p]) for p in parts]
    result = np.zeros_like(tokens)
    for level, part in enumerate(parts):
        result[:, part] = intra[level]
        if level in joint_levels:
            neighbours = (shapes[level], shapes[level + 1])
            result[:, part] = inter_scale(
                module.inter, intra[level], intra[level + 1], neighbours, place[:, part], padded[part]
            )
    return result
