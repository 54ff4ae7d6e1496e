"""The whole model: read this file first.

Paper: Fig. 2(a). Backbone, encoder with MS-STS attention, decoder with temporal attention, heads. One forward serves
training and inference; `predict_masks` (mask_head.py) turns chosen queries into masks afterwards.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mssts.config import GROUP_NORM_GROUPS, ModelConfig
from mssts.model.backbone import STRIDES, Backbone
from mssts.model.decoder import Decoder, PerceptronHead
from mssts.model.encoder import Encoder
from mssts.model.mask_head import NUM_KERNEL_PARAMETERS, MaskFeatureHead
from mssts.model.position import frame_position, time_position
from mssts.model.precision import at_least_float32
from mssts.model.pyramid import Pyramid, resize_mask, valid_ratio
from mssts.types import Prediction


class VisModel(nn.Module):
    """MS-STS VIS; with both contributions switched off in the configuration, SeqFormer.

    Args:
        config: Sizes, categories and switches.
        pretrained: Load the backbone's ImageNet weights by name (needs a network connection the first time).
    """

    def __init__(self, config: ModelConfig, pretrained: bool = False) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config, pretrained)
        self.input_projections = _input_projections(self.backbone.channels, config)
        self.level_embedding = nn.Parameter(torch.randn(config.num_levels, config.hidden_dim))
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.controller = PerceptronHead(config.hidden_dim, NUM_KERNEL_PARAMETERS)
        self.mask_feature_head = MaskFeatureHead(config.hidden_dim)

    def forward(
        self, frames: Float[Tensor, "B T 3 H W"], padding_mask: Bool[Tensor, "B H W"] | None = None
    ) -> Prediction:
        """Predict the instances of a batch of clips.

        Args:
            frames: ImageNet-normalised RGB.
            padding_mask: True where padded, at the right and at the bottom; None where no clip is padded.
        """
        return self.decode(self.encode(frames, padding_mask))

    def encode(self, frames: Float[Tensor, "B T 3 H W"], padding_mask: Bool[Tensor, "B H W"] | None = None) -> Pyramid:
        """From pixels to the encoder's output E; clips may be joined along T before `decode`."""
        maps = self._feature_maps(frames.flatten(0, 1))
        pyramid, place = self._flatten(maps, (frames.shape[0], frames.shape[1]), padding_mask)
        level_sizes = torch.tensor([h * w for h, w in pyramid.spatial_shapes], device=frames.device)
        position = place + self.level_embedding.repeat_interleave(level_sizes, dim=0, output_size=place.shape[1])
        return self.encoder(pyramid, position, self._ms_sts_position(place, frames.shape[1]))

    def decode(self, memory: Pyramid) -> Prediction:
        """From the encoder's output to classes, boxes and mask parameters of every query and layer."""
        decoded = self.decoder(memory)
        maps = memory.maps()
        mask_features = self.mask_feature_head(*(level.flatten(0, 1) for level in maps[:3]))
        return Prediction(
            class_logits=decoded.class_logits,
            boxes_cxcywh=decoded.boxes_cxcywh,
            reference_points=decoded.reference_points,
            mask_kernels=self.controller(decoded.embeddings),
            embeddings=decoded.embeddings,
            mask_features=mask_features.unflatten(0, memory.tokens.shape[:2]),
            memory=maps,
        )

    def _feature_maps(self, frames: Float[Tensor, "M 3 H W"]) -> list[Float[Tensor, "M C _h _w"]]:
        """Backbone features brought to C channels; further levels come from the last stage by strided convolution."""
        features = self.backbone(frames)
        maps = [project(x) for project, x in zip(self.input_projections, features, strict=False)]
        for project in self.input_projections[len(features) :]:
            maps.append(project(features[-1] if len(maps) == len(features) else maps[-1]))
        return maps

    def _flatten(
        self,
        maps: list[Float[Tensor, "M C _h _w"]],
        clip_shape: tuple[int, int],
        padding_mask: Bool[Tensor, "B H W"] | None,
    ) -> tuple[Pyramid, Float[Tensor, "B S C"]]:
        """Join the levels into one token sequence; returns it with each token's place in the frame."""
        shapes = tuple((x.shape[-2], x.shape[-1]) for x in maps)
        tokens = torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1).unflatten(0, clip_shape)
        if padding_mask is None:
            masks = [torch.zeros((1, *shape), dtype=torch.bool, device=tokens.device) for shape in shapes]
        else:
            masks = [resize_mask(padding_mask, shape) for shape in shapes]
        place = torch.cat([frame_position(mask, tokens.shape[-1]).flatten(1, 2) for mask in masks], dim=1)
        ratios = torch.stack([valid_ratio(mask) for mask in masks], dim=1)
        flat_mask = None if padding_mask is None else torch.cat([mask.flatten(1) for mask in masks], dim=1)
        batch = clip_shape[0]
        # In bfloat16 a place would be wrong by up to 1/512 of the frame.
        ratios = ratios.expand(batch, -1, -1).to(at_least_float32(tokens[:0]).dtype)
        pyramid = Pyramid(tokens, shapes, flat_mask, ratios)
        return pyramid, place.expand(batch, -1, -1).to(tokens.dtype)

    def _ms_sts_position(self, place: Float[Tensor, "B S C"], num_frames: int) -> Float[Tensor, "B T S C"] | None:
        """Place in the frame and index of the frame, for the attention across frames."""
        if not self.config.ms_sts.enabled or self.config.ms_sts.position == "none":
            return None
        time = time_position(num_frames, place.shape[-1], place.device).to(place.dtype)
        return place[:, None] + time[:, None]


def _input_projections(channels: list[int], config: ModelConfig) -> nn.ModuleList:
    """A 1x1 convolution per backbone map and a strided 3x3 per further level, each with GroupNorm."""
    dim = config.hidden_dim
    further = [channels[-1], *[dim] * config.num_levels][: config.num_levels - len(STRIDES)]
    convolutions = [nn.Conv2d(channel, dim, 1) for channel in channels]
    convolutions += [nn.Conv2d(channel, dim, 3, stride=2, padding=1) for channel in further]
    for convolution in convolutions:
        nn.init.xavier_uniform_(convolution.weight)
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
    return nn.ModuleList(nn.Sequential(x, nn.GroupNorm(GROUP_NORM_GROUPS, dim)) for x in convolutions)
