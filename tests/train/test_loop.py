"""The training loop in this process: it learns, skips what is not finite, stops when asked, and tells what it does."""

import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training import SMALL, load, make_engine

from mssts.checkpoint import load_model
from mssts.data.batch import Batch
from mssts.errors import BadInputError, MsstsError
from mssts.train import loop
from mssts.train.journal import Journal
from mssts.train.loader import StepBatches
from mssts.train.optim import average_update
from mssts.train.step import Engine, StepReport, train_step
from mssts.train.stop import StopRequest


def poison(engine: Engine) -> None:
    """Make the mask losses, and only those, not finite."""
    with torch.no_grad():
        dict(engine.state.model.named_parameters())["controller.layers.2.weight"].fill_(math.nan)


@pytest.mark.parametrize("adversarial", [False, True])
def test_thirty_steps_on_one_clip_lower_the_loss(tmp_path: Path, adversarial: bool) -> None:
    config = replace(SMALL, adversarial=replace(SMALL.adversarial, enabled=adversarial))
    engine, steps = make_engine(config, tmp_path)
    totals = [train_step(engine, steps[0]).losses["total"] for _ in range(30)]
    assert sum(totals[-3:]) < 0.7 * sum(totals[:3])


def test_accumulated_batches_equal_one_large_batch(tmp_path: Path) -> None:
    weights = []
    # A parameter before a normalisation has no gradient but rounding, which AdamW would blow up to a full step.
    optim = replace(SMALL.optim, epsilon=0.01)
    for per_batch in (1, 2):
        config = replace(SMALL, optim=optim, clips=replace(SMALL.clips, per_batch=per_batch))
        engine, steps = make_engine(config, tmp_path)
        batches = steps[0]
        assert len(batches) == 2 // per_batch
        train_step(engine, batches)
        weights.append(engine.state.model.state_dict())
    for name, tensor in weights[0].items():
        assert torch.allclose(tensor, weights[1][name], atol=1e-6), name


@pytest.mark.parametrize("freezes", [True, False], ids=["frozen statistics", "learned statistics"])
def test_a_stop_between_two_batches_gives_the_step_up_without_a_trace(freezes: bool, tmp_path: Path) -> None:
    model = replace(SMALL.model, freeze_batch_norm=freezes)
    config = replace(SMALL, model=model, clips=replace(SMALL.clips, per_step=4, per_batch=1))
    engine, dataset = make_engine(config, tmp_path / "stopped")
    answers = iter([False, True])
    assert train_step(engine, dataset[0], lambda: next(answers)).was_stopped
    assert engine.state.step == 0
    assert all(parameter.grad is None for parameter in engine.state.model.parameters())
    train_step(engine, dataset[0])
    other, _ = make_engine(config, tmp_path / "other")
    train_step(other, dataset[0])
    ours, theirs = engine.state.model.state_dict(), other.state.model.state_dict()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_non_finite_loss_changes_no_weight_and_is_named(tmp_path: Path) -> None:
    engine, steps = make_engine(SMALL, tmp_path)
    poison(engine)
    before = {name: parameter.clone() for name, parameter in engine.state.model.named_parameters()}
    report = train_step(engine, steps[0])
    assert report.trouble.split(", ") == ["mask", "dice", "total"]
    for name, parameter in engine.state.model.named_parameters():
        assert torch.equal(parameter.nan_to_num(), before[name].nan_to_num()), name
    assert engine.state.step == 1


def test_bad_steps_in_a_row_end_the_training_with_finite_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(engine: Engine, batches: list[Batch], should_stop: Callable[[], bool]) -> StepReport:
        if engine.state.step >= 2:
            batches = [
                batch._replace(clip=batch.clip._replace(frames=batch.clip.frames * math.nan)) for batch in batches
            ]
        return train_step(engine, batches, should_stop)

    monkeypatch.setattr(loop, "train_step", spoil)
    config = replace(SMALL, model=replace(SMALL.model, freeze_batch_norm=False))
    with pytest.raises(MsstsError, match="diverged: 3 steps in a row"):
        loop.train(replace(config, steps=20, max_skips=3, out=tmp_path))
    assert capsys.readouterr().out.count("skipped") == 3
    model = load_model(tmp_path / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


def test_interrupt_is_granted_between_two_steps_and_the_run_goes_on(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    request = StopRequest()

    questions = []

    def interrupt_once() -> bool:
        questions.append(1)
        if len(questions) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return request()

    config = replace(SMALL, out=tmp_path)
    try:
        state = loop.train(config, interrupt_once)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert (state.step, state.is_finished) == (1, False)
    with pytest.raises(BadInputError, match="--resume auto"):
        loop.train(config)
    resumed = loop.train(replace(config, resume="auto"))
    assert (resumed.step, resumed.is_finished) == (4, True)


def test_evaluation_cut_short_by_a_stop_is_made_up_for_and_no_curve_loses_a_step(tmp_path: Path) -> None:
    evaluation = replace(SMALL.evaluation, data="synthetic", num_videos=2, every=2)
    config = replace(SMALL, out=tmp_path, log_every=1, evaluation=evaluation)
    answers = iter([False, False, False, True, True])  # before steps 1 and 2, then between the two videos
    assert loop.train(config, lambda: next(answers)).step == 2
    loop.train(replace(config, resume="auto"))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("evaluation/AP")] == [2, 4]
    assert [event.step for event in events.Scalars("loss/total")] == [1, 2, 3, 4]


def test_what_was_learned_before_a_broken_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_item = StepBatches.__getitem__

    def item(self: StepBatches, step: int) -> list[Batch]:
        if step == 2:
            raise BadInputError("frame.jpg: cannot be read")
        return whole_item(self, step)

    monkeypatch.setattr(StepBatches, "__getitem__", item)
    config = replace(SMALL, out=tmp_path)
    with pytest.raises(BadInputError, match=r"frame\.jpg"):
        loop.train(config)
    monkeypatch.undo()
    state = loop.train(replace(config, resume="auto", max_minutes=None))
    assert load(tmp_path / "checkpoint.pt")["counters"]["step"] == state.step == 4


def test_the_average_of_a_short_training_is_not_the_weights_it_started_from() -> None:
    average, new = [torch.zeros(1)], [torch.ones(1)]
    update = average_update(0.998)
    for count in range(1, 101):
        update(average, new, count)
    assert average[0].item() > 0.999  # a constant decay of 0.998 would have 0.18
    expected = 0.998 * average[0] + 0.002 * 5.0
    update(average, [torch.full((1,), 5.0)], 1_000_000)
    assert torch.allclose(average[0], expected)


def test_curves_and_pictures_reach_tensorboard(tmp_path: Path) -> None:
    evaluation = replace(SMALL.evaluation, data="synthetic", num_videos=2, every=3)
    loop.train(replace(SMALL, out=tmp_path, log_every=2, evaluation=evaluation))
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    tags = events.Tags()
    assert {"loss/total", "loss/dice", "training/learning_rate", "evaluation/AP"} <= set(tags["scalars"])
    assert [event.step for event in events.Scalars("loss/total")] == [1, 2, 4]
    assert [event.step for event in events.Scalars("evaluation/AP")] == [3, 4]
    assert tags["images"] == ["evaluation/prediction"]


def test_speed_counts_steps_and_not_what_lies_between_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path, num_steps=100, first_step=10, log_every=5)
    for step in range(11, 21):
        fine = StepReport({"total": 1.0}, trouble="")
        bad = StepReport({}, trouble="total")
        journal.record(step, bad if step == 18 else fine, 1e-4, 0, seconds=30.0 if step == 11 else 0.5)
    journal.close()
    first, fifteenth, skipped, last = capsys.readouterr().out.splitlines()
    assert first.startswith("step 11/100: ")
    assert "ETA" not in first
    assert "2.00 steps/s | ETA 0:00:42" in fifteenth
    assert skipped.startswith("step 18: skipped")
    assert "2.00 steps/s | ETA 0:00:40" in last


def test_the_average_is_what_is_kept(tmp_path: Path) -> None:
    state = loop.train(replace(SMALL, out=tmp_path, ema=0.5))
    kept = load_model(tmp_path / "model.safetensors").state_dict()
    assert state.average is not None
    assert all(torch.equal(tensor, kept[name]) for name, tensor in state.best_model.state_dict().items())
    assert not all(torch.equal(tensor, kept[name]) for name, tensor in state.model.state_dict().items())


def test_recomputed_activations_change_nothing(tmp_path: Path) -> None:
    engine, steps = make_engine(SMALL, tmp_path)
    plain = train_step(engine, steps[0]).losses
    engine, steps = make_engine(replace(SMALL, checkpointing=True), tmp_path)
    assert engine.state.model.encoder.checkpointing
    assert train_step(engine, steps[0]).losses == plain
