"""What a training run prints: a line every few steps, a line per evaluation, a line per skipped step."""

import time
from datetime import timedelta

from mssts.loss.criterion import CriterionOutput
from mssts.train.checkpoint import TrainState
from mssts.train.quick_evaluation import QuickResult
from mssts.train.settings import TrainSettings


class Journal:
    """Collects the losses of the steps since its last line; the terms it prints are the last decoder layer's.

    Args:
        settings: Of the training.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = settings
        self.num_skipped = 0
        self._restart()

    def record(self, state: TrainState, output: CriterionOutput, trouble: str, rate: float) -> None:
        """Take note of a finished step, and print the means of the last steps if it is time to."""
        if trouble:
            self.num_skipped += 1
            print(f"step {state.step}: skipped, not finite: {trouble} ({self.num_skipped} so far)", flush=True)
        else:
            terms = {"total": output.total, **{k: v[-1] for k, v in output.losses._asdict().items()}}
            self._history.append({name: float(value.detach()) for name, value in terms.items()})
        if state.step % self.settings.log_every == 0:
            self._print_means(state, rate)
            self._restart()

    def report(self, step: int, result: QuickResult) -> None:
        """Print an evaluation."""
        print(
            f"step {step}: held-out mean IoU {result.mean_iou:.3f} over {result.num_tracks} tracks, "
            f"{result.false_positives} false positives",
            flush=True,
        )

    def _restart(self) -> None:
        self._history: list[dict[str, float]] = []
        self._since = time.monotonic()

    def _print_means(self, state: TrainState, rate: float) -> None:
        """Print one line: losses, learning rate, speed and the time that is left."""
        if not self._history:
            return
        means = {name: sum(row[name] for row in self._history) / len(self._history) for name in self._history[0]}
        speed = len(self._history) / max(1e-9, time.monotonic() - self._since)
        losses = " ".join(f"{name} {value:.3f}" for name, value in means.items())
        left = timedelta(seconds=round(self._seconds_left(state, speed)))
        print(f"step {state.step}: {losses} | lr {rate:.1e} | {speed:.2f} it/s | ETA {left}", flush=True)

    def _seconds_left(self, state: TrainState, speed: float) -> float:
        """An estimate from the present speed, or what is left of the minutes."""
        if self.settings.steps is not None:
            return (self.settings.steps - state.step) / speed
        assert self.settings.minutes is not None
        return max(0.0, 60 * self.settings.minutes - state.elapsed_s)
