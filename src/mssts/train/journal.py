"""What a training run tells: a progress bar, a line every few steps, and TensorBoard's curves and pictures."""

import sys
from datetime import timedelta
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from mssts.train.evaluation import Evaluation
from mssts.train.step import StepReport


class Journal:
    """Collects the losses of the steps since its last line, or since this process began.

    The terms it shows are the last decoder layer's. Its speed counts the steps alone, skipped ones too, and neither
    evaluations nor checkpoints; the first step, which waits for the first clips, tells no speed.

    Args:
        out: The run folder; TensorBoard reads it.
        num_steps: Length of the training.
        first_step: Where this process starts; what an interrupted run logged beyond it is dropped.
        log_every: Steps between two lines; this process's first step has one too, which shows that all is well.
        is_active: Only one of several ranks tells.
    """

    def __init__(self, out: Path, num_steps: int, first_step: int, log_every: int, is_active: bool = True) -> None:
        self.num_steps, self.log_every, self.is_active = num_steps, log_every, is_active
        self.first_step = first_step
        if not is_active:
            return
        self._board = SummaryWriter(str(out / "tensorboard"), purge_step=first_step + 1)
        self._bar = tqdm(
            total=num_steps, initial=first_step, unit="step", disable=not sys.stderr.isatty(), dynamic_ncols=True
        )
        self._restart()

    def record(self, step: int, report: StepReport, rate: float, num_skipped: int, seconds: float) -> None:
        """Take note of a finished step, which took so long, and tell the means of the last steps if it is time to."""
        if not self.is_active:
            return
        self._bar.update()
        self._num_steps, self._seconds = self._num_steps + 1, self._seconds + seconds
        if report.trouble:
            self.say(f"step {step}: skipped, not finite: {report.trouble} ({num_skipped} so far)")
        else:
            self._history.append(report.losses)
        is_first = step == self.first_step + 1
        if (is_first or step % self.log_every == 0) and self._history:
            self._tell_means(step, rate, num_skipped, is_first)
            self._restart()

    def report(self, step: int, evaluation: Evaluation, truth: Path) -> None:
        """Tell an evaluation and the annotation file that it was made with."""
        if not self.is_active:
            return
        percent = ", ".join(f"{name} {100 * value:.1f}" for name, value in evaluation.numbers.items() if value >= 0)
        self.say(f"step {step}: {percent} (on {truth})")
        for name, value in evaluation.numbers.items():
            self._board.add_scalar(f"evaluation/{name}", value, step)
        if evaluation.picture is not None:
            self._board.add_image("evaluation/prediction", evaluation.picture, step, dataformats="HWC")
        self._board.flush()

    def say(self, line: str) -> None:
        """Print a line above the progress bar."""
        if self.is_active:
            tqdm.write(line)
            sys.stdout.flush()

    def close(self) -> None:
        """End the bar and the curves."""
        if self.is_active:
            self._bar.close()
            self._board.close()

    def _restart(self) -> None:
        self._history: list[dict[str, float]] = []
        self._num_steps, self._seconds = 0, 0.0

    def _tell_means(self, step: int, rate: float, num_skipped: int, is_first: bool) -> None:
        """Mean losses, learning rate and, but for the first step, speed and the time that is left."""
        means = {name: sum(row[name] for row in self._history) / len(self._history) for name in self._history[0]}
        losses = " ".join(f"{name} {value:.3f}" for name, value in means.items())
        line = f"step {step}/{self.num_steps}: {losses} | lr {rate:.1e}"
        if not is_first:
            speed = self._num_steps / max(1e-9, self._seconds)
            left = timedelta(seconds=round((self.num_steps - step) / speed))
            line += f" | {speed:.2f} steps/s | ETA {left}"
            self._board.add_scalar("training/steps_per_second", speed, step)
        self.say(line)
        for name, value in means.items():
            self._board.add_scalar(f"loss/{name}", value, step)
        self._board.add_scalar("training/learning_rate", rate, step)
        self._board.add_scalar("training/skipped_steps", num_skipped, step)
