"""The ablation: four equal trainings but for what the row changes, and a table of mean and spread."""

import json
from pathlib import Path

import pytest

from mssts.cli import main
from mssts.tools.ablate import ROWS, row_config, table
from mssts.train.parse import parse_train_config

OPTIONS = ["--preset", "tiny", "--data", "synthetic", "--steps", "3", "--evaluation.data", "synthetic"]


def test_rows_differ_in_what_the_paper_adds_and_in_nothing_else() -> None:
    base = parse_train_config(OPTIONS)
    configs = {row: row_config(base, row, seed=4) for row in ROWS}
    switches = [
        (config.model.ms_sts.enabled, config.model.temporal_decoder.enabled, config.adversarial.enabled)
        for config in configs.values()
    ]
    assert switches == [(False, False, False), (True, False, False), (True, True, False), (True, True, True)]
    for config in configs.values():
        assert (config.steps, config.seed, config.clips, config.optim) == (3, 4, base.clips, base.optim)
        assert config.model.num_encoder_layers == base.model.num_encoder_layers


def test_table_has_mean_and_standard_deviation(tmp_path: Path) -> None:
    for seed, ap in ((0, 0.30), (1, 0.36)):
        folder = tmp_path / f"baseline-seed{seed}"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps({"AP": ap, "fast_motion": 0.2, "steps": 9, "minutes": 1.0}))
    lines = table(tmp_path).splitlines()
    assert lines[0] == "| model | seeds | AP | fast_motion |"
    # The standard deviation of 30 and 36 is 6 / sqrt(2).
    assert lines[2] == "| baseline | 2 | 33.0 ± 4.2 | 20.0 ± 0.0 |"


def test_an_undefined_number_has_no_part_in_the_mean(tmp_path: Path) -> None:
    """The evaluator's -1 stands for "nothing to find", not for an AP."""
    for seed, numbers in enumerate(({"AP": 0.4, "fast_motion": -1.0}, {"AP": -1.0, "fast_motion": -1.0})):
        folder = tmp_path / f"baseline-seed{seed}"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps(numbers))
    assert table(tmp_path).splitlines()[2] == "| baseline | 2 | 40.0 | – |"


def test_ablation_runs_and_does_nothing_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--clips.per_step", "1", "--clips.max_frames", "2", "--synthetic.height", "64", "--synthetic.width", "96"]
    more = ["--backbone_weights", "none", "--evaluation.num_videos", "2", "--workers", "0", "--threads", "1"]
    arguments = [*OPTIONS, *small, *more, "--out", str(tmp_path), "--accelerator", "cpu"]
    chosen = ["--rows", "baseline", "ms-sts+t-dec+fg-bg", "--seeds", "3"]
    assert main(["ablate", *chosen, *arguments]) == 0
    assert "| ms-sts+t-dec+fg-bg | 1 |" in capsys.readouterr().out
    assert main(["ablate", *chosen, *arguments]) == 0
    assert "training" not in capsys.readouterr().out
