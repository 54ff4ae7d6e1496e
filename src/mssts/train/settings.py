"""Everything a training run is told; a checkpoint stores it, so that a resumed run goes on with the same numbers."""

from dataclasses import dataclass, field

from mssts.loss.criterion import CriterionConfig


@dataclass(frozen=True)
class ClipSettings:
    """The training clips.

    Attributes:
        height: In pixels.
        width: In pixels.
        min_frames: The shortest clip; each step draws its length T, so that the model learns different lengths.
        max_frames: The longest clip.
        max_stride: Up to how many frames of the video lie from one frame of the clip to the next.
        frames_per_batch: A step takes as many clips as make about so many frames, at least one: all steps cost alike.
        difficulty: What the videos' difficulty (0..1) climbs to, from 0, over the first half of the training.
    """

    height: int = 128
    width: int = 224
    min_frames: int = 2
    max_frames: int = 8
    max_stride: int = 2
    frames_per_batch: int = 20
    difficulty: float = 0.6


@dataclass(frozen=True)
class TrainSettings:
    """The optimisation; its length is given by exactly one of `steps` and `minutes`.

    Attributes:
        steps: Length in steps; the whole run is then determined by the settings.
        minutes: Length in minutes of training time, earlier runs that were resumed included.
        seed: Seeds the weights, the clips and dropout.
        learning_rate: The peak, after the warm-up.
        slow_factor: Share of it for sampling offsets and reference points, as in the paper's baseline.
        imagenet: Start the backbone from ImageNet weights.
        backbone_factor: The backbone's share of the learning rate.
        backbone_start: Share of the training during which the backbone stays as it is, if it has ImageNet weights.
        weight_decay: Of AdamW.
        warmup_steps: Steps over which the learning rate grows from nothing to its peak.
        final_factor: Share of the peak at which the cosine decay ends.
        clip_norm: Largest norm of the gradient. The official recipe has 0.1; from scratch, gradients are larger.
        threads: CPU threads of the training process; None leaves the choice to PyTorch.
        log_every: Steps between two lines of the log.
        evaluate_every: Steps between two evaluations on held-out clips.
        save_minutes: Minutes between two checkpoints.
    """

    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    learning_rate: float = 4e-4
    slow_factor: float = 0.1
    imagenet: bool = False
    backbone_factor: float = 0.2
    backbone_start: float = 0.6
    weight_decay: float = 1e-4
    warmup_steps: int = 100
    final_factor: float = 0.02
    clip_norm: float = 1.0
    threads: int | None = None
    log_every: int = 20
    evaluate_every: int = 200
    save_minutes: float = 3.0
    clips: ClipSettings = field(default_factory=ClipSettings)
    criterion: CriterionConfig = field(default_factory=CriterionConfig)

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("a training needs either steps or minutes")

    def progress(self, step: int, elapsed_s: float) -> float:
        """How much of the training is done, 0..1, before a step and after so many seconds of training."""
        if self.steps is not None:
            return min(1.0, step / max(1, self.steps))
        assert self.minutes is not None
        return min(1.0, elapsed_s / max(1.0, 60 * self.minutes))
