"""The training loop; it reads top to bottom.

`train` makes the state, walks over the steps, logs, evaluates and saves. Stopped by Ctrl-C, SIGTERM or a kill at any
moment, a run goes on from its last checkpoint with --resume auto; on a CPU with bitwise the same result.
"""

import time
from collections.abc import Callable
from enum import IntEnum
from functools import partial

import torch

from mssts import checkpoint as model_file
from mssts.data.batch import Batch
from mssts.errors import MsstsError
from mssts.train.config import STATE_FILE, TrainConfig
from mssts.train.evaluation import Evaluator
from mssts.train.journal import Journal
from mssts.train.loader import StepBatches, load_in_background
from mssts.train.optim import learning_rate, set_learning_rate, thaw_backbone
from mssts.train.preflight import check_paths
from mssts.train.setup import make_fabric, open_clips, prepare
from mssts.train.state import TrainState, save_state
from mssts.train.step import Engine, train_step

FIRST_SAVE_MINUTES = 0.5
STOPPED = "{}: stopped after step {}; go on with --resume auto"


class _Decision(IntEnum):
    """What ranks do next, by rising weight: what any of them must do, all do."""

    GO_ON = 0
    STOP = 1
    FAIL = 2


def train(config: TrainConfig, should_stop: Callable[[], bool] = lambda: False) -> TrainState:
    """Train a model and leave `checkpoint.pt` (to go on from) and `model.safetensors` (to predict with) in a folder.

    Args:
        config: Everything.
        should_stop: Asked before each step, and on a single process between its batches; True saves and stops.

    Returns:
        The state; `is_finished` tells a whole training from a stopped one.

    Raises:
        BadInputError: The data cannot be read, or the folder holds a checkpoint that may not be continued.
        CheckpointError: The folder's checkpoint, or the model to start from, cannot be used.
        ResourceError: The folder cannot be written.
        MsstsError: The loss was not finite `max_skips` times in a row; the last checkpoint has finite weights.
    """
    check_paths(config)
    fabric = make_fabric(config)
    fabric.launch()
    source = open_clips(config, fabric.is_global_zero)
    dataset = StepBatches(source, config, fabric.global_rank, fabric.world_size)
    evaluates = fabric.is_global_zero and config.evaluation.data is not None
    evaluator = Evaluator(config) if evaluates else None
    engine = prepare(config, fabric, source.categories, len(source))
    journal = Journal(config.out, len(dataset), engine.state.step, config.log_every, fabric.is_global_zero)
    journal.say(_plan(config, dataset, len(source), evaluator, engine.state.step))
    try:
        _walk(engine, dataset, journal, evaluator, should_stop)
        _together(engine, lambda: _finish(engine, journal, evaluator, should_stop))
    except MsstsError:
        # A file that cannot be read, say: it is mended and the run goes on, so what was learned is kept.
        save(engine)
        raise
    finally:
        journal.close()
    return engine.state


def _plan(
    config: TrainConfig, dataset: StepBatches, num_items: int, evaluator: Evaluator | None, first_step: int
) -> str:
    """One line, before the first step, of what is about to happen."""
    told = "not evaluated"
    if evaluator is not None:
        start = ", and first as it is" if first_step == 0 and _is_evaluation_due(config, step=0) else ""
        count = f"{len(evaluator.truth.videos)} videos"
        told = f"evaluated every {config.evaluation.every} on {count} of {evaluator.truth.path}{start}"
    data = ", ".join(dict.fromkeys(config.data))
    return f"{config.out}: {len(dataset)} steps on {data} ({num_items} items an epoch), {told}"


def _walk(
    engine: Engine,
    dataset: StepBatches,
    journal: Journal,
    evaluator: Evaluator | None,
    should_stop: Callable[[], bool],
) -> None:
    """Take the steps that are left, until the last one or until somebody asks to stop."""
    state, config = engine.state, engine.config
    clock, saves = time.monotonic(), _SaveClock(engine)
    state.is_finished = state.step == len(dataset)
    for batches in load_in_background(dataset, state.step, config.workers):
        began = time.monotonic()
        between = partial(_between_steps, engine, journal, evaluator, should_stop, saves, batches)
        if _together(engine, between) is _Decision.STOP:
            journal.say(STOPPED.format(config.out, state.step))
            return
        assert not isinstance(batches, MsstsError)
        clock += time.monotonic() - began
        rate = learning_rate(config.optim, state.step, len(dataset), config.epochs)
        set_learning_rate(state.optimizer, rate)
        thaw_backbone(state.optimizer, trains=state.step >= config.optim.backbone_start * len(dataset))
        report = train_step(engine, batches, should_stop)
        if report.was_stopped:
            journal.say(STOPPED.format(config.out, state.step))
            return
        seconds = time.monotonic() - clock
        state.elapsed_s += seconds
        journal.record(state.step, report, rate, state.num_skipped, seconds)
        if state.skips_in_a_row >= config.max_skips:
            times = f"{config.max_skips} steps in a row had a non-finite {report.trouble}"
            raise MsstsError(f"{config.out}: training diverged: {times}")
        clock = time.monotonic()
    state.is_finished = state.step == len(dataset)


def _between_steps(
    engine: Engine,
    journal: Journal,
    evaluator: Evaluator | None,
    should_stop: Callable[[], bool],
    saves: "_SaveClock",
    batches: list[Batch] | MsstsError,
) -> _Decision:
    """What a rank does alone before a step: save and evaluate if it is time, see that it has data, ask whether to stop.

    Raises:
        MsstsError: Any of that failed.
    """
    saves.save_if_due(engine)
    if _is_evaluation_due(engine.config, engine.state.step):
        # Here and not after its step, so that a run that was stopped in the middle of it does it when resumed.
        _evaluate(engine, journal, evaluator, should_stop)
    if isinstance(batches, MsstsError):
        raise batches
    return _Decision.STOP if should_stop() else _Decision.GO_ON


def _finish(
    engine: Engine, journal: Journal, evaluator: Evaluator | None, should_stop: Callable[[], bool]
) -> _Decision:
    """Save what there is, and evaluate it if all steps are taken."""
    save(engine)
    if engine.state.is_finished:
        _evaluate(engine, journal, evaluator, should_stop)
        out = engine.config.out
        journal.say(f"{out}: done; the model is there for mssts predict VIDEO --model {out}")
    return _Decision.GO_ON


def _is_evaluation_due(config: TrainConfig, step: int) -> bool:
    """Whether to evaluate after so many steps; before the first one only if the run starts from a trained model."""
    return step % config.evaluation.every == 0 and (step > 0 or config.init is not None)


def _evaluate(engine: Engine, journal: Journal, evaluator: Evaluator | None, should_stop: Callable[[], bool]) -> None:
    """Evaluate and tell; nothing is told if somebody asks to stop meanwhile."""
    if evaluator is None:
        return
    evaluation = evaluator(engine.state.best_model, should_stop)
    if evaluation is not None:
        journal.report(engine.state.step, evaluation, evaluator.truth.path)


class _SaveClock:
    """Saves every so often, first early: a run that is killed in its first minutes can go on too."""

    def __init__(self, engine: Engine) -> None:
        self._saved_at = time.monotonic()
        minutes = engine.config.save_minutes
        self._minutes = minutes if engine.state.step > 0 else min(minutes, FIRST_SAVE_MINUTES)

    def save_if_due(self, engine: Engine) -> None:
        """Save if the last time was long enough ago."""
        if time.monotonic() - self._saved_at > 60 * self._minutes:
            save(engine)
            self._saved_at, self._minutes = time.monotonic(), engine.config.save_minutes


def save(engine: Engine) -> None:
    """Write the state to go on from and the model to predict with; one rank does it for all."""
    if engine.fabric.is_global_zero:
        save_state(engine.state, engine.config, engine.config.out / STATE_FILE)
        model_file.save_model(engine.state.best_model, engine.config.out / model_file.FILE_NAME)


def _together(engine: Engine, work: Callable[[], _Decision]) -> _Decision:
    """Do what is each rank's own, then agree on what follows from it.

    Raises:
        MsstsError: It failed, on this rank or another one, which all have to know of: they would wait for it for ever.
    """
    failure: MsstsError | None = None
    try:
        own = work()
    except MsstsError as error:
        own, failure = _Decision.FAIL, error
    decision = _decide(engine, own)
    if failure is not None:
        raise failure
    if decision is _Decision.FAIL:
        raise MsstsError(f"{engine.config.out}: another process of this training failed; it tells why")
    return decision


def _decide(engine: Engine, own: _Decision) -> _Decision:
    """The gravest decision of any rank: all stop at the same step, or some would wait for ever."""
    fabric = engine.fabric
    if fabric.world_size == 1:
        return own
    gravest = fabric.all_reduce(torch.tensor(float(own), device=fabric.device), reduce_op="max")
    assert isinstance(gravest, torch.Tensor)
    return _Decision(int(gravest))
