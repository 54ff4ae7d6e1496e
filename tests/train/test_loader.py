"""Which clips a step sees: all of an epoch once, the same for any number of ranks, the same after a restart."""

import gc
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training import SMALL

from mssts.config import Category
from mssts.data.batch import Batch, Sample, collate
from mssts.errors import BadInputError
from mssts.train.config import ClipConfig, TrainConfig
from mssts.train.loader import StepBatches, load_in_background, num_steps
from mssts.types import Targets


class Numbers:
    """A source whose clips carry the number of their item as their colour."""

    categories = (Category(0, 1, "thing"),)

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def sample(self, index: int, num_frames: int, random: np.random.Generator, progress: float) -> Sample:
        targets = Targets(
            torch.zeros(0, dtype=torch.long), torch.zeros(0, num_frames, 4), torch.zeros(0, num_frames, 32, 32).bool()
        )
        frames = torch.full((num_frames, 3, 32, 32), float(index))
        frames[:, 1] = float(random.random())
        return Sample(frames, targets)


def config(epochs: float | None = 2.0, **clips: int) -> TrainConfig:
    """A training of some epochs."""
    return replace(SMALL, steps=None if epochs else 6, epochs=epochs, clips=ClipConfig(**clips))


def colours(batches: list[Batch], channel: int = 0) -> list[float]:
    """The colours of all clips of a step."""
    return [float(clip[0, channel, 0, 0]) for batch in batches for clip in batch.clip.frames]


def test_an_epoch_sees_every_item_once_in_an_order_of_its_own() -> None:
    steps = StepBatches(Numbers(12), config(per_step=4, per_batch=3))
    assert len(steps) == 6
    first, second = ([item for step in range(start, start + 3) for item in colours(steps[step])] for start in (0, 3))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert [len(batch.targets) for batch in steps[0]] == [2, 2]


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_clips_that_one_would_see(world_size: int) -> None:
    settings = config(per_step=6, per_batch=2)
    alone = StepBatches(Numbers(20), settings)
    shares = [StepBatches(Numbers(20), settings, rank, world_size) for rank in range(world_size)]
    for step in range(len(alone)):
        for channel in (0, 1):
            together = [colour for share in shares for colour in colours(share[step], channel)]
            assert sorted(together) == sorted(colours(alone[step], channel))


def test_lengths_vary_and_steps_cost_alike() -> None:
    settings = config(epochs=None, frames_per_step=12, per_batch=99, min_frames=2, max_frames=6)
    steps = StepBatches(Numbers(10_000), replace(settings, steps=40))
    shapes = [steps[step][0].clip.frames.shape[:2] for step in range(40)]
    assert {frames for _, frames in shapes} == {2, 3, 4, 5, 6}
    assert all(10 <= clips * frames <= 14 for clips, frames in shapes)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_loader_goes_on_with_the_same_clips(workers: int) -> None:
    steps = StepBatches(Numbers(30), config(per_step=4))
    loaded = [colours(batches, channel=1) for batches in load_in_background(steps, 9, workers)]
    assert loaded == [colours(steps[step], channel=1) for step in range(9, len(steps))]


def test_more_processes_than_clips_are_refused_for_the_total_batch_must_not_change() -> None:
    StepBatches(Numbers(30), config(per_step=4, per_batch=4), 3, 4)
    with pytest.raises(BadInputError, match="5 processes cannot share the 4 clips"):
        StepBatches(Numbers(30), config(per_step=4, per_batch=4), 4, 5)


@pytest.mark.parametrize(("per_batch", "is_possible"), [(1, False), (2, True), (3, True)])
def test_each_process_has_as_many_batches_as_the_others_or_the_training_is_refused(
    per_batch: int, is_possible: bool
) -> None:
    settings = config(per_step=5, per_batch=per_batch)
    if not is_possible:
        with pytest.raises(BadInputError, match="2 processes cannot share the 5 clips"):
            StepBatches(Numbers(30), settings, 0, 2)
        return
    shares = [StepBatches(Numbers(30), settings, rank, 2)[0] for rank in range(2)]
    assert len(shares[0]) == len(shares[1])
    assert max(len(batch.targets) for share in shares for batch in share) <= per_batch


def test_length_in_epochs_counts_steps_of_all_ranks() -> None:
    assert num_steps(config(epochs=12.0, per_step=16), 61_845) == 12 * 3866


def test_collate_pads_to_a_multiple_and_masks_the_padding() -> None:
    sizes = [(40, 64), (33, 50)]
    empty = Targets(torch.zeros(0, dtype=torch.long), torch.zeros(0, 2, 4), torch.zeros(0, 2, 1, 1).bool())
    batch = collate([Sample(torch.ones(2, 3, *size), empty) for size in sizes])
    assert batch.clip.frames.shape == (2, 2, 3, 64, 64)
    assert batch.image_sizes == sizes
    mask = batch.clip.padding_mask
    assert mask is not None
    for clip, (height, width) in enumerate(sizes):
        naive = torch.ones(64, 64)
        naive[:height, :width] = 0
        assert torch.equal(mask[clip].float(), naive)
        assert torch.equal(batch.clip.frames[clip, 0, 0], 1 - naive)


def test_collate_of_one_fitting_size_has_no_mask() -> None:
    empty = Targets(torch.zeros(0, dtype=torch.long), torch.zeros(0, 1, 4), torch.zeros(0, 1, 1, 1).bool())
    assert collate([Sample(torch.ones(1, 3, 32, 64), empty)] * 2).clip.padding_mask is None


class Broken(Numbers):
    """A source one of whose files cannot be read."""

    def sample(self, index: int, num_frames: int, random: np.random.Generator, progress: float) -> Sample:
        if index == 7:
            raise BadInputError("frames/7.jpg: is damaged")
        return super().sample(index, num_frames, random, progress)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_read_is_one_line_whoever_reads_it(workers: int) -> None:
    steps = StepBatches(Broken(10), config(per_step=1))
    faults = [one for one in load_in_background(steps, 0, workers) if isinstance(one, BadInputError)]
    assert {str(fault) for fault in faults} == {"frames/7.jpg: is damaged"}


class Collecting(Numbers):
    """A source in whose process garbage is collected."""

    def sample(self, index: int, num_frames: int, random: np.random.Generator, progress: float) -> Sample:
        gc.collect()
        return super().sample(index, num_frames, random, progress)


class Bound:
    """In a cycle with itself, so only the garbage collector destroys it; notes the process which does."""

    def __init__(self, notes: Path) -> None:
        self.me, self.notes = self, notes

    def __del__(self) -> None:
        with self.notes.open("a") as file:
            file.write(f"{os.getpid()}\n")


def test_a_worker_destroys_nothing_of_the_process_that_started_it(tmp_path: Path) -> None:
    # A video frame of PyAV that is destroyed in a forked process waits there for ever.
    notes = tmp_path / "destroyed"
    gc.disable()
    try:
        Bound(notes)
        list(load_in_background(StepBatches(Collecting(4), config(per_step=1)), 0, workers=1))
        gc.collect()
    finally:
        gc.enable()
    assert notes.read_text() == f"{os.getpid()}\n"
    assert gc.get_freeze_count() == 0
