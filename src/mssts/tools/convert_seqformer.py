"""Official checkpoints to ours: SeqFormer, MS-STS VIS, and Deformable DETR as a start for training.

Only this file knows the official names. Every key is either given a new name, or dropped and named with the reason.
"""

import argparse
import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mssts.config import SIZES, Category, ModelConfig, MsStsConfig, TemporalDecoderConfig
from mssts.errors import CheckpointError
from mssts.model.vis import VisModel

# Official name -> ours, tried in order; both ends of the name are matched.
ATTENTION = r"(sampling_offsets|attention_weights|value_proj)\.(weight|bias)"
RENAMES: tuple[tuple[str, str], ...] = (
    (r"transformer\.level_embed", r"level_embedding"),
    (r"transformer\.reference_points\.(.+)", r"decoder.first_reference.\1"),
    (r"transformer\.encoder\.layers\.(\d+)\.self_attn\." + ATTENTION, r"encoder.layers.\1.sampling.\2.\3"),
    (r"transformer\.encoder\.layers\.(\d+)\.self_attn\.output_proj\.(.+)", r"encoder.layers.\1.output_proj.\2"),
    (r"transformer\.encoder\.layers\.(\d+)\.norm1\.(.+)", r"encoder.layers.\1.norm.\2"),
    (r"transformer\.encoder\.layers\.(\d+)\.(linear[12])\.(.+)", r"encoder.layers.\1.feed_forward.\2.\3"),
    (r"transformer\.encoder\.layers\.(\d+)\.norm2\.(.+)", r"encoder.layers.\1.feed_forward.norm.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.cross_attn\." + ATTENTION, r"decoder.layers.\1.sampling.\2.\3"),
    (r"transformer\.decoder\.layers\.(\d+)\.cross_attn\.output_proj\.(.+)", r"decoder.layers.\1.instance_proj.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.cross_attn\.output_proj_box\.(.+)", r"decoder.layers.\1.box_proj.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.self_attn\.(.+)", r"decoder.layers.\1.instance_attention.attention.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.self_attn_box\.(.+)", r"decoder.layers.\1.box_attention.attention.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.norm1\.(.+)", r"decoder.layers.\1.instance_norm.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.norm2\.(.+)", r"decoder.layers.\1.instance_attention.norm.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.norm3\.(.+)", r"decoder.layers.\1.instance_feed_forward.norm.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.norm1_box\.(.+)", r"decoder.layers.\1.box_norm.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.norm2_box\.(.+)", r"decoder.layers.\1.box_attention.norm.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.norm3_box\.(.+)", r"decoder.layers.\1.box_feed_forward.norm.\2"),
    (r"transformer\.decoder\.layers\.(\d+)\.(linear[12])\.(.+)", r"decoder.layers.\1.instance_feed_forward.\2.\3"),
    (r"transformer\.decoder\.layers\.(\d+)\.(linear[12])_box\.(.+)", r"decoder.layers.\1.box_feed_forward.\2.\3"),
    (r"transformer\.decoder\.layers\.(\d+)\.time_attention_weights\.(.+)", r"decoder.layers.\1.frame_weight.\2"),
    (r"class_embed\.(\d+)\.(.+)", r"decoder.class_heads.\1.\2"),
    (r"bbox_embed\.(\d+)\.(.+)", r"decoder.box_heads.\1.\2"),
    (r"input_proj\.(\d+)\.(.+)", r"input_projections.\1.\2"),
    (r"controller\.(.+)", r"controller.\1"),
    (r"mask_head\.lay1\.(.+)", r"mask_feature_head.reduce.\1"),
    (r"mask_head\.lay2\.(.+)", r"mask_feature_head.output.\1"),
    (r"mask_head\.lay3\.(.+)", r"mask_feature_head.conv32.\1"),
    (r"mask_head\.lay4\.(.+)", r"mask_feature_head.conv16.\1"),
    (r"mask_head\.dcn\.(.+)", r"mask_feature_head.conv8.\1"),
    (r"backbone\.0\.body\.norm([123])\.(.+)", r"backbone.output_norms.\1.\2"),
    (r"backbone\.0\.body\.layers\.(\d)\.(.+)", r"backbone.net.layers_\1.\2"),
    (r"backbone\.0\.body\.(.+)", r"backbone.net.\1"),
)
DROPS: tuple[tuple[str, str], ...] = (
    (r"transformer\.decoder\.bbox_embed\..+", "the same tensors as bbox_embed"),
    (r"transformer\.decoder\.class_embed\..+", "the same tensors as class_embed"),
    (r"transformer\.encoder\.layers\.\d+\.self_attn\.output_proj_box\..+", "never called in the official encoder"),
    (r"transformer\.decoder\.layers\.\d+\.temp_attn_box\..+", "never called in the public MS-STS VIS code"),
    (r".+\.num_batches_tracked", "a counter of BatchNorm"),
    (r".+\.(relative_position_index|attn_mask)", "computed from the window size"),
    (r"backbone\.0\.body\.(fc|head|norm)\..+", "the ImageNet classifier"),
    (r"backbone\.0\.body\.norm0\..+", "stride 4 is not used"),
)
# Deformable DETR has one kind of query; its parts start both kinds of ours.
TWINS = {"instance_attention": "box_attention", "instance_feed_forward": "box_feed_forward"}
TWINS |= {"instance_proj": "box_proj", "instance_norm": "box_norm"}


@dataclass(frozen=True)
class Conversion:
    """A converted model and what a user must be told about it, a line each."""

    model: VisModel
    notices: list[str]


def read_official(path: str | Path) -> dict[str, Tensor]:
    """Load a foreign .pth file without running code from it; returns the state dict.

    Raises:
        CheckpointError: The file is missing, damaged, holds more than tensors and plain values, or holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: refused, it is not a plain file of weights and could run code") from error
    except Exception as error:  # a damaged file makes the reader raise whatever it happened to be doing
        raise CheckpointError(f"{path}: not a PyTorch checkpoint ({' '.join(str(error).split())[:200]})") from error
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: holds no state dict of tensors, neither at the top nor under 'model'")
    return state


def convert(
    state: Mapping[str, Tensor], categories: tuple[Category, ...] = (), config: ModelConfig | None = None
) -> Conversion:
    """Build our model from an official state dict.

    Args:
        state: Official names and tensors.
        categories: What the class slots mean.
        config: The model to fill, e.g. a preset with MS-STS attention to be fine-tuned; by default the SeqFormer
            baseline with the sizes that the tensors have.

    Raises:
        CheckpointError: Keys that no rule knows, tensors that do not fit.
    """
    renamed, notices = rename_keys(state)
    is_detr = "decoder.query_position" in renamed and not any(name.startswith("controller.") for name in renamed)
    if is_detr:
        renamed |= _twin_branches(renamed)
    config = replace(config or infer_config(renamed), categories=categories)
    model = VisModel(config)
    try:
        result = model.load_state_dict(renamed, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f"tensors do not fit the model: {' '.join(str(error).split())[:400]}") from error
    if result.unexpected_keys:
        raise CheckpointError(f"keys that no rule knows: {', '.join(result.unexpected_keys[:5])}")
    notices += _explain_missing(result.missing_keys, is_detr)
    return Conversion(model.eval(), notices)


def rename_keys(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Give every key its new name, or drop it; returns the renamed tensors and a notice for each kind of drop.

    Raises:
        CheckpointError: Keys that no rule knows.
    """
    renamed: dict[str, Tensor] = {}
    dropped: dict[str, list[str]] = {}
    unknown = []
    for official, tensor in state.items():
        if not isinstance(official, str):
            raise CheckpointError(f"the key {official!r} is not a name")
        key = official.removeprefix("module.").removeprefix("detr.")
        reason = next((reason for pattern, reason in DROPS if re.fullmatch(pattern, key)), None)
        if reason:
            dropped.setdefault(reason, []).append(official)
        elif key == "query_embed.weight" and tensor.ndim == 2:
            renamed["decoder.query_position"], renamed["decoder.query_content"] = tensor.chunk(2, dim=1)
        elif new := _rename(key):
            renamed[new] = tensor
        else:
            unknown.append(official)
    if unknown:
        raise CheckpointError(f"{len(unknown)} keys that no rule knows, such as {', '.join(unknown[:5])}")
    return renamed, [f"dropped {_shorten(names)}: {reason}" for reason, names in dropped.items()]


def _rename(key: str) -> str | None:
    """The first rule that fits; Swin's stages also differ in where the patch merging stands and in counting norms."""
    for pattern, new in RENAMES:
        match = re.fullmatch(pattern, key)
        if match and "output_norms" in new:
            return f"backbone.output_norms.{int(match[1]) - 1}.{match[2]}"
        if match and match.lastindex == 2 and match[2].startswith("downsample.") and "layers_" in new:
            return f"backbone.net.layers_{int(match[1]) + 1}.{match[2]}"
        if match:
            return match.expand(new)
    return None


def _twin_branches(renamed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the instance branch for the box branch, which Deformable DETR does not have."""
    twins = {}
    for name, tensor in renamed.items():
        for own, twin in TWINS.items():
            if name.startswith("decoder.layers.") and f".{own}." in name:
                twins[name.replace(f".{own}.", f".{twin}.")] = tensor
    return twins


def infer_config(renamed: Mapping[str, Tensor]) -> ModelConfig:
    """Read the baseline's sizes off the tensors.

    Raises:
        CheckpointError: The tensors are not those of a DETR with deformable attention.
    """
    try:
        queries, dim = renamed["decoder.query_position"].shape
        levels = renamed["level_embedding"].shape[0]
        heads_levels_points = renamed["encoder.layers.0.sampling.attention_weights.weight"].shape[0]
        num_heads = 8
        return ModelConfig(
            backbone=_infer_backbone(renamed),
            hidden_dim=dim,
            num_heads=num_heads,
            num_levels=levels,
            num_points=heads_levels_points // (num_heads * levels),
            feedforward_dim=renamed["encoder.layers.0.feed_forward.linear1.weight"].shape[0],
            num_encoder_layers=_count(renamed, r"encoder\.layers\.(\d+)\..+"),
            num_decoder_layers=_count(renamed, r"decoder\.layers\.(\d+)\..+"),
            num_queries=queries,
            num_class_slots=renamed["decoder.class_heads.0.bias"].shape[0],
            ms_sts=MsStsConfig(enabled=False),
            temporal_decoder=TemporalDecoderConfig(enabled=False),
        )
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(f"not a SeqFormer, MS-STS VIS or Deformable DETR checkpoint ({error!r})") from error


def _infer_backbone(renamed: Mapping[str, Tensor]) -> str:
    """The backbone by the depth of its third stage."""
    depth = _count(renamed, r"backbone\.net\.layer3\.(\d+)\..+")
    if depth:
        known = {6: SIZES["r50"].backbone, 23: SIZES["r101"].backbone}
        return known.get(depth) or _refuse_backbone(f"a ResNet with {depth} blocks in conv4")
    width = renamed["backbone.net.patch_embed.proj.weight"].shape[0]
    return {192: SIZES["swin_l"].backbone}.get(width) or _refuse_backbone(f"a Swin of width {width}")


def _refuse_backbone(what: str) -> str:
    raise CheckpointError(f"its backbone is {what}; known are ResNet-50, ResNet-101 and Swin-L")


def _count(names: Iterable[str], pattern: str) -> int:
    """How many layers there are, from the numbers in their names."""
    numbers = {int(match[1]) for name in names if (match := re.fullmatch(pattern, name))}
    return len(numbers)


def _explain_missing(missing: list[str], is_detr: bool) -> list[str]:
    """Say which parts start fresh.

    Raises:
        CheckpointError: A part is missing that every such checkpoint has.
    """
    fresh_patterns = [r".*\.ms_sts\..*", r".*\.fusion\..*", r".*\.temporal_attention\..*", r".*num_batches_tracked"]
    if is_detr:
        fresh_patterns += [r"controller\..*", r"mask_feature_head\..*", r".*\.frame_weight\..*"]
    fresh = [name for name in missing if any(re.fullmatch(pattern, name) for pattern in fresh_patterns)]
    lacking = sorted(set(missing) - set(fresh))
    if lacking:
        raise CheckpointError(f"{len(lacking)} tensors are missing, such as {', '.join(lacking[:5])}")
    kinds: dict[str, list[str]] = {}
    for name in fresh:
        kinds.setdefault(next(pattern for pattern in fresh_patterns if re.fullmatch(pattern, name)), []).append(name)
    return [f"not in the checkpoint, starts fresh: {_shorten(names)}" for names in kinds.values()]


def _shorten(names: list[str]) -> str:
    """A few names and how many more."""
    more = f" and {len(names) - 2} more like them" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more
