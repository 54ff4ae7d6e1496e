"""The multi-scale features of a clip as one sequence of tokens, which encoder and decoder pass along."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

SpatialShapes = tuple[tuple[int, int], ...]


class Pyramid(NamedTuple):
    """Features of all levels, finest first, flattened row by row into S tokens per frame.

    Attributes:
        tokens: The features.
        spatial_shapes: Height and width of each level; their products sum to S.
        padding_mask: True where a token lies under padding; None where no clip of the batch is padded.
        valid_ratios: Unpadded share of width and height of each level.
    """

    tokens: Float[Tensor, "B T S C"]
    spatial_shapes: SpatialShapes
    padding_mask: Bool[Tensor, "B S"] | None
    valid_ratios: Float[Tensor, "B L 2"]

    def levels(self) -> tuple[Float[Tensor, "B T _s C"], ...]:
        """The tokens of each level."""
        return self.tokens.split([height * width for height, width in self.spatial_shapes], dim=2)

    def maps(self) -> tuple[Float[Tensor, "B T C _h _w"], ...]:
        """The levels as feature maps (views where the memory allows it)."""
        return tuple(
            level.unflatten(2, shape).permute(0, 1, 4, 2, 3)
            for level, shape in zip(self.levels(), self.spatial_shapes, strict=True)
        )


def resize_mask(padding_mask: Bool[Tensor, "B H W"], shape: tuple[int, int]) -> Bool[Tensor, "B _h _w"]:
    """Bring a clip's padding mask to a level's size by nearest neighbour, as the official code does."""
    return F.interpolate(padding_mask[:, None].float(), size=shape).squeeze(1).bool()


def valid_ratio(padding_mask: Bool[Tensor, "B H W"]) -> Float[Tensor, "B 2"]:
    """Unpadded share of the width and of the height."""
    width = (~padding_mask[:, 0, :]).float().mean(1)
    height = (~padding_mask[:, :, 0]).float().mean(1)
    return torch.stack((width, height), dim=-1)
