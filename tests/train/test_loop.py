"""The training loop on a model small enough for a test: it learns, resumes exactly, skips what is not finite."""

import math
import os
import signal
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from mssts.checkpoint import load_model
from mssts.config import ModelConfig, MsStsConfig, TemporalDecoderConfig
from mssts.data.synthetic import CATEGORIES
from mssts.errors import BadInputError, CheckpointError, MsstsError, ResourceError
from mssts.loss.criterion import Criterion
from mssts.train import loop
from mssts.train.checkpoint import TrainState, restore_state, save_state
from mssts.train.optim import learning_rate, make_optimizer
from mssts.train.settings import ClipSettings, TrainSettings
from mssts.train.synthetic_clips import make_batch

SMALL_MODEL = ModelConfig(
    backbone="mobilenetv4_conv_small",
    freeze_batch_norm=False,
    hidden_dim=32,
    num_heads=2,
    feedforward_dim=64,
    num_encoder_layers=1,
    num_decoder_layers=2,
    num_queries=8,
    num_class_slots=8,
    categories=CATEGORIES,
    ms_sts=MsStsConfig(num_heads=2, mlp_ratio=1.0, joint_levels=(2,)),
    temporal_decoder=TemporalDecoderConfig(num_heads=2),
)
CLIPS = ClipSettings(height=64, width=96, min_frames=2, max_frames=2, frames_per_batch=2, difficulty=0.0)
SETTINGS = TrainSettings(steps=4, threads=1, warmup_steps=2, clips=CLIPS)


@pytest.fixture(autouse=True)
def _one_evaluation_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mssts.train.quick_evaluation.NUM_CLIPS", 1)


def _new_state(settings: TrainSettings) -> TrainState:
    torch.manual_seed(settings.seed)
    model = loop.VisModel(SMALL_MODEL).train()
    return TrainState(model, make_optimizer(model, settings))


def _poison(state: TrainState) -> None:
    with torch.no_grad():
        dict(state.model.named_parameters())["controller.layers.2.weight"].fill_(math.nan)


def test_thirty_steps_on_one_clip_lower_the_loss() -> None:
    state, batch = _new_state(SETTINGS), make_batch(0, CLIPS, difficulty=0.0)
    assert len(batch.targets[0].labels) > 0
    totals = [
        float(loop.train_step(state, SETTINGS, Criterion(), batch, rate=1e-3)[0].total.detach()) for _ in range(30)
    ]
    assert sum(totals[-3:]) < 0.7 * sum(totals[:3])


def test_resumed_run_equals_an_uninterrupted_one_bitwise(tmp_path: Path) -> None:
    config = replace(SMALL_MODEL, dropout=0.1)
    whole = loop.train(SETTINGS, config, tmp_path / "whole")
    loop.train(SETTINGS, config, tmp_path / "parts", should_stop=lambda step: step == 2)
    torch.rand(5)
    resumed = loop.train(SETTINGS, config, tmp_path / "parts", resume=True)
    assert (whole.step, resumed.step) == (4, 4)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    stored = load_model(tmp_path / "parts" / "model.safetensors")
    assert all(torch.equal(tensor, stored.state_dict()[name]) for name, tensor in whole.model.state_dict().items())
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["checkpoint.pt", "model.safetensors"]


def test_interrupt_is_granted_between_two_steps(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    request = loop.StopRequest()

    def interrupt_once(step: int) -> bool:
        if step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return request(step)

    try:
        state = loop.train(SETTINGS, SMALL_MODEL, tmp_path, should_stop=interrupt_once)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert state.step == 1
    assert (tmp_path / "checkpoint.pt").is_file()


def test_non_finite_loss_changes_no_weight_and_is_named() -> None:
    state, batch = _new_state(SETTINGS), make_batch(0, CLIPS, difficulty=0.0)
    _poison(state)
    before = {name: parameter.clone() for name, parameter in state.model.named_parameters()}
    _, trouble = loop.train_step(state, SETTINGS, Criterion(), batch, rate=1e-3)
    assert trouble.split(", ") == ["loss_mask_0", "loss_mask", "loss_dice_0", "loss_dice"]
    unchanged = [torch.equal(p.nan_to_num(), before[name].nan_to_num()) for name, p in state.model.named_parameters()]
    assert all(unchanged)
    assert state.step == 1


def test_ten_bad_steps_in_a_row_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare_badly(settings: TrainSettings, *_: object) -> TrainState:
        state = _new_state(settings)
        _poison(state)
        return state

    monkeypatch.setattr(loop, "prepare", prepare_badly)
    with pytest.raises(MsstsError, match="diverged, 10 steps in a row"):
        loop.train(replace(SETTINGS, steps=30), SMALL_MODEL, tmp_path)
    assert capsys.readouterr().out.count("skipped") == 10
    assert not (tmp_path / "checkpoint.pt").exists()


def test_folder_with_a_training_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"precious")
    with pytest.raises(BadInputError, match="--resume"):
        loop.prepare(SETTINGS, SMALL_MODEL, tmp_path, resume=False)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut"])
def test_damaged_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt") as refusal:
        loop.prepare(SETTINGS, SMALL_MODEL, tmp_path, resume=True)
    assert "\n" not in str(refusal.value)


def test_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    state, path = _new_state(SETTINGS), tmp_path / "checkpoint.pt"
    save_state(state, SETTINGS, path)
    restore_state(state, replace(SETTINGS, steps=9, save_minutes=1.0), path)
    with pytest.raises(CheckpointError, match="learning_rate"):
        restore_state(state, replace(SETTINGS, learning_rate=1.0), path)


def test_failed_save_keeps_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, path = _new_state(SETTINGS), tmp_path / "checkpoint.pt"
    save_state(state, SETTINGS, path)
    old = path.read_bytes()

    def disk_is_full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_is_full)
    with pytest.raises(ResourceError, match="No space left"):
        save_state(state, SETTINGS, path)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_learning_rate_warms_up_then_falls() -> None:
    settings = replace(SETTINGS, steps=1000, warmup_steps=100, learning_rate=1.0, final_factor=0.02)
    rates = [learning_rate(settings, step, settings.progress(step, 0.0)) for step in range(1001)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(rates[99], rel=0.01)
    assert all(later <= earlier for earlier, later in pairwise(rates[100:]))
    assert rates[-1] == pytest.approx(0.02)


def test_sampling_offsets_and_reference_points_learn_slowly() -> None:
    state = _new_state(SETTINGS)
    slow = {id(parameter) for parameter in state.optimizer.param_groups[1]["params"]}
    for name, parameter in state.model.named_parameters():
        assert (id(parameter) in slow) == ("sampling_offsets" in name or "first_reference" in name), name
    assert state.optimizer.param_groups[1]["factor"] == pytest.approx(0.1)
