"""State dicts with the names and shapes of the official files, for models of any size."""

import torch
from torch import Tensor

from mssts.config import ModelConfig
from mssts.model.backbone import Backbone

Shapes = dict[str, tuple[int, ...]]


def official_shapes(config: ModelConfig) -> Shapes:
    """Every name of a SeqFormer checkpoint of this size, with `.module` and MS-STS VIS extras left out."""
    dim = config.hidden_dim
    backbone = Backbone(config)
    names: Shapes = {
        f"detr.backbone.0.body.{name}": tuple(value.shape)
        for name, value in backbone.net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    names["detr.transformer.level_embed"] = (config.num_levels, dim)
    names["detr.query_embed.weight"] = (config.num_queries, 2 * dim)
    names |= _linear("detr.transformer.reference_points", dim, 2)
    for level in range(config.num_levels):
        channels = backbone.channels[min(level, 2)] if level < 4 else dim
        size = 1 if level < 3 else 3
        names[f"detr.input_proj.{level}.0.weight"] = (dim, channels, size, size)
        names[f"detr.input_proj.{level}.0.bias"] = (dim,)
        names |= _norm(f"detr.input_proj.{level}.1", dim)
    for index in range(config.num_encoder_layers):
        names |= _encoder_layer(f"detr.transformer.encoder.layers.{index}", config)
    for index in range(config.num_decoder_layers):
        names |= _decoder_layer(f"detr.transformer.decoder.layers.{index}", config)
        names |= _linear(f"detr.class_embed.{index}", dim, config.num_class_slots)
        names |= _perceptron(f"detr.bbox_embed.{index}", dim, 4)
        names |= _perceptron(f"detr.transformer.decoder.bbox_embed.{index}", dim, 4)
    return names | _mask_head(dim)


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, dim: int) -> Shapes:
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


def _perceptron(name: str, dim: int, outputs: int) -> Shapes:
    return (
        _linear(f"{name}.layers.0", dim, dim)
        | _linear(f"{name}.layers.1", dim, dim)
        | _linear(f"{name}.layers.2", dim, outputs)
    )


def _deformable(name: str, config: ModelConfig) -> Shapes:
    dim, points = config.hidden_dim, config.num_heads * config.num_levels * config.num_points
    names = _linear(f"{name}.sampling_offsets", dim, 2 * points) | _linear(f"{name}.attention_weights", dim, points)
    for projection in ("value_proj", "output_proj", "output_proj_box"):
        names |= _linear(f"{name}.{projection}", dim, dim)
    return names


def _encoder_layer(name: str, config: ModelConfig) -> Shapes:
    dim, hidden = config.hidden_dim, config.feedforward_dim
    names = _deformable(f"{name}.self_attn", config) | _norm(f"{name}.norm1", dim) | _norm(f"{name}.norm2", dim)
    return names | _linear(f"{name}.linear1", dim, hidden) | _linear(f"{name}.linear2", hidden, dim)


def _decoder_layer(name: str, config: ModelConfig) -> Shapes:
    dim, hidden = config.hidden_dim, config.feedforward_dim
    names = _deformable(f"{name}.cross_attn", config) | _linear(f"{name}.time_attention_weights", dim, 1)
    for branch in ("", "_box"):
        attention = f"{name}.self_attn{branch}"
        names |= {f"{attention}.in_proj_weight": (3 * dim, dim), f"{attention}.in_proj_bias": (3 * dim,)}
        names |= _linear(f"{attention}.out_proj", dim, dim)
        names |= _linear(f"{name}.linear1{branch}", dim, hidden) | _linear(f"{name}.linear2{branch}", hidden, dim)
        for norm in (1, 2, 3):
            names |= _norm(f"{name}.norm{norm}{branch}", dim)
    return names


def _mask_head(dim: int) -> Shapes:
    names = _perceptron("controller", dim, 169)
    for layer, outputs, inputs in (("lay1", dim // 4, dim), ("lay2", 8, dim // 4)):
        names |= {f"mask_head.{layer}.weight": (outputs, inputs, 3, 3), f"mask_head.{layer}.bias": (outputs,)}
    for layer in ("lay3", "lay4", "dcn"):
        names |= {f"mask_head.{layer}.weight": (dim, dim, 3, 3), f"mask_head.{layer}.bias": (dim,)}
    return names


def random_official(config: ModelConfig, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the official names; the box heads stand there twice, as in the official files."""
    random = torch.Generator().manual_seed(seed)
    state = {name: _random_tensor(name, shape, random) for name, shape in official_shapes(config).items()}
    twice = "transformer.decoder.bbox_embed"
    return {name: state[name.replace(twice, "bbox_embed")] for name in state}


def _random_tensor(name: str, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    noise = torch.randn(shape, generator=random)
    if name.endswith("running_var"):
        return 1 + noise.abs()
    if len(shape) > 1:
        return noise / noise[0].numel() ** 0.5
    return (1 if name.endswith("weight") else 0) + 0.2 * noise


def as_deformable_detr(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The parts that Deformable DETR has: no box branch, no mask head, no weights over frames, no `detr.`."""
    left_out = ("controller", "mask_head", "time_attention_weights", "_box.", "self_attn_box")
    return {name.removeprefix("detr."): value for name, value in state.items() if not any(x in name for x in left_out)}
