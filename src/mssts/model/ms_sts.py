"""Multi-scale spatio-temporal split (MS-STS) attention, the paper's main contribution.

Paper: section 3.2, Fig. 2(b)-(d). An intra-scale block attends over the frames of a clip at each position (Eqs. 1-2);
an inter-scale block joins each level with its coarser neighbour and attends over all positions and frames
(Eqs. 3-5). As in the equations, queries, keys and values have no biases and no output projection follows.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mssts.config import MsStsConfig
from mssts.model.attention import attend
from mssts.model.chunks import in_chunks
from mssts.model.dropout import Dropout
from mssts.model.pyramid import SpatialShapes


class Mlp(nn.Sequential):
    """The two-layer perceptron of Eqs. 1 and 4."""

    def __init__(self, dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__(
            nn.Linear(dim, hidden_dim), nn.GELU(), Dropout(dropout), nn.Linear(hidden_dim, dim), Dropout(dropout)
        )


class Attended(NamedTuple):
    """What is looked at in place of the sequence itself: m tokens with their positions and padding mask."""

    tokens: Float[Tensor, "G m C"]
    position: Float[Tensor, "#G m C"] | None
    padding_mask: Bool[Tensor, "G m"] | None


class SelfAttention(nn.Module):
    """Scaled dot-product self-attention over the last-but-one axis (Eqs. 2 and 5).

    The matrix of all pairs is never stored.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)

    def forward(
        self,
        sequence: Float[Tensor, "G n C"],
        position: Float[Tensor, "#G n C"] | None,
        padding_mask: Bool[Tensor, "G n"] | None = None,
        attended: Attended | None = None,
    ) -> Float[Tensor, "G n C"]:
        """Attend within each of G sequences; the position joins queries and keys, padded tokens are not attended to.

        With `attended`, keys and values come from there, and the sequence's own padding mask has no part in it.
        """
        located = _locate(sequence, position)
        keys, values, padding_mask = (
            (located, sequence, padding_mask)
            if attended is None
            else (_locate(attended.tokens, attended.position), attended.tokens, attended.padding_mask)
        )
        query, key, value = (
            projected.unflatten(-1, (self.num_heads, -1))
            for projected in (self.query(located), self.key(keys), self.value(values))
        )
        return attend(query, key, value, padding_mask).flatten(-2)


def _locate(tokens: Float[Tensor, "G n C"], position: Float[Tensor, "#G n C"] | None) -> Float[Tensor, "G n C"]:
    return tokens if position is None else tokens + position


class IntraScaleTemporalAttention(nn.Module):
    """Attend over the frames at each position of each level (paper: Eqs. 1 and 2, Fig. 2(c))."""

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, num_heads)
        self.dropout = Dropout(dropout)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, round(dim * mlp_ratio), dropout)

    def forward(
        self,
        z: Float[Tensor, "B T S C"],
        position: Float[Tensor, "#B T S C"] | None,
        padding_mask: Bool[Tensor, "B S"] | None,
    ) -> Float[Tensor, "B T S C"]:
        """Enrich the tokens across frames; positions do not mix, so padding only has to be silenced (0)."""
        located = () if position is None else (position.expand(len(z), -1, -1, -1),)
        enriched = in_chunks(self._enrich, z, *located, dim=2, tokens=z.shape[1])
        return enriched if padding_mask is None else enriched.masked_fill(padding_mask[:, None, :, None], 0.0)

    def _enrich(
        self, z: Float[Tensor, "B T S C"], position: Float[Tensor, "B T S C"] | None = None
    ) -> Float[Tensor, "B T S C"]:
        """Eqs. 1 and 2."""
        sequence = z.transpose(1, 2)
        if position is not None:
            position = position.transpose(1, 2).flatten(0, 1)
        attended = self.attention(self.attention_norm(sequence).flatten(0, 1), position)
        y = self.dropout(attended).unflatten(0, sequence.shape[:2]) + sequence
        return (self.mlp(self.mlp_norm(y)) + y).transpose(1, 2)


class InterScaleTemporalAttention(nn.Module):
    """Join a level with its coarser neighbour, then attend over all positions and frames (Eqs. 3-5, Fig. 2(d)).

    With `key_pooling` above 1, which is not in the paper, it attends to averages over squares of positions.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, dropout: float, key_pooling: int = 1) -> None:
        super().__init__()
        self.key_pooling = key_pooling
        self.project = nn.Linear(2 * dim, dim, bias=False)
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, num_heads)
        self.dropout = Dropout(dropout)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, round(dim * mlp_ratio), dropout)

    def forward(
        self,
        fine: Float[Tensor, "B T S C"],
        coarse: Float[Tensor, "B T Sc C"],
        fine_shape: tuple[int, int],
        coarse_shape: tuple[int, int],
        position: Float[Tensor, "#B T S C"] | None,
        padding_mask: Bool[Tensor, "B S"] | None,
    ) -> Float[Tensor, "B T S C"]:
        """Enrich the finer level; the coarser one is brought to the finer one's true size, which may be odd."""
        batch, num_frames, num_positions, _ = fine.shape
        h = self._join(fine, coarse, fine_shape, coarse_shape).flatten(1, 2)
        if position is not None:
            position = position.flatten(1, 2)
        if padding_mask is not None:
            padding_mask = padding_mask[:, None].expand(-1, num_frames, -1).flatten(1, 2)
        normed = self.attention_norm(h)
        attended = None
        if self.key_pooling > 1:
            attended = average_squares(normed, position, padding_mask, (num_frames, *fine_shape), self.key_pooling)
        y = self.dropout(self.attention(normed, position, padding_mask, attended)) + h
        enriched = in_chunks(self._perceive, y.flatten(0, 1), dim=0).view_as(y)
        if padding_mask is not None:
            enriched = enriched.masked_fill(padding_mask[..., None], 0.0)
        return enriched.view(batch, num_frames, num_positions, -1)

    def _perceive(self, y: Float[Tensor, "n C"]) -> Float[Tensor, "n C"]:
        """Eq. 4 behind the attention."""
        return self.mlp(self.mlp_norm(y)) + y

    def _join(
        self,
        fine: Float[Tensor, "B T S C"],
        coarse: Float[Tensor, "B T Sc C"],
        fine_shape: tuple[int, int],
        coarse_shape: tuple[int, int],
    ) -> Float[Tensor, "B T S C"]:
        """W_p(CONCAT(Z, UPSAMPLE(Z'))) (Eq. 3), as W_a Z + UPSAMPLE(W_b Z'): the same, at a third of the cost."""
        weight_fine, weight_coarse = self.project.weight.chunk(2, dim=1)
        small = F.linear(coarse, weight_coarse).flatten(0, 1).transpose(1, 2).unflatten(2, coarse_shape)
        large = F.interpolate(small, size=fine_shape, mode="bilinear", align_corners=False)
        return F.linear(fine, weight_fine) + large.flatten(2).transpose(1, 2).view_as(fine)


def average_squares(
    tokens: Float[Tensor, "B n C"],
    position: Float[Tensor, "#B n C"] | None,
    padding_mask: Bool[Tensor, "B n"] | None,
    shape: tuple[int, int, int],
    side: int,
) -> Attended:
    """Average tokens and their positions over squares of a frame's map; padded tokens have no part in it.

    Args:
        tokens: Of all frames, row by row.
        position: Of the tokens.
        padding_mask: True where padded.
        shape: Frames, height and width.
        side: Of a square; those at the right and bottom may be cut off.
    """
    valid = tokens.new_ones(1, shape[0] * shape[1] * shape[2], 1)
    if padding_mask is not None:
        valid = (~padding_mask[..., None]).to(tokens.dtype)
    share = _pool(valid, shape, side)

    def average(x: Float[Tensor, "_B n C"]) -> Float[Tensor, "_B m C"]:
        """Over the valid tokens of each square; 0 where there are none."""
        return _pool(x * valid, shape, side) / share.clamp_min(torch.finfo(share.dtype).tiny)

    mask = None if padding_mask is None else share[..., 0] == 0
    return Attended(average(tokens), None if position is None else average(position), mask)


def _pool(x: Float[Tensor, "B n c"], shape: tuple[int, int, int], side: int) -> Float[Tensor, "B m c"]:
    """Plain means over squares of every frame's map."""
    maps = x.unflatten(1, shape).flatten(0, 1).permute(0, 3, 1, 2)
    pooled = F.avg_pool2d(maps, side, ceil_mode=True, count_include_pad=False)
    return pooled.flatten(2).transpose(1, 2).unflatten(0, (x.shape[0], shape[0])).flatten(1, 2)


class MsStsAttention(nn.Module):
    """The split attention module: intra-scale on every level, then inter-scale from each level to the next coarser.

    Paper: leaves open whether weights are shared; ours are shared over levels and own to each encoder layer, because
    the paper calls the model size comparable to the baseline's.
    """

    def __init__(self, dim: int, num_levels: int, dropout: float, config: MsStsConfig) -> None:
        super().__init__()
        self.joint_levels = range(num_levels - 1) if config.joint_levels is None else config.joint_levels
        self.intra = IntraScaleTemporalAttention(dim, config.num_heads, config.mlp_ratio, dropout)
        self.inter = InterScaleTemporalAttention(dim, config.num_heads, config.mlp_ratio, dropout, config.key_pooling)

    def forward(
        self,
        tokens: Float[Tensor, "B T S C"],
        spatial_shapes: SpatialShapes,
        position: Float[Tensor, "#B T S C"] | None,
        padding_mask: Bool[Tensor, "B S"] | None,
    ) -> Float[Tensor, "B T S C"]:
        """Return the enriched tokens of all levels; the coarsest level has no neighbour and stays intra-scale."""
        sizes = [height * width for height, width in spatial_shapes]
        intra = self.intra(tokens, position, padding_mask).split(sizes, dim=2)
        positions = [None] * len(sizes) if position is None else position.split(sizes, dim=2)
        masks = [None] * len(sizes) if padding_mask is None else padding_mask.split(sizes, dim=1)
        enriched = list(intra)
        for level in self.joint_levels:
            enriched[level] = self.inter(
                intra[level],
                intra[level + 1],
                spatial_shapes[level],
                spatial_shapes[level + 1],
                positions[level],
                masks[level],
            )
        return torch.cat(enriched, dim=2)
