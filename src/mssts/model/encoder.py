"""The transformer encoder: deformable attention per frame, fused with MS-STS attention across frames and scales.

Paper: section 3.2 and Fig. 2(a). With `ms_sts.enabled` off this is the SeqFormer encoder.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mssts.config import ModelConfig
from mssts.model.chunks import in_chunks
from mssts.model.deformable import DeformableSampling
from mssts.model.dropout import Dropout
from mssts.model.linear_sums import add_linear, add_perceptron
from mssts.model.ms_sts import MsStsAttention
from mssts.model.pyramid import Pyramid, SpatialShapes


class FeedForward(nn.Module):
    """Two linear layers with ReLU, residual and LayerNorm after it, as in Deformable DETR.

    The hidden numbers are four times as many as the tokens', so they are never all kept: without gradients, tokens go
    through in chunks that stay in a processor's cache, and the backward pass computes them again from the tokens.
    """

    def __init__(self, dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, hidden_dim)
        self.linear2 = nn.Linear(hidden_dim, dim)
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
        """Apply the block to each token."""
        if torch.is_grad_enabled():
            return self.norm(x + self.dropout(checkpoint(self._perceive, x, use_reentrant=False)))
        return in_chunks(self._transform, x.flatten(0, -2), dim=0).view_as(x)

    def _perceive(self, x: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
        return self.linear2(self.dropout.after_relu(self.linear1(x)))

    def _transform(self, x: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
        return self.norm(add_perceptron(x, self.linear1, self.linear2, self.dropout))


class Fusion(nn.Module):
    """The 1x1 convolution that joins base and enriched features; starts as exactly "base".

    Paper: "fused with the standard baseline features through a convolution operation". The start is ours: a converted
    baseline checkpoint gives the baseline's numbers until fine-tuning finds a use for the enriched half.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = nn.Linear(2 * dim, dim)
        nn.init.zeros_(self.convolution.bias)
        with torch.no_grad():
            self.convolution.weight.copy_(torch.cat((torch.eye(dim), torch.zeros(dim, dim)), dim=1))

    def forward(self, base: Float[Tensor, "... C"], enriched: Float[Tensor, "... C"]) -> Float[Tensor, "... C"]:
        """Convolve the concatenation of both, which need not be made for that."""
        weight_base, weight_enriched = self.convolution.weight.chunk(2, dim=1)
        return F.linear(base, weight_base, self.convolution.bias) + F.linear(enriched, weight_enriched)


class EncoderLayer(nn.Module):
    """One encoder layer: per-frame deformable attention, MS-STS attention beside it, their fusion, feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.sampling = DeformableSampling(dim, config.num_heads, config.num_levels, config.num_points)
        self.output_proj = nn.Linear(dim, dim)
        self.dropout = Dropout(config.dropout)
        self.norm = nn.LayerNorm(dim)
        self.ms_sts = (
            MsStsAttention(dim, config.num_levels, config.dropout, config.ms_sts) if config.ms_sts.enabled else None
        )
        self.fusion = Fusion(dim) if config.ms_sts.enabled else None
        self.feed_forward = FeedForward(dim, config.feedforward_dim, config.dropout)

    def forward(
        self,
        pyramid: Pyramid,
        position: Float[Tensor, "B S C"],
        reference: Float[Tensor, "B S L 2"],
        ms_sts_position: Float[Tensor, "B T S C"] | None,
    ) -> Pyramid:
        """Encode once; see `Encoder.forward` for the arguments."""
        x = pyramid.tokens
        batch, num_frames = x.shape[:2]
        values = self.sampling.value_proj(x.flatten(0, 1), frame_mask(pyramid.padding_mask, num_frames))
        enriched = ()
        if self.ms_sts is not None:
            enriched = (self.ms_sts(x, pyramid.spatial_shapes, ms_sts_position, pyramid.padding_mask),)

        def transform(
            x: Float[Tensor, "B T n C"],
            position: Float[Tensor, "B T n C"],
            reference: Float[Tensor, "B T n L 2"],
            enriched: Float[Tensor, "B T n C"] | None = None,
        ) -> Float[Tensor, "B T n C"]:
            """What is left to do knows each token by itself."""
            queries = (x + position).flatten(0, 1), reference.flatten(0, 1)
            sampled = self.sampling(*queries, values, pyramid.spatial_shapes).view_as(x)
            base = self.norm(add_linear(x, sampled, self.output_proj, self.dropout))
            if self.fusion is not None and enriched is not None:
                base = self.fusion(base, enriched)
            return self.feed_forward(base)

        def of_frames(x: Float[Tensor, "B S ..."]) -> Float[Tensor, "B T S ..."]:
            """The same for every frame."""
            return x[:, None].expand(-1, num_frames, *x.shape[1:])

        inputs = x, of_frames(position), of_frames(reference), *enriched
        return pyramid._replace(tokens=in_chunks(transform, *inputs, dim=2, tokens=batch * num_frames))


class Encoder(nn.Module):
    """N encoder layers over the multi-scale features of a clip.

    Attributes:
        checkpointing: Keep only each layer's input for the backward pass and compute the rest again there: the
            encoder's activations then need the memory of one layer instead of N, for a second forward of each.
    """

    checkpointing: bool = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_encoder_layers))

    def forward(
        self,
        pyramid: Pyramid,
        position: Float[Tensor, "B S C"],
        ms_sts_position: Float[Tensor, "B T S C"] | None,
    ) -> Pyramid:
        """Turn backbone features F into the spatio-temporally enriched features E, with the same shapes.

        Args:
            pyramid: Backbone features of all levels.
            position: Place in the frame plus the level's embedding, for the deformable attention's queries.
            ms_sts_position: Place and time, for the MS-STS attention's queries and keys; None for none.
        """
        reference = reference_grid(pyramid.spatial_shapes, pyramid.valid_ratios)
        for layer in self.layers:
            if self.checkpointing and torch.is_grad_enabled():
                pyramid = checkpoint(layer, pyramid, position, reference, ms_sts_position, use_reentrant=False)
            else:
                pyramid = layer(pyramid, position, reference, ms_sts_position)
        return pyramid


def frame_mask(padding_mask: Bool[Tensor, "B S"] | None, num_frames: int) -> Bool[Tensor, "_ S"] | None:
    """Repeat a clip's padding mask for each of its frames."""
    return None if padding_mask is None else padding_mask.repeat_interleave(num_frames, dim=0)


def reference_grid(spatial_shapes: SpatialShapes, valid_ratios: Float[Tensor, "B L 2"]) -> Float[Tensor, "B S L 2"]:
    """Each token's own pixel centre as (x, y) on every level's padded map, in 0..1."""
    centres = []
    for level, (height, width) in enumerate(spatial_shapes):
        y = torch.arange(height, device=valid_ratios.device, dtype=valid_ratios.dtype) + 0.5
        x = torch.arange(width, device=valid_ratios.device, dtype=valid_ratios.dtype) + 0.5
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1).flatten(0, 1)
        size = valid_ratios.new_tensor([width, height])
        centres.append(grid / (valid_ratios[:, None, level] * size))
    return torch.cat(centres, dim=1)[:, :, None] * valid_ratios[:, None]
