"""Everything a training run is told: what `mssts train` reads from its YAML file and options.

A checkpoint stores it, so that a resumed run goes on with the same numbers. Defaults are the official recipe
(paper: section 4.1, and SeqFormer's where the paper is silent).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Literal

from mssts.config import GROUP_NORM_GROUPS, ModelConfig, preset
from mssts.data.augmentation import AugmentationConfig
from mssts.loss.config import AdversarialConfig, CriterionConfig

SYNTHETIC = "synthetic"
SAME = "same"
STATE_FILE = "checkpoint.pt"
"""In the run folder: what a training goes on from."""
# Sections and fields that count something, and those that are shares.
AT_LEAST_1 = (
    "steps", "devices", "num_nodes", "threads", "log_every", "max_skips", "clips.per_step", "clips.per_batch",
    "clips.frames_per_step", "clips.min_frames", "clips.max_frames",
    "synthetic.max_stride", "evaluation.every", "evaluation.num_videos",
)  # fmt: skip
# Below that, nothing that the synthetic set is made of can be told apart.
AT_LEAST_32 = ("synthetic.height", "synthetic.width")
AT_LEAST_0 = (
    "workers", "seed", "save_minutes", "max_minutes", "optim.warmup_steps", "optim.weight_decay",
    "optim.backbone_factor", "optim.slow_factor", "adversarial.weight", "adversarial.l1_weight",
    "criterion.ce", "criterion.bbox", "criterion.giou", "criterion.mask", "criterion.dice",
    "criterion.match_costs.label", "criterion.match_costs.box", "criterion.match_costs.giou",
)  # fmt: skip
SHARES = (
    "ema", "synthetic.difficulty_from", "synthetic.difficulty_to", "synthetic.ramp", "optim.final_factor",
    "optim.backbone_start",
)  # fmt: skip
# What a machine, or a generator of random numbers, can be told.
AT_MOST = {
    "optim.learning_rate": 10, "adversarial.learning_rate": 10,
    "optim.slow_factor": 1000, "optim.backbone_factor": 1000,
    "seed": 2**32 - 1, "threads": 1024, "workers": 128, "devices": 1024,
    "clips.per_step": 2**16, "clips.per_batch": 2**10, "clips.frames_per_step": 2**20, "clips.max_frames": 2**10,
    "synthetic.height": 4096, "synthetic.width": 4096, "synthetic.max_stride": 1000,
}  # fmt: skip
ABOVE_0 = ("epochs", "optim.learning_rate", "optim.epsilon", "optim.clip_norm", "adversarial.learning_rate")


@dataclass(frozen=True)
class ClipConfig:
    """How much a step takes.

    Attributes:
        per_step: Clips that one optimizer step sees, over all devices; the recipe does not change with their number.
        per_batch: Clips that one device takes through the model at once; the rest of its share is accumulated.
        frames_per_step: Instead of `per_step`: as many clips as make about so many frames, whatever their length.
        min_frames: The shortest clip; each step draws its length from here to `max_frames`. None: as the longest.
        max_frames: The longest clip. None: the model's `num_frames`.
    """

    per_step: int = 16
    per_batch: int = 1
    frames_per_step: int | None = None
    min_frames: int | None = None
    max_frames: int | None = None


@dataclass(frozen=True)
class SyntheticConfig:
    """The endless synthetic set, made on the fly: `--data synthetic`.

    Attributes:
        height: In pixels.
        width: In pixels.
        max_stride: Up to how many frames of the video lie from one frame of the clip to the next.
        difficulty_from: The videos' difficulty (0..1) at the start.
        difficulty_to: What it climbs to, in equal steps.
        ramp: Share of the training during which it climbs.
    """

    height: int = 128
    width: int = 224
    max_stride: int = 2
    difficulty_from: float = 0.0
    difficulty_to: float = 1.0
    ramp: float = 0.5


@dataclass(frozen=True)
class OptimConfig:
    """AdamW and its schedule.

    Attributes:
        learning_rate: The peak.
        backbone_factor: The backbone's share of it.
        slow_factor: The share of sampling offsets and reference points.
        weight_decay: Of AdamW.
        betas: Of AdamW.
        epsilon: Of AdamW, the discriminator's too: gradients much smaller than this hardly count.
        clip_norm: Largest norm of the gradient.
        schedule: "milestones" multiplies the rate by 0.1 at each of them, "cosine" lets it fall to `final_factor`.
        milestones: In epochs, or in shares (0..1) of a run whose length is given in steps. None: as in the recipe,
            after a third and after five sixths of the training (epochs 4 and 10 of 12).
        final_factor: Share of the peak at which the cosine ends.
        warmup_steps: Steps over which the rate grows from nothing to its peak; at most a quarter of the run.
        backbone_start: Share of the training during which the backbone stays as it is.
    """

    learning_rate: float = 2e-4
    backbone_factor: float = 0.1
    slow_factor: float = 0.1
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip_norm: float = 0.1
    schedule: Literal["milestones", "cosine"] = "milestones"
    milestones: tuple[float, ...] | None = None
    final_factor: float = 0.02
    warmup_steps: int = 0
    backbone_start: float = 0.0


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation during training.

    Attributes:
        data: A set's folder; or "same" for the first set trained on; or "synthetic" for a small one made beside the
            checkpoints. None: no evaluation.
        split: Of the set.
        every: Steps between two evaluations; the last step is always followed by one.
        num_videos: How many of the set's first videos.
        mode: "near-online" goes window by window as `mssts predict` does, "offline" is the official protocol.
    """

    data: str | None = None
    split: str = "valid"
    every: int = 1000
    num_videos: int = 30
    mode: Literal["near-online", "offline"] = "near-online"


@dataclass(frozen=True)
class TrainConfig:
    """A whole training run; its length is given by exactly one of `epochs` and `steps`.

    Attributes:
        data: A training set's folder, several times for several sets, which are joined; or the word "synthetic" for
            the endless synthetic set.
        split: Which annotations of the folders.
        categories: "ytvis2019" or "ytvis2021" for the official layout; None: those of the first set.
        preset: The model that `model` starts from.
        init: A model (name or file) whose weights the run starts from; they need not all fit.
        backbone_weights: "hub" downloads timm's ImageNet weights, "package" takes them from an installed package
            (EfficientNet-Lite0 only), "none" leaves the backbone random, or as `init` has it.
        out: The run folder.
        resume: "auto" goes on from the run folder's checkpoint if there is one, "never" refuses a folder with one.
        steps: Length in steps.
        epochs: Length in epochs; every annotated frame is an item of an epoch.
        devices: Processes on this machine, one a device.
        num_nodes: Machines.
        accelerator: "auto" takes the GPUs if there are any.
        precision: As Lightning Fabric names them.
        threads: CPU threads of each process; None leaves the choice to PyTorch.
        workers: Processes that load clips, for each training process.
        seed: Seeds the weights, the clips and dropout.
        ema: Decay of an average of the weights, which is then what is evaluated and saved; None for none. It grows to
            this number over the first updates (`average_update`).
        checkpointing: Recompute encoder layers in the backward pass: less memory, more time.
        log_every: Steps between two lines of the log.
        save_minutes: Minutes between two checkpoints.
        max_minutes: Save and stop after so many minutes, to go on later with --resume auto.
        max_skips: The run ends after so many steps in a row with a loss that is not finite.
        clips: How much a step takes.
        optim: Optimizer and schedule.
        criterion: Weights of the losses.
        adversarial: The adversarial game (paper: section 3.4).
        evaluation: During training.
        augmentation: Of clips from files.
        synthetic: The synthetic set.
        model: The model; its categories come from the data.
    """

    data: tuple[str, ...] = ()
    split: str = "train"
    categories: Literal["ytvis2019", "ytvis2021"] | None = None
    preset: str = "r50"
    init: str | None = None
    backbone_weights: Literal["hub", "package", "none"] = "hub"
    out: Path = Path("runs/train")
    resume: Literal["auto", "never"] = "never"
    steps: int | None = None
    epochs: float | None = None
    devices: int = 1
    num_nodes: int = 1
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    threads: int | None = None
    workers: int = 1
    seed: int = 0
    ema: float | None = None
    checkpointing: bool = False
    log_every: int = 20
    save_minutes: float = 3.0
    max_minutes: float | None = None
    max_skips: int = 10
    clips: ClipConfig = field(default_factory=ClipConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)
    model: ModelConfig = field(default_factory=lambda: preset("r50"))

    def __post_init__(self) -> None:
        """Refuse what no run can be made of.

        Raises:
            ValueError: Names the field.
        """
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("a training needs either --epochs or --steps")
        if not self.data:
            raise ValueError("a training needs --data: a set's folder, or the word synthetic")
        for name, most in AT_MOST.items():
            self._check((name,), lambda value, most=most: value <= most, f"must be at most {most}")
        for name, betas in (("optim", self.optim.betas), ("adversarial", self.adversarial.betas)):
            if not all(0 <= beta < 1 for beta in betas):
                raise ValueError(f"{name}.betas is {betas}, each must be from 0 to below 1")
        self._check(AT_LEAST_1, lambda value: value >= 1, "must be at least 1")
        self._check(AT_LEAST_32, lambda value: value >= 32, "must be at least 32")
        self._check(AT_LEAST_0, lambda value: 0 <= value < math.inf, "must be finite and not negative")
        self._check(SHARES, lambda value: 0 <= value <= 1, "must be a share (0..1)")
        self._check(ABOVE_0, lambda value: 0 < value < math.inf, "must be above 0")
        if not 1 <= self.min_frames <= self.max_frames:
            raise ValueError(f"clips of {self.min_frames} to {self.max_frames} frames cannot be made")
        if self.model.hidden_dim % GROUP_NORM_GROUPS:
            raise ValueError(f"model.hidden_dim is {self.model.hidden_dim}, must be a multiple of {GROUP_NORM_GROUPS}")
        length = self.epochs or 1.0
        for mark in self.optim.milestones or ():
            if not 0 < mark < length:
                unit = "epochs" if self.epochs else "as a share of the steps (0..1)"
                raise ValueError(
                    f"optim.milestones: {mark:g} is not inside the training, which is {length:g} {unit}; "
                    "--optim.milestones null takes those of the recipe"
                )

    def _check(self, names: Sequence[str], is_valid: Callable[[float], bool], rule: str) -> None:
        """Refuse the first of the named fields whose value is set and breaks a rule."""
        for name in names:
            value = attrgetter(name)(self)
            if value is not None and not is_valid(value):
                raise ValueError(f"{name} is {value}, {rule}")

    @property
    def max_frames(self) -> int:
        """Frames of the longest clip."""
        return self.clips.max_frames or self.model.num_frames

    @property
    def min_frames(self) -> int:
        """Frames of the shortest clip."""
        return self.clips.min_frames or self.max_frames
