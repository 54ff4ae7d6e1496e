"""Tables of `mssts benchmark`, from real processes on clips that take no time."""

import json
from pathlib import Path

import pytest

from mssts.cli import main


def test_every_combination_has_its_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "b.json"
    options = ["--preset", "baseline-tiny", "--size", "64x96", "96x64", "--precision", "fp32", "bf16"]
    assert main(["benchmark", *options, "--frames", "2", "--repeat", "1", "--device", "cpu", "--json", str(path)]) == 0
    measured = json.loads(path.read_text())
    asked = [([64, 96], "fp32"), ([64, 96], "bf16"), ([96, 64], "fp32"), ([96, 64], "bf16")]
    assert [(facts["size"], facts["precision"]) for facts in measured] == asked
    head, *rows, _ = capsys.readouterr().out.splitlines()
    assert len(rows) == 4
    for row, facts in zip(rows, measured, strict=True):
        cells = dict(zip(("preset", "size", "frames", "numbers"), row.split(), strict=False))
        assert cells["size"] == f"{facts['size'][0]}x{facts['size'][1]}"
        assert cells["numbers"] == facts["precision"]
        assert len(row) == len(head)
    assert measured[0]["gflop"] == measured[1]["gflop"]


def test_a_table_of_training_steps_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--frames", "2", "3"], ["--precision", "bf16"], ["--compile"]):
        assert main(["benchmark", "--train", "--preset", "baseline-tiny", *options]) == 2
        assert "--train takes one preset" in capsys.readouterr().err


def test_unknown_preset_among_known_ones_is_told_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "--preset", "tiny", "r5000"]) == 3
    assert "no preset 'r5000'" in capsys.readouterr().err
