"""The transformer decoder: instance queries for the clip, decomposed into box queries per frame.

SeqFormer's decoder (paper: section 2) with the temporal attention over box queries between self- and cross-attention
(paper: section 3.3). Heads refine a box per frame and layer, and classify each instance.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mssts.config import ModelConfig, TemporalDecoderConfig
from mssts.model.deformable import DeformableSampling
from mssts.model.dropout import Dropout
from mssts.model.encoder import FeedForward, frame_mask
from mssts.model.position import time_position
from mssts.model.precision import at_least_float32, in_full_precision
from mssts.model.pyramid import Pyramid

SIGMOID_EPSILON = 1e-5
# Rare foreground: every class starts at probability 0.01.
FOREGROUND_LOGIT = -math.log(0.99 / 0.01)
FIRST_SIZE_LOGIT = -2.0


def inverse_sigmoid(x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Logit of a probability, clamped on both sides to stay finite."""
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=SIGMOID_EPSILON) / (1 - x).clamp(min=SIGMOID_EPSILON))


class PerceptronHead(nn.Module):
    """Three linear layers with ReLU between: box head and mask controller."""

    def __init__(self, dim: int, output_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList((nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, output_dim)))

    def forward(self, x: Float[Tensor, "... C"]) -> Float[Tensor, "... output_dim"]:
        """Apply the head to each query."""
        return self.layers[2](self.layers[1](self.layers[0](x).relu()).relu())


class QuerySelfAttention(nn.Module):
    """Self-attention among the N queries of a clip or frame, residual, LayerNorm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        # Sequence first: batch first, it would hand its linear layers transposed views, which cost a copy of the
        # weights per query in bfloat16.
        self.attention = nn.MultiheadAttention(config.hidden_dim, config.num_heads, dropout=config.dropout)
        self.dropout = Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.hidden_dim)

    def forward(self, queries: Float[Tensor, "M N C"], position: Float[Tensor, "N C"]) -> Float[Tensor, "M N C"]:
        """Let the queries of each of M sets see each other."""
        if torch.is_grad_enabled():
            # The weights of all pairs, kept for six layers, are a third of a gigabyte: they are computed again instead.
            attended = checkpoint(self._attend, queries, position, use_reentrant=False)
        else:
            attended = self._attend(queries, position)
        return self.norm(queries + self.dropout(attended))

    def _attend(self, queries: Float[Tensor, "M N C"], position: Float[Tensor, "N C"]) -> Float[Tensor, "M N C"]:
        sequence = queries.transpose(0, 1).contiguous()
        located = sequence + position[:, None]
        return self.attention(located, located, sequence, need_weights=False)[0].transpose(0, 1)


class TemporalQueryAttention(nn.Module):
    """Attention over the T box queries of one instance (paper: section 3.3).

    Paper: leaves the block's inside open; ours is multi-head with a sine over the frame index. LayerNorm comes before
    it, unlike its neighbours: with the output projection at zero the block then is exactly the identity, so that a
    converted baseline checkpoint keeps its numbers; a LayerNorm after the residual could not do that.
    """

    def __init__(self, config: ModelConfig, temporal: TemporalDecoderConfig) -> None:
        super().__init__()
        self.use_position = temporal.position == "sine"
        self.norm = nn.LayerNorm(config.hidden_dim)
        self.attention = nn.MultiheadAttention(config.hidden_dim, temporal.num_heads, dropout=config.dropout)
        nn.init.zeros_(self.attention.out_proj.weight)
        nn.init.zeros_(self.attention.out_proj.bias)
        self.dropout = Dropout(config.dropout)

    def forward(self, box_queries: Float[Tensor, "B T N C"]) -> Float[Tensor, "B T N C"]:
        """Make the box queries of each instance consistent over the frames."""
        batch, num_frames, _, dim = box_queries.shape
        tracks = self.norm(box_queries).transpose(0, 1).flatten(1, 2)
        located = tracks
        if self.use_position:
            located = tracks + time_position(num_frames, dim, tracks.device).to(tracks.dtype)[:, None]
        attended = self.attention(located, located, tracks, need_weights=False)[0]
        return box_queries + self.dropout(attended.unflatten(1, (batch, -1)).transpose(0, 1))


class DecoderLayer(nn.Module):
    """One decoder layer: self-attention, temporal attention, per-frame deformable cross-attention, aggregation."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        temporal = config.temporal_decoder
        self.instance_attention = QuerySelfAttention(config)
        self.box_attention = QuerySelfAttention(config)
        self.temporal_attention = TemporalQueryAttention(config, temporal) if temporal.enabled else None
        self.sampling = DeformableSampling(dim, config.num_heads, config.num_levels, config.num_points)
        self.box_proj = nn.Linear(dim, dim)
        self.box_norm = nn.LayerNorm(dim)
        self.box_feed_forward = FeedForward(dim, config.feedforward_dim, config.dropout)
        self.frame_weight = nn.Linear(dim, 1)
        self.instance_proj = nn.Linear(dim, dim)
        self.instance_norm = nn.LayerNorm(dim)
        self.instance_feed_forward = FeedForward(dim, config.feedforward_dim, config.dropout)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        instances: Float[Tensor, "B N C"],
        boxes: Float[Tensor, "B _frames N C"],
        position: Float[Tensor, "N C"],
        reference: Float[Tensor, "B T N _coordinates"],
        memory: Pyramid,
    ) -> tuple[Float[Tensor, "B N C"], Float[Tensor, "B T N C"]]:
        """Update the instance queries and the box queries; in the first layer all frames share the box queries."""
        instances = self.instance_attention(instances, position)
        boxes = self.box_attention(boxes.flatten(0, 1), position).unflatten(0, boxes.shape[:2])
        boxes = boxes.expand(-1, reference.shape[1], -1, -1)
        if self.temporal_attention is not None:
            boxes = self.temporal_attention(boxes)
        sampled = self._attend_per_frame(boxes + position, reference, memory)
        boxes = self.box_norm(boxes + self.dropout(self.box_proj(sampled)))
        boxes = self.box_feed_forward(boxes)
        weight = self.frame_weight(boxes).softmax(dim=1)
        gathered = (self.instance_proj(sampled) * weight).sum(dim=1)
        instances = self.instance_norm(instances + self.dropout(gathered))
        return self.instance_feed_forward(instances), boxes

    def _attend_per_frame(
        self, query: Float[Tensor, "B T N C"], reference: Float[Tensor, "B T N _coordinates"], memory: Pyramid
    ) -> Float[Tensor, "B T N C"]:
        """Sample each frame's memory around the box queries of that frame."""
        ratios = memory.valid_ratios.repeat(1, 1, reference.shape[-1] // 2)
        per_level = reference[:, :, :, None] * ratios[:, None, None]
        mask = frame_mask(memory.padding_mask, query.shape[1])
        values = self.sampling.value_proj(memory.tokens.flatten(0, 1), mask)
        sampled = self.sampling(query.flatten(0, 1), per_level.flatten(0, 1), values, memory.spatial_shapes)
        return sampled.unflatten(0, query.shape[:2])


class DecoderOutput(NamedTuple):
    """What each of D decoder layers says about each query; `reference_points` are where the layer started from."""

    class_logits: Float[Tensor, "D B N slots"]
    boxes_cxcywh: Float[Tensor, "D B T N 4"]
    reference_points: Float[Tensor, "D B T N 2"]
    embeddings: Float[Tensor, "D B N C"]


class Decoder(nn.Module):
    """N decoder layers with their class and box heads, and the learned queries."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim, depth = config.hidden_dim, config.num_decoder_layers
        self.query_position = nn.Parameter(torch.randn(config.num_queries, dim))
        self.query_content = nn.Parameter(torch.randn(config.num_queries, dim))
        self.first_reference = nn.Linear(dim, 2)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(depth))
        self.class_heads = nn.ModuleList(nn.Linear(dim, config.num_class_slots) for _ in range(depth))
        self.box_heads = nn.ModuleList(PerceptronHead(dim, 4) for _ in range(depth))
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        """Start from rare foreground and from boxes at the reference, small in the first layer."""
        nn.init.xavier_uniform_(self.first_reference.weight)
        nn.init.zeros_(self.first_reference.bias)
        for depth, (class_head, box_head) in enumerate(zip(self.class_heads, self.box_heads, strict=True)):
            nn.init.constant_(class_head.get_parameter("bias"), FOREGROUND_LOGIT)
            nn.init.zeros_(box_head.get_parameter("layers.2.weight"))
            size_bias = FIRST_SIZE_LOGIT if depth == 0 else 0.0
            with torch.no_grad():
                box_head.get_parameter("layers.2.bias").copy_(torch.tensor([0.0, 0.0, size_bias, size_bias]))

    def forward(self, memory: Pyramid) -> DecoderOutput:
        """Decode the instances of a clip from the encoder's output."""
        batch, num_frames = memory.tokens.shape[:2]
        instances = self.query_content.expand(batch, -1, -1)
        boxes = instances[:, None]
        with in_full_precision(memory.tokens.device):
            point = at_least_float32(self.first_reference(self.query_position)).sigmoid()
        reference = point.expand(batch, num_frames, -1, -1)
        outputs = []
        for layer, class_head, box_head in zip(self.layers, self.class_heads, self.box_heads, strict=True):
            instances, boxes = layer(instances, boxes, self.query_position, reference, memory)
            refined = refine(box_head(boxes), reference)
            outputs.append(DecoderOutput(class_head(instances), refined, reference[..., :2], instances))
            reference = refined.detach()
        return DecoderOutput(*(torch.stack(parts) for parts in zip(*outputs, strict=True)))


def refine(delta: Float[Tensor, "B T N 4"], reference: Float[Tensor, "B T N _coordinates"]) -> Float[Tensor, "B T N 4"]:
    """Move a reference point or box by a delta in inverse-sigmoid space; a point gives no size to start from."""
    # In bfloat16, a box would be wrong by up to 1/512 of the frame, layer after layer.
    delta, start = at_least_float32(delta), inverse_sigmoid(at_least_float32(reference))
    if start.shape[-1] == 2:
        start = torch.cat((start, torch.zeros_like(start)), dim=-1)
    return (delta + start).sigmoid()
