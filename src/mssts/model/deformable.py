"""Multi-scale deformable attention: each query looks at a few points around its reference, on every level.

Zhu et al., Deformable DETR (ICLR 2021); the paper's section 2 builds on it. The plain PyTorch form is here;
deformable_numba.py has a faster one for CPUs and deformable_triton.py one for GPUs, taken wherever they can be.
"""

import math
import os
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mssts.model.chunks import in_chunks
from mssts.model.native import MAX_POINTS, MAX_TOKENS, fits_gpu_kernels, fits_kernels
from mssts.model.precision import at_least_float32
from mssts.model.pyramid import SpatialShapes

# Set to "reference", it switches the fast form off.
FORM_VARIABLE = "MSSTS_DEFORMABLE"


def sample_deformable(
    values: Float[Tensor, "M S heads d"],
    spatial_shapes: SpatialShapes,
    locations: Float[Tensor, "M Q heads L P 2"],
    weights: Float[Tensor, "M Q heads L P"],
) -> Float[Tensor, "M Q heads*d"]:
    """Sum bilinear samples of the values, weighted; zeros outside the map. The fastest form that fits is taken.

    Whatever form it is, it adds up in at least float32, and the output has the values' type.

    Args:
        values: Tokens of all levels of M frames, split into heads.
        spatial_shapes: Height and width of each level.
        locations: Sampling points (x, y) in 0..1 of the padded map.
        weights: Attention weights, summing to 1 over levels and points.
    """
    if fits_gpu_kernels(values, locations, weights) and (form := _triton_form()):
        return form(values, spatial_shapes, locations, weights)
    # No other form gains from half the bits, and under autocast the three may differ in type.
    exact = [at_least_float32(tensor) for tensor in (values, locations, weights)]
    is_usual = weights.shape[-2:].numel() <= MAX_POINTS and values.shape[1] <= MAX_TOKENS
    form = (is_usual and fits_kernels(*exact) and _numba_form()) or sample_deformable_reference
    return form(exact[0], spatial_shapes, *exact[1:]).to(values.dtype)


def deformable_form(device: torch.device | str) -> str:
    """Say in words which form float32 tensors of a device get."""
    if torch.device(device).type == "cpu" and _numba_form() is not None:
        return "Numba kernels"
    if torch.device(device).type == "cuda" and _triton_form() is not None:
        return "Triton kernels"
    return "plain PyTorch (grid_sample)"


def _numba_form() -> Callable[..., Tensor] | None:
    return None if os.environ.get(FORM_VARIABLE) == "reference" else _imported_numba_form()


@cache
def _imported_numba_form() -> Callable[..., Tensor] | None:
    # On first use: the import compiles, and a program that only uses a GPU never needs it.
    try:
        from mssts.model.deformable_numba import sample_deformable_numba
    except (ImportError, OSError):
        return None
    return sample_deformable_numba


def _triton_form() -> Callable[..., Tensor] | None:
    return None if os.environ.get(FORM_VARIABLE) == "reference" else _probed_triton_form()


@cache
def _probed_triton_form() -> Callable[..., Tensor] | None:
    """The Triton form if it works here, which also takes a C compiler at run time."""
    try:
        from mssts.model.deformable_triton import sample_deformable_triton
    except (ImportError, OSError):
        return None
    return sample_deformable_triton if works(sample_deformable_triton, "cuda") else None


def works(form: Callable[..., Tensor], device: torch.device | str) -> bool:
    """Tell whether a form of `sample_deformable` runs on a device, forward and backward.

    Raises:
        torch.OutOfMemoryError: The device is full, which tells nothing.
    """
    try:
        with torch.inference_mode(False), torch.enable_grad():
            one = torch.ones(1, 1, 1, 16, device=device, requires_grad=True)
            form(one, ((1, 1),), one.new_zeros(1, 1, 1, 1, 1, 2), one.new_ones(1, 1, 1, 1, 1)).sum().backward()
        return one.grad is not None and bool(one.grad.isfinite().all())
    except torch.OutOfMemoryError:
        raise
    except Exception:  # of whatever kind: the plain form always works
        return False


def sample_deformable_reference(
    values: Float[Tensor, "M S heads d"],
    spatial_shapes: SpatialShapes,
    locations: Float[Tensor, "M Q heads L P 2"],
    weights: Float[Tensor, "M Q heads L P"],
) -> Float[Tensor, "M Q heads*d"]:
    """Sum bilinear samples of the values, weighted, with PyTorch's own operations; arguments as `sample_deformable`."""
    num_frames, _, num_heads = locations.shape[:3]
    # Queries last: sums over points then run along contiguous memory, 1.6 times as fast as points last on a CPU.
    grids = (locations * 2 - 1).permute(0, 2, 3, 4, 1, 5).flatten(0, 1)
    weights = weights.permute(0, 2, 3, 4, 1).flatten(0, 1).unsqueeze(1)
    output = None
    levels = values.split([height * width for height, width in spatial_shapes], dim=1)
    parts = zip(levels, spatial_shapes, grids.unbind(1), weights.unbind(2), strict=True)
    for level, (height, width), grid, weight in parts:
        level_map = level.permute(0, 2, 3, 1).reshape(-1, values.shape[-1], height, width)
        samples = F.grid_sample(level_map, grid, padding_mode="zeros", align_corners=False)
        for sample, point_weight in zip(samples.unbind(2), weight.unbind(2), strict=True):
            # In place: a fresh output for each of the points would cost more than the arithmetic.
            output = sample * point_weight if output is None else output.addcmul_(sample, point_weight)
    assert output is not None
    return output.unflatten(0, (num_frames, num_heads)).permute(0, 3, 1, 2).flatten(2)


class ValueProjection(nn.Linear):
    """The linear layer that makes what is sampled from tokens, and splits it into heads."""

    def __init__(self, hidden_dim: int, num_heads: int) -> None:
        super().__init__(hidden_dim, hidden_dim)
        self.num_heads = num_heads

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, tokens: Float[Tensor, "M S C"], padding_mask: Bool[Tensor, "M S"] | None
    ) -> Float[Tensor, "M S heads d"]:
        """Project the tokens; padded ones become 0. In memory, a head's values may lie side by side."""
        mask = () if padding_mask is None else (padding_mask,)
        return in_chunks(
            self._project, tokens, *mask, dim=1, tokens=len(tokens), make_output=lambda: self._empty_by_head(tokens)
        )

    def _empty_by_head(self, tokens: Float[Tensor, "M S C"]) -> Float[Tensor, "M S heads d"]:
        """In the order and type of the CPU's kernels: each chunk gets there while it is in cache."""
        num_frames, num_tokens, dim = tokens.shape
        shape = num_frames, self.num_heads, num_tokens, dim // self.num_heads
        return tokens.new_empty(shape, dtype=self.weight.dtype).transpose(1, 2)

    def _project(
        self, tokens: Float[Tensor, "M n C"], padding_mask: Bool[Tensor, "M n"] | None = None
    ) -> Float[Tensor, "M n heads d"]:
        # One matrix, or PyTorch would repeat the weights for each frame of a chunk.
        values = F.linear(tokens.flatten(0, 1), self.weight, self.bias).unflatten(0, tokens.shape[:2])
        if padding_mask is not None:
            values = values.masked_fill(padding_mask[..., None], 0.0)
        return values.unflatten(-1, (self.num_heads, -1))


class DeformableSampling(nn.Module):
    """Deformable attention without the projections before and behind it.

    `value_proj` makes the values for all queries at once. The decoder projects the same samples twice (for the box
    queries and for the instance queries), so the projection of the output is the caller's.
    """

    def __init__(self, hidden_dim: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        self.sampling_offsets = nn.Linear(hidden_dim, num_heads * num_levels * num_points * 2)
        self.attention_weights = nn.Linear(hidden_dim, num_heads * num_levels * num_points)
        self.value_proj = ValueProjection(hidden_dim, num_heads)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Start with points on a star around the reference, point p at distance p + 1, and equal weights."""
        nn.init.zeros_(self.sampling_offsets.weight)
        angle = torch.arange(self.num_heads, dtype=torch.float32) * (2 * math.pi / self.num_heads)
        direction = torch.stack((angle.cos(), angle.sin()), -1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        distance = torch.arange(1, self.num_points + 1, dtype=torch.float32)
        offsets = direction[:, None, None, :] * distance[None, None, :, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.expand(-1, self.num_levels, -1, -1).flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        nn.init.xavier_uniform_(self.value_proj.weight)
        nn.init.zeros_(self.value_proj.bias)

    def forward(
        self,
        query: Float[Tensor, "M Q C"],
        reference: Float[Tensor, "M Q L _coordinates"],
        values: Float[Tensor, "M S heads d"],
        spatial_shapes: SpatialShapes,
    ) -> Float[Tensor, "M Q C"]:
        """Sample `value_proj`'s values around each query's point (x, y) or box (cxcywh), in 0..1 of the padded map."""
        return sample_deformable(values, spatial_shapes, *self.points(query, reference, spatial_shapes))

    def points(
        self, query: Float[Tensor, "M Q C"], reference: Float[Tensor, "M Q L _coordinates"], shapes: SpatialShapes
    ) -> tuple[Float[Tensor, "M Q heads L P 2"], Float[Tensor, "M Q heads L P"]]:
        """Where each query samples, (x, y) in 0..1 of the padded map, and each sample's weight; see `forward`."""
        split = (self.num_heads, self.num_levels, self.num_points)
        weights = self.attention_weights(query).unflatten(-1, (self.num_heads, -1)).softmax(-1)
        offsets = self.sampling_offsets(query).unflatten(-1, (*split, 2))
        locations = self._locations(reference[:, :, None, :, None], offsets, shapes)
        return locations, weights.unflatten(-1, split[1:])

    def _locations(
        self,
        reference: Float[Tensor, "M Q 1 L 1 _coordinates"],
        offsets: Float[Tensor, "M Q heads L P 2"],
        spatial_shapes: SpatialShapes,
    ) -> Float[Tensor, "M Q heads L P 2"]:
        """Place the points: offsets are pixels of the level around a point, shares of half the box around a box."""
        if reference.shape[-1] == 2:
            size = offsets.new_tensor([(width, height) for height, width in spatial_shapes])
            # Repeated for each point, so that numbers lie side by side: broadcasting pairs is six times as slow.
            anchors = reference.expand(-1, -1, -1, -1, self.num_points, -1).flatten(3)
            scale = (1 / size[:, None]).expand(-1, self.num_points, -1).flatten()
            return torch.addcmul(anchors, offsets.flatten(3), scale).view_as(offsets)
        return reference[..., :2] + offsets / self.num_points * reference[..., 2:] * 0.5
