"""What the command line and YAML files become: presets, files, overrides, and one line for each mistake."""

import subprocess
import sys
from itertools import permutations
from pathlib import Path

import pytest

from mssts.config import preset
from mssts.errors import BadInputError, UsageError
from mssts.train.parse import parse_train_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def test_options_win_over_the_file_which_wins_over_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("preset: tiny\ndata: [one]\nsteps: 7\nmodel: {num_queries: 33, ms_sts: {num_heads: 2}}\n")
    config = parse_train_config(["--config", str(path), "--model.num_queries", "44", "--num-nodes", "3"])
    assert (config.steps, config.num_nodes, config.data) == (7, 3, ("one",))
    assert (config.model.num_queries, config.model.ms_sts.num_heads) == (44, 2)
    assert config.model.hidden_dim == preset("tiny").hidden_dim
    assert config.model.ms_sts.mlp_ratio == preset("tiny").ms_sts.mlp_ratio


def test_several_data_folders_are_joined() -> None:
    config = parse_train_config(["--data", "a", "--steps", "3", "--data=b c"])
    assert config.data == ("a", "b c")
    assert config.model == preset("r50")


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_files_come_before_options_in_whatever_order_they_are_given(tmp_path: Path, order: tuple[int, ...]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("preset: r101\ndata: [one]\nepochs: 7\noptim: {epsilon: 1e-7}\n")
    options = [["--config", str(path)], ["--preset=tiny"], ["--steps", "3"], ["--optim.epsilon", "1e-6"]]
    config = parse_train_config([word for i in order for word in options[i]])
    assert (config.preset, config.model, config.optim.epsilon) == ("tiny", preset("tiny"), 1e-6)
    assert (config.steps, config.epochs, config.data) == (3, None, ("one",))


def test_of_two_files_the_later_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("preset: tiny\ndata: [one]\nsteps: 7\nseed: 4\n")
    second.write_text("preset: r101\nsteps: 9\n")
    config = parse_train_config([f"--config={first}", "--workers", "2", "--config", str(second)])
    assert (config.preset, config.model, config.steps, config.seed) == ("r101", preset("r101"), 9, 4)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_in_the_repository_can_be_read(path: Path) -> None:
    config = parse_train_config(["--config", str(path)])
    assert config.model.backbone == preset(config.preset).backbone
    assert str(config.out) == f"runs/{path.stem}"


def test_printed_configuration_is_complete_and_can_be_read_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--preset", "tiny", "--data", "a", "--steps", "3", "--optim.learning_rate", "0.5"]
    with pytest.raises(SystemExit) as done:
        parse_train_config([*arguments, "--print_config"])
    assert done.value.code in (0, None)
    path = tmp_path / "printed.yaml"
    path.write_text(capsys.readouterr().out)
    assert parse_train_config(["--config", str(path)]) == parse_train_config(arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--steps", "3"], "--data"),
        (["--data", "a"], "--epochs or --steps"),
        (["--data", "a", "--steps", "many"], "steps"),
        (["--data", "a", "--steps", "3", "--model.heads", "2"], "heads"),
        (["--data", "a", "--steps", "3", "--model.num_heads", "7"], "7 heads"),
        (["--data", "a", "--steps", "3", "--precision", "8"], "precision"),
        (["--data", "a", "--steps", "3", "--clips.per_step", "0"], "per_step"),
        (["--data", "a", "--steps", "3", "--clips.frames_per_step", "0"], "frames_per_step"),
        (["--data", "a", "--steps", "3", "--clips.frames_per_step", "1" + "0" * 9], "frames_per_step"),
        (["--data", "a", "--steps", "3", "--workers", "1000"], "workers is 1000"),
        (["--data", "a", "--steps", "3", "--synthetic.height", "31"], "synthetic.height is 31"),
        (["--data", "a", "--steps", "0"], "steps is 0"),
        (["--data", "a", "--steps=-3"], "steps is -3"),
        (["--data", "a", "--epochs", "0"], "epochs is 0"),
        (["--data", "a", "--steps", "3", "--evaluation.every", "0"], "evaluation.every"),
        (["--data", "a", "--steps", "3", "--evaluation.num_videos", "0"], "evaluation.num_videos"),
        (["--data", "a", "--steps", "3", "--model.dropout", "1.0"], "dropout"),
        (["--data", "a", "--steps", "3", "--ema", "1.5"], "ema"),
        (["--data", "a", "--steps", "3", "--optim.milestones", "[4]"], "inside the training, which is 1 as a share"),
        (
            ["--data", "a", "--epochs", "3", "--optim.milestones", "[4]"],
            "inside the training, which is 3 epochs; --optim.milestones null",
        ),
        (["--data", "a", "--steps", "3", "--optim.betas", "[2,3]"], "optim.betas is (2.0, 3.0)"),
        (["--data", "a", "--steps", "3", "--adversarial.betas", "[2,3]"], "adversarial.betas"),
        (["--data", "a", "--steps", "3", "--accelerator", "tpu"], "accelerator: 'tpu' is not one of 'auto', 'cpu'"),
        (["--data", "a", "--steps", "3", "--model.hidden_dim", "104"], "multiple of 32"),
        (["--data", "a", "--steps", "3", "--seed", "9" * 30], "must be at most"),
        (["--data", "a", "--steps", "3", "--criterion.match_costs.box=-1"], "match_costs.box is -1.0"),
        (["--data", "a", "--steps", "3", "--criterion.ce", "nan"], "criterion.ce"),
        (["--data", "a", "--steps", "3", "--clips.min_frames", "0"], "min_frames is 0"),
        (["--data", "a", "--steps", "3", "--model.num_quer", "3"], "did you mean model.num_queries"),
        (["--data", "a", "--steps", "3", "--evaluation.mode", "a b"], "evaluation.mode: 'a b' is not one of"),
        (["--data", "a", "--steps", "3", "--optim.learning_rate", "1e300"], "learning_rate is 1e+300"),
        (["--data", "a", "--steps", "3", "--optim.weight_decay", ".inf"], "weight_decay"),
        (["--steps", "--data", "a"], "--steps: expected one argument"),
    ],
)
def test_usage_error_is_one_line(arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        parse_train_config(arguments)
    assert refusal.value.code == 2
    complaint = capsys.readouterr().err
    assert named in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("a: [", "cannot be read"),
        ("- 1\n- 2", "a mapping"),
        ("preset: r9000", "r9000"),
        ("data: [a]\nsteps: many", "steps: 'many' is not of type int or null"),
        ("data: [a]\nsteps: 3\noptim: {learnin_rate: 1.0}", "learnin_rate.*did you mean optim.learning_rate"),
        ("data: [a]\nsteps: 3\nout: null", "out is empty"),
        ("data: [a]\nsteps: 3\ninit: ''", "init is empty"),
        ("data: [a]\nsteps: 3\noptim: null", "optim is a section"),
        ("data: [a]\nsteps: 3\nmodel: {ms_sts: null}", "model.ms_sts is a section"),
        ("data: [a]\nsteps: 3\nsteps: 4", "steps is given twice, again in line 3"),
        ("data: [a]\nsteps: 3\nconfig: b.yaml", "cannot name another"),
        ("data: a\nsteps: 3", "data: 'a' is not of type list"),
        # Not of a wrong type, but against a rule; the file is named also for this, as the options are not to blame.
        ("data: [a]\nsteps: 3\nema: 2", "ema is 2"),
        ("ema: 2", "ema is 2"),
        ("data: [a]\nsteps: 3\nepochs: 2", "either --epochs or --steps"),
        ("data: [a]\nsteps: 3\nmodel: {hidden_dim: 104}", "multiple of 32"),
        ("data: [a]\nsteps: 3\nprecision: 8", "precision"),
        ("data: [a]\nsteps: 3\noptim: 3", "optim is a section"),
        ("data: [a]\nsteps: 3\noptim: &a {x: *a}", "holds itself"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply|cannot be read"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    given = ["--data", "a", "--steps", "3"] if content == "ema: 2" else []
    with pytest.raises(BadInputError, match=f"bad.yaml: .*{fault}"):
        parse_train_config(["--config", str(path), *given])


def test_a_rule_that_the_options_break_is_not_blamed_on_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "good.yaml"
    path.write_text("data: [a]\nepochs: 12\noptim: {milestones: [4, 10]}")
    for options in (["--epochs", "6"], ["--ema", "2"]):
        with pytest.raises(SystemExit) as refusal:
            parse_train_config(["--config", str(path), *options])
        assert refusal.value.code == 2
        assert "good.yaml" not in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--data", "--out", "--init", "--config"])
def test_an_empty_value_is_a_usage_error(option: str) -> None:
    for arguments in ([option, ""], [f"{option}="]):
        with pytest.raises(UsageError, match=f"{option} is given nothing"):
            parse_train_config(["--steps", "3", *arguments])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"missing\.yaml"):
        parse_train_config(["--config", str(tmp_path / "missing.yaml")])


def test_a_length_given_on_the_command_line_replaces_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text("data: [a]\nepochs: 12")
    config = parse_train_config(["--config", str(path), "--steps", "3"])
    assert (config.epochs, config.steps) == (None, 3)
    path.write_text("data: [a]\nsteps: 12")
    config = parse_train_config(["--config", str(path), "--epochs=3"])
    assert (config.epochs, config.steps) == (3.0, None)


def test_an_unknown_preset_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"r9000.*r50"):
        parse_train_config(["--data", "a", "--steps", "3", "--preset", "r9000"])


def test_parsing_imports_nothing_slow() -> None:
    code = (
        "import sys; from mssts.train.parse import parse_train_config; "
        "parse_train_config(['--data', 'a', '--steps', '3']); "
        "print([name for name in ('torch', 'torchvision', 'timm', 'numba', 'scipy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_help_explains_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_train_config(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--clips.per_step PER_STEP Clips that one optimizer step sees" in text
    assert "<class" not in text
    assert "--optim CONFIG" not in text
    # What everybody sets comes before what hardly anybody does.
    assert text.index("--data") < text.index("--steps") < text.index("--optim.betas") < text.index("--model.dropout")
