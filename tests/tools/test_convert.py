"""Official weights: every key accounted for, and files that are not weights refused."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from official_names import as_deformable_detr, random_official
from torch import Tensor

from mssts.cli import main
from mssts.config import ModelConfig, preset
from mssts.errors import CheckpointError
from mssts.tools.convert_seqformer import convert, infer_config, read_official, rename_keys

SMALL: ModelConfig = replace(
    preset("baseline-r50"),
    backbone="resnet10t",
    hidden_dim=32,
    feedforward_dim=48,
    num_encoder_layers=2,
    num_decoder_layers=2,
    num_queries=6,
)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return random_official(SMALL)


def fingerprints(tensors: Mapping[str, Tensor]) -> set[bytes]:
    """The contents of tensors, whatever they are called; random ones differ."""
    return {tensor.numpy().tobytes() for tensor in tensors.values()}


def same_weights(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_every_official_tensor_reaches_the_model(state: dict[str, Tensor]) -> None:
    ours = convert(state, config=SMALL).model.state_dict()
    ours = {name: value for name, value in ours.items() if not name.endswith("num_batches_tracked")}
    halves = dict(zip(("position", "content"), state["detr.query_embed.weight"].chunk(2, dim=1), strict=True))
    used = {name: value for name, value in state.items() if "query_embed" not in name and "output_proj_box" not in name}
    used |= {name: value for name, value in state.items() if "cross_attn.output_proj_box" in name}
    assert fingerprints(ours) == fingerprints(used | halves)


def test_dropped_keys_are_named(state: dict[str, Tensor]) -> None:
    notices = convert(state, config=SMALL).notices
    for kind in (
        "detr.transformer.decoder.bbox_embed.0",
        "detr.transformer.encoder.layers.0.self_attn.output_proj_box",
    ):
        assert any(notice.startswith("dropped ") and kind in notice for notice in notices)
    assert len(notices) == 2


def test_unknown_key_is_refused_by_name(state: dict[str, Tensor]) -> None:
    for name in ("detr.transformer.surprise.weight", "detr.transformer.encoder.layers.7.norm1.weight"):
        with pytest.raises(CheckpointError, match=r"no rule knows") as caught:
            convert(state | {name: torch.zeros(32)}, config=SMALL)
        assert name.removeprefix("detr.transformer.").removesuffix("norm1.weight") in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "ours"),
    [
        ("detr.transformer.decoder.layers.1.norm1_box.weight", "decoder.layers.1.box_norm.weight"),
        ("controller.layers.0.bias", "controller.layers.0.bias"),
        ("detr.query_embed.weight", "decoder.query_content"),
        ("detr.backbone.0.body.layer4.0.conv1.weight", "backbone.net.layer4.0.conv1.weight"),
    ],
)
def test_missing_tensor_is_refused_by_name(state: dict[str, Tensor], missing: str, ours: str) -> None:
    with pytest.raises(CheckpointError, match="missing") as caught:
        convert({name: value for name, value in state.items() if name != missing}, config=SMALL)
    assert ours in str(caught.value)


def test_tensor_of_another_shape_is_refused_by_name(state: dict[str, Tensor]) -> None:
    name = "detr.transformer.level_embed"
    with pytest.raises(CheckpointError, match="level_embedding") as caught:
        convert(state | {name: torch.zeros(3, 32)}, config=SMALL)
    assert "\n" not in str(caught.value)


def test_public_ms_sts_keys_are_dropped_with_a_notice(state: dict[str, Tensor]) -> None:
    extras = {
        f"detr.transformer.decoder.layers.{layer}.temp_attn_box.{name}": torch.randn(96, 32)
        for layer in range(2)
        for name in ("qkv.weight", "qkv.bias", "proj.weight", "proj.bias")
    }
    plain, extended = convert(state, config=SMALL), convert(state | extras, config=SMALL)
    (notice,) = set(extended.notices) - set(plain.notices)
    assert "temp_attn_box" in notice
    assert "6 more" in notice
    assert same_weights(plain.model.state_dict(), extended.model.state_dict())


def test_prefix_of_parallel_training_is_taken_off(state: dict[str, Tensor]) -> None:
    prefixed = {f"module.{name}": value for name, value in state.items()}
    assert same_weights(*(convert(x, config=SMALL).model.state_dict() for x in (state, prefixed)))


def test_new_parts_start_fresh_with_a_notice(state: dict[str, Tensor]) -> None:
    contributions = {"ms_sts": preset("r50").ms_sts, "temporal_decoder": preset("r50").temporal_decoder}
    notices = convert(state, config=replace(SMALL, **contributions)).notices
    assert any("starts fresh" in notice and ".ms_sts." in notice for notice in notices)


def test_deformable_detr_starts_both_branches(state: dict[str, Tensor]) -> None:
    conversion = convert(as_deformable_detr(state), config=SMALL)
    ours = conversion.model.state_dict()
    layer = "detr.transformer.decoder.layers.1"
    official = {
        "attention.attention.in_proj_weight": "self_attn.in_proj_weight",
        "attention.norm.bias": "norm2.bias",
        "proj.weight": "cross_attn.output_proj.weight",
        "norm.weight": "norm1.weight",
        "feed_forward.linear2.weight": "linear2.weight",
        "feed_forward.norm.weight": "norm3.weight",
    }
    for suffix, name in official.items():
        for branch in ("instance", "box"):
            assert torch.equal(ours[f"decoder.layers.1.{branch}_{suffix}"], state[f"{layer}.{name}"])
    fresh = " ".join(notice for notice in conversion.notices if "starts fresh" in notice)
    assert all(part in fresh for part in ("controller.", "mask_feature_head.", "frame_weight."))


def test_sizes_are_read_off_the_tensors() -> None:
    config = replace(SMALL, backbone="resnet50.tv_in1k", num_queries=7, num_class_slots=9, num_points=2, num_levels=3)
    assert infer_config(rename_keys(random_official(config))[0]) == config


def swin_tiny_names() -> list[str]:
    """What a Swin detection backbone of depths 2, 2, 6, 2 is called in official files."""
    names = [f"patch_embed.{part}.{kind}" for part in ("proj", "norm") for kind in ("weight", "bias")]
    names += [f"norm{output}.{kind}" for output in (1, 2, 3) for kind in ("weight", "bias")]
    for stage, depth in enumerate((2, 2, 6, 2)):
        for block in range(depth):
            start = f"layers.{stage}.blocks.{block}"
            parts = ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
            names += [f"{start}.{part}.{kind}" for part in parts for kind in ("weight", "bias")]
            names += [f"{start}.attn.relative_position_bias_table", f"{start}.attn.relative_position_index"]
        if stage < 3:
            names += [f"layers.{stage}.downsample.{part}" for part in ("norm.weight", "norm.bias", "reduction.weight")]
    return [f"detr.backbone.0.body.{name}" for name in names]


def test_swin_names_are_those_of_the_backbone(swin_names: set[str]) -> None:
    """Patch merging stands at the end of a stage there and at the start of the next one here."""
    renamed, notices = rename_keys({name: torch.zeros(1) for name in swin_tiny_names()})
    assert set(renamed) == swin_names
    assert any("relative_position_index" in notice for notice in notices)
    numbered = {name: torch.tensor(index) for index, name in enumerate(swin_tiny_names())}
    renamed, _ = rename_keys(numbered)
    body = "detr.backbone.0.body"
    expected = {
        "backbone.net.layers_1.downsample.reduction.weight": f"{body}.layers.0.downsample.reduction.weight",
        "backbone.output_norms.2.bias": f"{body}.norm3.bias",
        "backbone.net.layers_2.blocks.5.attn.qkv.weight": f"{body}.layers.2.blocks.5.attn.qkv.weight",
    }
    for ours, official in expected.items():
        assert renamed[ours] == numbered[official]


@pytest.fixture
def swin_names() -> set[str]:
    from mssts.model.backbone import Backbone

    with torch.device("meta"):
        backbone = Backbone(replace(SMALL, backbone="swin_tiny_patch4_window7_224"))
    return {f"backbone.{name}" for name in backbone.state_dict() if "relative_position_index" not in name}


class Malicious:
    """Unpickling this calls a function, as a harmful checkpoint would."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.marker,)


def bad_file(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.pth"
    if kind == "malicious":
        torch.save({"model": {"weight": torch.zeros(2)}, "args": Malicious(folder / "marker")}, path)
    elif kind == "malicious_old_format":
        content = {"model": Malicious(folder / "marker")}
        torch.save(content, path, _use_new_zipfile_serialization=False)
    elif kind == "truncated":
        torch.save({"model": {"weight": torch.zeros(1000)}}, path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind in {"no_tensors", "empty_dict", "list", "array"}:
        contents = {"no_tensors": {"model": {"epoch": 3}}, "empty_dict": {}, "list": [torch.zeros(1)]}
        torch.save(contents.get(kind, np.zeros(3).tolist()), path)
    elif kind != "missing":
        path.write_bytes({"text": b"<html>404 Not Found</html>\n", "empty": b"", "binary": bytes(range(256)) * 9}[kind])
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "malicious",
        "malicious_old_format",
        "text",
        "binary",
        "empty",
        "truncated",
        "no_tensors",
        "empty_dict",
        "list",
        "array",
        "missing",
    ],
)
def test_bad_file_is_refused_in_one_line(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = bad_file(kind, tmp_path)
    with pytest.raises(CheckpointError) as caught:
        read_official(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert main(["convert", str(path), str(tmp_path / "out")]) == 6
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert str(path) in error
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "marker").exists()


def test_malicious_file_would_run_code_if_it_were_trusted(tmp_path: Path) -> None:
    """The test above can fail: the same file does create the marker when loaded carelessly."""
    torch.load(bad_file("malicious", tmp_path), weights_only=False)
    assert (tmp_path / "marker").exists()


def test_state_dict_is_found_at_the_top_or_under_model(tmp_path: Path) -> None:
    weights = {"weight": torch.arange(3.0)}
    for number, content in enumerate((weights, {"model": weights, "epoch": 3, "lr": [1e-4]})):
        torch.save(content, tmp_path / f"{number}.pth")
        assert torch.equal(read_official(tmp_path / f"{number}.pth")["weight"], weights["weight"])


def test_training_checkpoint_with_its_arguments_is_read(tmp_path: Path) -> None:
    """DETR's training scripts store their parsed command line beside the weights; it is plain values only."""
    content = {"model": {"weight": torch.ones(2)}, "optimizer": {"state": {}}, "args": Namespace(lr=2e-4, masks=True)}
    torch.save(content, tmp_path / "checkpoint.pth")
    assert read_official(tmp_path / "checkpoint.pth").keys() == {"weight"}
