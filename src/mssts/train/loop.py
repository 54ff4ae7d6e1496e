"""The training loop: `python -m mssts.train.loop --out DIR --minutes M` trains the tiny model on synthetic videos.

It reads top to bottom: `train` makes the state, walks over the steps, logs, evaluates and saves. Stopped by Ctrl-C or
killed, a run goes on from its last checkpoint with --resume; on a CPU with bitwise the same result.
"""

import argparse
import math
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor, nn

from mssts import checkpoint as model_file
from mssts.config import ModelConfig, preset
from mssts.data.synthetic import CATEGORIES
from mssts.errors import BadInputError, MsstsError, ResourceError
from mssts.loss.criterion import Criterion, CriterionOutput
from mssts.model.vis import VisModel
from mssts.train.checkpoint import FILE_NAME, TrainState, restore_state, save_state
from mssts.train.imagenet import load_imagenet_lite0
from mssts.train.journal import Journal
from mssts.train.optim import learning_rate, make_optimizer, set_learning_rate, thaw_backbone
from mssts.train.quick_evaluation import evaluate_quickly, held_out_clips
from mssts.train.settings import ClipSettings, TrainSettings
from mssts.train.synthetic_clips import Batch, SyntheticClips, load_in_background

MAX_SKIPS_IN_A_ROW = 10
MIX = 1_000_003


def train(
    settings: TrainSettings,
    config: ModelConfig,
    out: Path,
    resume: bool = False,
    should_stop: Callable[[int], bool] = lambda step: False,
) -> TrainState:
    """Train a model on synthetic clips and leave `checkpoint.pt` and `model.safetensors` in a folder.

    Args:
        settings: Length, optimisation and clips.
        config: The model.
        out: The folder; made if it does not exist.
        resume: Go on from the folder's checkpoint, if it holds one.
        should_stop: Asked after each step, with the number of steps done; True saves and stops.

    Raises:
        BadInputError: The folder holds a checkpoint and `resume` is off.
        CheckpointError: The folder's checkpoint cannot be continued.
        ResourceError: The folder cannot be written.
        MsstsError: The loss was not finite ten times in a row.
    """
    state = prepare(settings, config, out, resume)
    criterion = Criterion(settings.criterion)
    dataset = SyntheticClips(settings, state.step)
    held_out = held_out_clips(settings.clips)
    journal = Journal(settings)
    skips_in_a_row = 0
    clock = saved_at = time.monotonic()
    batches = iter(load_in_background(dataset))
    while (progress := settings.progress(state.step, state.elapsed_s)) < 1:
        dataset.progress.value = progress
        batch = next(batches)
        rate = learning_rate(settings, state.step, progress)
        thaw_backbone(state.optimizer, trains=not settings.imagenet or progress >= settings.backbone_start)
        output, trouble = train_step(state, settings, criterion, batch, rate)
        now = time.monotonic()
        state.elapsed_s, clock = state.elapsed_s + now - clock, now
        skips_in_a_row = skips_in_a_row + 1 if trouble else 0
        journal.record(state, output, trouble, rate)
        if skips_in_a_row == MAX_SKIPS_IN_A_ROW:
            raise MsstsError(f"{out}: training diverged, {skips_in_a_row} steps in a row had non-finite {trouble}")
        if should_stop(state.step):
            break
        if state.step % settings.evaluate_every == 0:
            journal.report(state.step, evaluate_quickly(state.model, held_out))
        if now - saved_at > 60 * settings.save_minutes:
            save(state, settings, out)
            saved_at = now
    save(state, settings, out)
    journal.report(state.step, evaluate_quickly(state.model, held_out))
    return state


def prepare(settings: TrainSettings, config: ModelConfig, out: Path, resume: bool) -> TrainState:
    """Make the folder, the model and the optimizer, as they were at the last checkpoint if there is one to resume."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"{out}: cannot make the folder ({error})") from error
    path = out / FILE_NAME
    if path.exists() and not resume:
        raise BadInputError(f"{path}: a training is there already; go on with --resume or choose another folder")
    torch.manual_seed(settings.seed)
    model = VisModel(config).train()
    if settings.imagenet and not path.exists():
        load_imagenet_lite0(model.backbone)
    state = TrainState(model, make_optimizer(model, settings))
    if path.exists():
        restore_state(state, settings, path)
        print(f"{path}: resumed after step {state.step}", flush=True)
    return state


def train_step(
    state: TrainState, settings: TrainSettings, criterion: Criterion, batch: Batch, rate: float
) -> tuple[CriterionOutput, str]:
    """Do one step in place; where the loss or its gradient is not finite, change no weight and name the trouble."""
    # Seeded by the step's number: a resumed run then draws the same dropout without any saved state.
    torch.manual_seed(settings.seed * MIX + state.step)
    set_learning_rate(state.optimizer, rate)
    state.optimizer.zero_grad(set_to_none=True)
    state.step += 1
    output = criterion(state.model(*batch.clip), batch.targets, batch.image_sizes)
    if trouble := non_finite_terms(output):
        return output, trouble
    output.total.backward()
    norm = nn.utils.clip_grad_norm_(state.model.parameters(), settings.clip_norm)
    if not math.isfinite(float(norm)):
        return output, "gradient"
    state.optimizer.step()
    return output, ""


def non_finite_terms(output: CriterionOutput) -> str:
    """The names of the loss terms that are not finite, empty if all are."""
    terms: dict[str, Tensor] = output.losses.named()
    return ", ".join(name for name, value in terms.items() if not value.isfinite())


def save(state: TrainState, settings: TrainSettings, out: Path) -> None:
    """Write the state to go on from and the model to predict with."""
    save_state(state, settings, out / FILE_NAME)
    model_file.save_model(state.model, out / model_file.FILE_NAME)


class StopRequest:
    """Turns Ctrl-C and a polite kill into a wish that is granted between two steps; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, signal.SIG_DFL)

    def __call__(self, _step: int) -> bool:
        """Whether to stop."""
        return self.requested


def main(arguments: list[str] | None = None) -> int:
    """Train the tiny model on synthetic videos; 0 when done or stopped politely."""
    parser = argparse.ArgumentParser(
        prog="python -m mssts.train.loop", description="Train the tiny model on synthetic videos."
    )
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="length in steps")
    length.add_argument("--minutes", type=float, help="length in minutes, resumed runs included")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the checkpoint")
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint")
    parser.add_argument("--imagenet", action="store_true", help="start the backbone from ImageNet weights")
    defaults, clips = TrainSettings(steps=1), ClipSettings()
    parser.add_argument("--threads", type=int, help="CPU threads of the training process")
    for name in ("seed", "learning_rate", "warmup_steps", "clip_norm", "evaluate_every", "save_minutes"):
        _add_option(parser, name, getattr(defaults, name))
    for name in ("height", "width", "min_frames", "max_frames", "max_stride", "frames_per_batch", "difficulty"):
        _add_option(parser, name, getattr(clips, name))
    options = vars(parser.parse_args(arguments))
    out, resume = options.pop("out"), options.pop("resume")
    clips = ClipSettings(**{name: options.pop(name) for name in vars(clips) if name in options})
    config = replace(preset("tiny"), categories=CATEGORIES)
    try:
        train(TrainSettings(**options, clips=clips), config, out, resume, StopRequest())
    except MsstsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _add_option(parser: argparse.ArgumentParser, name: str, default: int | float) -> None:
    """Add the option of a settings field."""
    flag = "--" + name.replace("_", "-")
    parser.add_argument(flag, type=type(default), default=default, help="default: %(default)s")


if __name__ == "__main__":
    sys.exit(main())
