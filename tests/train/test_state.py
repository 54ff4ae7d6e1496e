"""The state on disk: refused when it does not fit, kept when a save fails."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training import SMALL, load, make_engine

from mssts.errors import CheckpointError, ResourceError
from mssts.train.state import restore_state, save_state


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut"])
def test_damaged_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt") as refusal:
        make_engine(replace(SMALL, resume="auto"), tmp_path)
    assert "\n" not in str(refusal.value)


def test_checkpoint_of_another_training_is_refused_by_the_settings_name(tmp_path: Path) -> None:
    engine, _ = make_engine(SMALL, tmp_path)
    path = tmp_path / "checkpoint.pt"
    save_state(engine.state, SMALL, path)
    restore_state(engine.state, replace(SMALL, save_minutes=1.0, workers=3), path)
    other = replace(SMALL, optim=replace(SMALL.optim, learning_rate=1.0))
    with pytest.raises(CheckpointError, match=r"optim\.learning_rate 0\.001, this run has 1\.0"):
        restore_state(engine.state, other, path)


def test_setting_that_is_newer_than_the_checkpoint_had_its_default(tmp_path: Path) -> None:
    engine, _ = make_engine(SMALL, tmp_path)
    path = tmp_path / "checkpoint.pt"
    save_state(engine.state, SMALL, path)
    content = load(path)
    del content["config"]["model"]["ms_sts"]["key_pooling"]
    torch.save(content, path)
    restore_state(engine.state, SMALL, path)
    assert SMALL.model.ms_sts is not None
    pooled = replace(SMALL.model, ms_sts=replace(SMALL.model.ms_sts, key_pooling=2))
    with pytest.raises(CheckpointError, match=r"model\.ms_sts\.key_pooling 1, this run has 2"):
        restore_state(engine.state, replace(SMALL, model=pooled), path)


def test_checkpoint_of_more_or_less_data_is_refused(tmp_path: Path) -> None:
    """Their clips would come in another order; what older files do not tell is not held against them."""
    engine, _ = make_engine(SMALL, tmp_path)
    engine.state.num_items = 7
    path = tmp_path / "checkpoint.pt"
    save_state(engine.state, engine.config, path)
    restore_state(engine.state, engine.config, path)
    engine.state.num_items = 8
    with pytest.raises(CheckpointError, match="was trained on 7 items, the data now have 8"):
        restore_state(engine.state, engine.config, path)
    content = load(path)
    del content["num_items"]
    torch.save(content, path)
    restore_state(engine.state, engine.config, path)


def test_checkpoint_of_other_classes_is_refused(tmp_path: Path) -> None:
    engine, _ = make_engine(SMALL, tmp_path)
    path = tmp_path / "checkpoint.pt"
    save_state(engine.state, SMALL, path)
    model = engine.state.model
    first, *others = model.config.categories
    model.config = replace(model.config, categories=(first._replace(name="zebra"), *others))
    with pytest.raises(CheckpointError, match=rf"categories\.{first.slot} {first.name} .*this run has zebra"):
        restore_state(engine.state, SMALL, path)


def test_failed_save_keeps_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = make_engine(SMALL, tmp_path)
    path = tmp_path / "checkpoint.pt"
    save_state(engine.state, SMALL, path)
    old = path.read_bytes()

    def disk_is_full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_is_full)
    with pytest.raises(ResourceError, match="No space left"):
        save_state(engine.state, SMALL, path)
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_nothing_to_resume_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine, _ = make_engine(replace(SMALL, resume="auto"), tmp_path)
    assert f"{tmp_path / 'checkpoint.pt'}: no checkpoint" in "".join(capsys.readouterr())
    save_state(engine.state, engine.config, tmp_path / "checkpoint.pt")
    make_engine(replace(SMALL, resume="auto"), tmp_path)
    assert "no checkpoint" not in "".join(capsys.readouterr())
