"""Two processes equal one: the same losses and weights, however unevenly the instances lie; and none waits for ever."""

import time
from pathlib import Path

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training import load, run_script, write_script, write_yaml

# The clips of every second position lose their instances: with two ranks and two clips a step, rank 1 has none at all.
EMPTY_SECOND_RANK = """
import mssts.train.loader as loader
whole_sample = loader.StepBatches._sample
def sample(self, position, num_frames, progress):
    clip = whole_sample(self, position, num_frames, progress)
    kept = clip.targets.labels[:0] if position % 2 else clip.targets.labels
    count = len(kept)
    targets = type(clip.targets)(*(part[:count] for part in clip.targets))
    return clip._replace(targets=targets)
loader.StepBatches._sample = sample
"""
DIE_ON_RANK_1 = """
import os, signal
import mssts.train.loop as loop
whole_step = loop.train_step
def deadly_step(engine, batches, *others):
    if engine.fabric.global_rank == 1 and engine.state.step == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole_step(engine, batches, *others)
loop.train_step = deadly_step
"""
BREAK_A_FRAME_OF_RANK_1 = """
import mssts.train.loader as loader
from mssts.errors import BadInputError
whole_step = loader.StepBatches.__getitem__
def broken_step(self, step):
    if step == 2 and self.rank == 1:
        raise BadInputError("frame.jpg: broken")
    return whole_step(self, step)
loader.StepBatches.__getitem__ = broken_step
"""

BREAK_THE_EVALUATION = """
import mssts.train.evaluation as evaluation
from mssts.errors import BadInputError
def broken(self, *others):
    raise BadInputError("frame.jpg: broken")
evaluation.Evaluator.__call__ = broken
"""


def totals(out: Path) -> list[float]:
    """The total loss of every step, as TensorBoard has it."""
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    return [event.value for event in events.Scalars("loss/total")]


@pytest.mark.parametrize(
    ("prelude", "clips"),
    [("", {}), (EMPTY_SECOND_RANK, {}), ("", {"per_step": 3, "per_batch": 2})],
    ids=["uneven", "empty rank", "two clips and one"],
)
def test_two_processes_equal_one(tmp_path: Path, prelude: str, clips: dict[str, int]) -> None:
    # What only rounding tells apart must not be blown up: not by AdamW, which makes a full step of a gradient of 1e-9
    # (hence epsilon), and not by a GroupNorm over the two pixels of a very coarse level (hence sizes and levels).
    optim = {"learning_rate": 0.001, "clip_norm": 1.0, "schedule": "cosine", "epsilon": 0.1}
    config = write_yaml(tmp_path / "small.yaml", steps=3, optim=optim, synthetic={"height": 128, "width": 192})
    settings = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(settings | {"clips": settings["clips"] | clips}))
    config.write_text(config.read_text().replace("model:\n", "model:\n  num_levels: 3\n").replace("- 2\n", "- 1\n"))
    script = write_script(tmp_path / "train.py", prelude)
    for ranks in (1, 2):
        done = run_script(script, "--config", config, "--out", tmp_path / str(ranks), "--devices", ranks)
        assert done.returncode == 0, done.stderr
    assert len(totals(tmp_path / "1")) == 3
    assert totals(tmp_path / "1") == pytest.approx(totals(tmp_path / "2"), rel=1e-6)
    one, two = (load(tmp_path / str(ranks) / "checkpoint.pt") for ranks in (1, 2))
    for part in ("model", "discriminator"):
        for name, tensor in one[part].items():
            assert (tensor - two[part][name]).abs().max() <= 1e-6, name


def test_a_dead_rank_ends_the_other(tmp_path: Path) -> None:
    config = write_yaml(tmp_path / "small.yaml", steps=50)
    script = write_script(tmp_path / "train.py", DIE_ON_RANK_1)
    start = time.monotonic()
    done = run_script(script, "--config", config, "--out", tmp_path / "run", "--devices", 2)
    assert done.returncode != 0
    assert time.monotonic() - start < 120


@pytest.mark.parametrize("prelude", [BREAK_A_FRAME_OF_RANK_1, BREAK_THE_EVALUATION], ids=["frame", "evaluation"])
def test_what_breaks_on_one_rank_is_told_and_nothing_is_lost(prelude: str, tmp_path: Path) -> None:
    """Both end in one line each; the step before is in the checkpoint though no save was due."""
    evaluation = {"data": "synthetic", "every": 2, "num_videos": 1} if prelude == BREAK_THE_EVALUATION else {}
    config = write_yaml(tmp_path / "small.yaml", steps=50, save_minutes=60.0, evaluation=evaluation)
    script = write_script(tmp_path / "train.py", prelude)
    done = run_script(script, "--config", config, "--out", tmp_path / "run", "--devices", 2)
    assert done.returncode != 0
    assert "frame.jpg: broken" in done.stderr
    assert "another process of this training failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert load(tmp_path / "run" / "checkpoint.pt")["counters"]["step"] == 2
