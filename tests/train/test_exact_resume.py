"""A run that is killed, at random steps and inside a save, ends with the bits of a run that was not."""

import random
import signal
from pathlib import Path

import pytest
from training import differences, load, run_script, write_script, write_yaml

NUM_STEPS = 9
KILL_AT_STEP = """
import os, signal
import mssts.train.loop as loop
whole_step = loop.train_step
def deadly_step(engine, batches, *others):
    report = whole_step(engine, batches, *others)
    if engine.state.step == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return report
loop.train_step = deadly_step
"""
# The second save after the start: the first part of the file is on disk, its final name is still the old one's.
KILL_IN_SAVE = """
import os, signal
calls = []
def deadly_fsync(descriptor):
    calls.append(descriptor)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = deadly_fsync
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint after every step, an adversary, an average and dropout: all that has a state."""
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    model = {"dropout": 0.1}
    write_yaml(path, steps=NUM_STEPS, save_minutes=0.0, ema=0.9)
    path.write_text(path.read_text().replace("model:\n", f"model:\n  dropout: {model['dropout']}\n"))
    return path


@pytest.fixture(scope="module")
def uninterrupted(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    script = write_script(out.parent / "whole.py")
    done = run_script(script, "--config", config, "--out", out)
    assert done.returncode == 0, done.stderr
    return out / "checkpoint.pt"


def test_killed_at_five_random_steps_and_inside_a_save(config: Path, uninterrupted: Path, tmp_path: Path) -> None:
    steps = sorted(random.Random(5).sample(range(1, NUM_STEPS), 5))
    preludes = [KILL_AT_STEP.format(step=step) for step in steps]
    preludes.insert(2, KILL_IN_SAVE)
    out = tmp_path / "run"
    arguments = ("--config", config, "--out", out, "--resume", "auto")
    for prelude in preludes:
        script = write_script(tmp_path / "killed.py", prelude)
        killed = run_script(script, *arguments)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = run_script(write_script(tmp_path / "resumed.py"), *arguments)
    assert done.returncode == 0, done.stderr
    assert "resumed after step" in done.stdout
    whole, resumed = load(uninterrupted), load(out / "checkpoint.pt")
    assert whole.keys() >= {"model", "optimizer", "discriminator", "discriminator_optimizer", "average", "counters"}
    assert whole["counters"]["step"] == NUM_STEPS
    assert differences(whole, resumed) == []


def test_the_comparison_sees_a_single_bit(uninterrupted: Path) -> None:
    whole, other = load(uninterrupted), load(uninterrupted)
    name = next(name for name, tensor in other["discriminator"].items() if tensor.is_floating_point())
    other["discriminator"][name].view(-1)[0] += 1e-7
    assert differences(whole, other) == [f".discriminator.{name}"]
