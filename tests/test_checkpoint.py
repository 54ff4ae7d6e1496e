"""Model files: what is read is what was written, nothing half-written stays, damage is named."""

import errno
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mssts.checkpoint import FORMAT, load_model, save_model
from mssts.config import Category, ModelConfig, preset
from mssts.errors import CheckpointError, ResourceError
from mssts.model.vis import VisModel

CONFIG: ModelConfig = replace(
    preset("tiny"),
    backbone="resnet10t",
    hidden_dim=32,
    num_heads=2,
    feedforward_dim=32,
    num_encoder_layers=1,
    num_decoder_layers=1,
    num_queries=4,
    categories=(Category(1, 1, "person"), Category(2, 17, "dög")),
    ms_sts=replace(preset("tiny").ms_sts, num_heads=2, joint_levels=(1,), position="none"),
    temporal_decoder=replace(preset("tiny").temporal_decoder, num_heads=2),
)


@pytest.fixture(scope="module")
def model() -> VisModel:
    torch.manual_seed(0)
    return VisModel(CONFIG)


@pytest.fixture
def saved(model: VisModel, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def parts_of(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def test_roundtrip_is_bit_exact(model: VisModel, saved: Path) -> None:
    loaded = load_model(saved)
    expected = model.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    assert loaded.config == CONFIG
    assert not loaded.training
    assert saved.parent.joinpath("model.safetensors.part").exists() is False


def test_folder_stands_for_the_model_file_in_it(saved: Path) -> None:
    assert load_model(saved.parent).config == CONFIG


def test_half_precision_is_within_its_rounding(model: VisModel, saved: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.safetensors"
    save_model(model, half, half=True)
    assert half.stat().st_size < 0.6 * saved.stat().st_size
    loaded = load_model(half).state_dict()
    for name, value in model.state_dict().items():
        assert loaded[name].dtype == value.dtype
        if value.is_floating_point():
            assert torch.allclose(loaded[name], value, rtol=2**-11, atol=2**-24), name
        else:
            assert torch.equal(loaded[name], value)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file_whole(
    function: str, model: VisModel, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = saved.read_bytes()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(ResourceError, match="No space left on device") as caught:
        save_model(model, saved, half=True)
    assert str(saved) in str(caught.value)
    assert saved.read_bytes() == old
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_running_out_of_space_leaves_the_old_file_whole(model: VisModel, saved: Path) -> None:
    """A limit on the size of files stands for the full disk: the write breaks off in the middle."""
    resource = pytest.importorskip("resource", reason="no resource limits on this system")
    old = saved.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(old) // 2, limits[1]))
    try:
        with pytest.raises(ResourceError):
            save_model(model, saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == old
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_folder_that_cannot_be_made_is_named(model: VisModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match="file/model"):
        save_model(model, tmp_path / "file" / "model.safetensors")


@pytest.mark.parametrize("size", [0, 5, 100, -10])
def test_truncated_file_is_refused(saved: Path, size: int) -> None:
    saved.write_bytes(saved.read_bytes()[:size])
    refusal(saved)


def test_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    refusal(path)
    assert "no such checkpoint" in refusal(tmp_path / "absent.safetensors")


def test_foreign_safetensors_are_refused(saved: Path) -> None:
    tensors, metadata = parts_of(saved)
    for foreign in ({}, {"format": "pt"}, metadata | {"format": "mssts-0"}):
        save_file(tensors, saved, foreign)
        assert "not written by mssts" in refusal(saved)


@pytest.mark.parametrize("config", ["{broken", "[]", '{"hidden_dim": "wide"}', '{"hidden_dim": 1.5}', None])
def test_broken_configuration_is_refused(saved: Path, config: str | None) -> None:
    tensors, _ = parts_of(saved)
    save_file(tensors, saved, {"format": FORMAT} | ({} if config is None else {"config": config}))
    refusal(saved)


@pytest.mark.parametrize("change", [{"backbone": "resnet_of_dreams"}, {"num_heads": 3}, {"hidden_dim": 40}])
def test_configuration_that_builds_no_model_is_refused(saved: Path, change: dict[str, Any]) -> None:
    tensors, metadata = parts_of(saved)
    save_file(tensors, saved, metadata | {"config": json.dumps(asdict(CONFIG) | change)})
    refusal(saved)


def test_weights_that_do_not_fit_the_configuration_are_refused(saved: Path) -> None:
    tensors, metadata = parts_of(saved)
    save_file(tensors, saved, metadata | {"config": json.dumps(asdict(replace(CONFIG, num_queries=5)))})
    assert "query_position" in refusal(saved)
    del tensors["level_embedding"]
    save_file(tensors, saved, metadata)
    assert "level_embedding" in refusal(saved)


def test_file_has_the_permissions_of_any_new_file(saved: Path) -> None:
    plain = saved.with_name("plain")
    plain.touch()
    assert saved.stat().st_mode == plain.stat().st_mode
