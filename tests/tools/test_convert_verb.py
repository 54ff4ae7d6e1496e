"""The verb `convert`, from an official file to a model that loads, and what it says on the way."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from official_names import random_official

import mssts
from mssts.checkpoint import load_model
from mssts.cli import main
from mssts.config import preset

SMALL = replace(
    preset("baseline-r50"),
    hidden_dim=32,
    feedforward_dim=48,
    num_encoder_layers=1,
    num_decoder_layers=1,
    num_queries=6,
)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("official") / "official.pth"
    torch.save({"model": random_official(SMALL), "epoch": 11}, path)
    return path


def test_converted_model_loads_with_the_named_classes(official, tmp_path, capsys):
    assert main(["convert", str(official), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "YouTube-VIS 2019 assumed" in printed
    assert "dropped " in printed
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model.safetensors"]
    model = load_model(tmp_path / "out")
    assert [category.slot for category in model.config.categories] == list(range(1, 41))
    assert all(category.slot == category.id for category in model.config.categories)
    assert replace(model.config, categories=()) == SMALL
    names = mssts.load(tmp_path / "out", "cpu").names
    # The official files count classes from 1; slot 0 and slot 41 mean nothing.
    assert (names[1], names[0], names[41]) == ("person", "class 0", "class 41")


def test_preset_adds_parts_that_change_nothing_yet(official, tmp_path, capsys):
    classes = tmp_path / "classes.json"
    classes.write_text(json.dumps({"categories": [{"id": 5, "name": "boat"}]}))
    arguments = ["convert", str(official), str(tmp_path / "full"), "--preset", "r50", "--categories", str(classes)]
    assert main(arguments) == 0
    assert main(["convert", str(official), str(tmp_path / "base"), "--categories", "ytvis2021"]) == 0
    assert "assumed" not in capsys.readouterr().out
    full, base = load_model(tmp_path / "full"), load_model(tmp_path / "base")
    assert [tuple(category) for category in full.config.categories] == [(5, 5, "boat")]
    assert full.config.ms_sts.enabled
    assert full.config.temporal_decoder.enabled
    clip = torch.randn(1, 2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(full(clip).class_logits, base(clip).class_logits)


@pytest.mark.parametrize(
    ("option", "content", "fault"),
    [
        ("--preset", None, "no preset 'huge'"),
        ("--categories", None, "cannot be read"),
        ("--categories", "{}", "no list of categories"),
        ("--categories", "[1", "no list of categories"),
        ("--categories", '{"categories": [{"id": 42, "name": "x"}]}', "ids [42] do not fit 42 class slots"),
    ],
)
def test_options_that_make_no_sense_are_3(official, tmp_path, capsys, option, content, fault):
    value = "huge"
    if content:
        value = str(tmp_path / "classes.json")
        Path(value).write_text(content)
    assert main(["convert", str(official), str(tmp_path / "out"), option, value]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert fault in line
    assert not (tmp_path / "out").exists()
