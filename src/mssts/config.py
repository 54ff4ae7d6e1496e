"""One model configuration and the named presets; every choice that the paper leaves open is a field here.

Paper: section 4.1 for the sizes; docs/paper_map.md says field by field what is the paper's and what is ours.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

GROUP_NORM_GROUPS = 32
"""Of the normalisation of the backbone's features, which `hidden_dim` channels must be divisible into."""


class Category(NamedTuple):
    """A class: its index among the model's class logits, its id in the data set's file, and its name."""

    slot: int
    id: int
    name: str


@dataclass(frozen=True)
class MsStsConfig:
    """Multi-scale spatio-temporal split attention of the encoder (paper: section 3.2).

    Attributes:
        enabled: False gives the SeqFormer encoder.
        num_heads: Heads of both attentions; 1 reproduces Eqs. 2 and 5 literally.
        mlp_ratio: Hidden width of the MLPs of Eqs. 1 and 4 in units of C.
        position: "sine" adds a 2-D sine and a sine over the frame index to queries and keys, "none" is the paper.
        joint_levels: The levels (0 is the finest) with joint attention over all positions and frames; None means
            every level that has a coarser neighbour, as in the paper. Other levels pass on their intra-scale output.
        key_pooling: Joint attention looks at averages over squares of so many positions a side. 1 is the paper's, which
            looks at each; 4 makes a sixteenth of the pairs, and is not the paper's model any more.
    """

    enabled: bool = True
    num_heads: int = 8
    mlp_ratio: float = 4.0
    position: Literal["sine", "none"] = "sine"
    joint_levels: tuple[int, ...] | None = None
    key_pooling: int = 1


@dataclass(frozen=True)
class TemporalDecoderConfig:
    """Temporal attention over the box queries of an instance (paper: section 3.3).

    Attributes:
        enabled: False gives the SeqFormer decoder.
        num_heads: Heads of the attention.
        position: "sine" adds a sine over the frame index to queries and keys, "none" is the paper.
    """

    enabled: bool = True
    num_heads: int = 8
    position: Literal["sine", "none"] = "sine"


@dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build a model and to prepare its input.

    Attributes:
        backbone: Name of a timm model with features at strides 8, 16 and 32.
        freeze_batch_norm: Keep the backbone's BatchNorm statistics fixed in training too.
        hidden_dim: C of the paper; a multiple of 32, the groups of GroupNorm.
        num_heads: Heads of deformable attention and of the decoder's self-attention.
        num_levels: Feature levels; those beyond the backbone's three are made by stride-2 convolutions.
        num_points: Sampling points per head and level of deformable attention.
        feedforward_dim: Hidden width of the feed-forward networks.
        num_encoder_layers: Layers of the encoder.
        num_decoder_layers: Layers of the decoder, each with a loss of its own in training.
        num_queries: Instances that a clip may have at most.
        dropout: Probability (0..1) in training.
        num_frames: T of the paper, the length of a training clip and of an inference window.
        num_class_slots: Class logits per query; the official weights have 42 slots for 40 categories.
        categories: The classes with a meaning, empty until a data set or checkpoint names them.
        short_side: Frames are resized so that the shorter side has this many pixels at inference.
        ms_sts: The encoder's multi-scale spatio-temporal split attention.
        temporal_decoder: The decoder's temporal attention.
    """

    backbone: str = "resnet50.tv_in1k"
    freeze_batch_norm: bool = True
    hidden_dim: int = 256
    num_heads: int = 8
    num_levels: int = 4
    num_points: int = 4
    feedforward_dim: int = 1024
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    num_queries: int = 300
    dropout: float = 0.1
    num_frames: int = 5
    num_class_slots: int = 42
    categories: tuple[Category, ...] = ()
    short_side: int = 360
    ms_sts: MsStsConfig = field(default_factory=MsStsConfig)
    temporal_decoder: TemporalDecoderConfig = field(default_factory=TemporalDecoderConfig)

    def __post_init__(self) -> None:
        """Refuse numbers that no model can be built from, since configurations also come from files.

        Raises:
            ValueError: Names the field.
        """
        sizes = ("hidden_dim", "num_heads", "num_levels", "num_points", "num_queries", "num_frames", "short_side")
        for name in (*sizes, "feedforward_dim", "num_encoder_layers", "num_decoder_layers", "num_class_slots"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be at least 1")
        if self.ms_sts.key_pooling < 1:
            raise ValueError(f"ms_sts.key_pooling is {self.ms_sts.key_pooling}, must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, must be a probability below 1")
        for heads in (self.num_heads, self.ms_sts.num_heads, self.temporal_decoder.num_heads):
            if heads < 1 or self.hidden_dim % heads:
                raise ValueError(f"{heads} heads do not divide hidden_dim {self.hidden_dim}")
        if any(not 0 <= category.slot < self.num_class_slots for category in self.categories):
            raise ValueError(f"a category's slot is not among the {self.num_class_slots} class slots")
        if any(not 0 <= level < self.num_levels - 1 for level in self.ms_sts.joint_levels or ()):
            raise ValueError(f"joint_levels {self.ms_sts.joint_levels} are not among 0..{self.num_levels - 2}")


def _without_contributions(config: ModelConfig) -> ModelConfig:
    return replace(config, ms_sts=MsStsConfig(enabled=False), temporal_decoder=TemporalDecoderConfig(enabled=False))


def _with_ms_sts(config: ModelConfig) -> ModelConfig:
    return replace(config, temporal_decoder=TemporalDecoderConfig(enabled=False))


def _with_t_dec(config: ModelConfig) -> ModelConfig:
    return replace(config, ms_sts=MsStsConfig(enabled=False))


SIZES: dict[str, ModelConfig] = {
    "r50": ModelConfig(backbone="resnet50.tv_in1k"),
    "r101": ModelConfig(backbone="resnet101.tv_in1k"),
    "swin_l": ModelConfig(backbone="swin_large_patch4_window12_384.ms_in22k"),
    # For CPUs and for the bundled checkpoint: joint attention at strides 16 and 32 only, which halves a clip's time.
    "tiny": ModelConfig(
        backbone="tf_efficientnet_lite0",
        hidden_dim=96,
        num_heads=4,
        feedforward_dim=384,
        num_encoder_layers=2,
        num_decoder_layers=3,
        num_queries=20,
        dropout=0.0,
        num_class_slots=8,
        short_side=128,
        ms_sts=MsStsConfig(num_heads=4, mlp_ratio=2.0, joint_levels=(1, 2)),
        temporal_decoder=TemporalDecoderConfig(num_heads=4),
    ),
}
# Table 3's rows; the last row's adversarial loss changes the training only, so its model is the full one.
VARIANTS: dict[str, Callable[[ModelConfig], ModelConfig]] = {
    "": lambda config: config,
    "baseline-": _without_contributions,
    "ms-sts-": _with_ms_sts,
    "t-dec-": _with_t_dec,
}


def preset_names() -> list[str]:
    """All names that `preset` knows."""
    return [variant + size for variant in VARIANTS for size in SIZES]


def preset(name: str) -> ModelConfig:
    """The named configuration: a size (`r50`, `r101`, `swin_l`, `tiny`), after an optional ablation prefix.

    Paper: Table 3. `baseline-r50` is SeqFormer, `ms-sts-r50` adds the encoder attention, `t-dec-r50` adds the
    decoder attention alone, `r50` has both.

    Raises:
        KeyError: No preset has that name.
    """
    for variant, change in VARIANTS.items():
        size = name.removeprefix(variant)
        if name.startswith(variant) and size in SIZES:
            return change(SIZES[size])
    raise KeyError(f"no preset '{name}'; there are {', '.join(preset_names())}")
