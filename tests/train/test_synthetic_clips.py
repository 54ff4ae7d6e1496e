"""Training clips: the truth still fits the frames after sampling and augmentation, and an item decides its clip."""

import numpy as np
import pytest
import torch

from mssts.data.batch import Sample
from mssts.data.normalise import IMAGENET_MEAN, IMAGENET_STD, normalise, normalise_frames
from mssts.data.synthetic import CATEGORIES, SyntheticVideo, synthesize_video
from mssts.train import synthetic_clips
from mssts.train.config import SyntheticConfig
from mssts.train.synthetic_clips import FIRST_TRAINING_SEED, SyntheticClips, jitter_colours

SOURCE = SyntheticClips(SyntheticConfig(height=64, width=96, difficulty_from=0.2, difficulty_to=1.0, ramp=0.5))


def sample(index: int, progress: float = 1.0, num_frames: int = 3) -> Sample:
    """A clip with random numbers of its own."""
    return SOURCE.sample(index, num_frames, np.random.default_rng(index), progress)


def test_normalise_pixel_by_pixel() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    ours = normalise_frames(frames)
    for frame, y, x, channel in np.ndindex(frames.shape):
        expected = (frames[frame, y, x, channel] / 255 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        assert float(ours[frame, channel, y, x]) == pytest.approx(expected, abs=1e-5)
    assert torch.equal(normalise(torch.from_numpy(frames).permute(0, 3, 1, 2).float()), ours)


def test_item_decides_its_clip() -> None:
    first, again, other = (sample(index) for index in (7, 7, 8))
    assert torch.equal(first.frames, again.frames)
    assert all(torch.equal(a, b) for a, b in zip(first.targets, again.targets, strict=True))
    assert not torch.equal(first.frames, other.frames)


@pytest.mark.parametrize("index", range(8))
def test_targets_fit_the_masks(index: int) -> None:
    clip = sample(index, num_frames=2 + index % 3).targets
    assert clip.masks.shape[1:] == (2 + index % 3, 64, 96)
    assert clip.masks.flatten(1).any(dim=1).all()
    assert all(0 <= int(label) < len(CATEGORIES) for label in clip.labels)
    for instance, frame in np.ndindex(*clip.masks.shape[:2]):
        _assert_box_encloses(clip.boxes_cxcywh[instance, frame], clip.masks[instance, frame].numpy())


def _assert_box_encloses(box: torch.Tensor, mask: np.ndarray) -> None:
    if not mask.any():
        assert not box.any()
        return
    rows, columns = np.nonzero(mask)
    x0, x1, y0, y1 = columns.min() / 96, (columns.max() + 1) / 96, rows.min() / 64, (rows.max() + 1) / 64
    assert box.tolist() == pytest.approx([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], abs=1e-6)


def test_frames_and_masks_are_turned_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    def bright_where_masked(seed: int, **options: float) -> SyntheticVideo:
        video = synthesize_video(seed, **options)  # pyright: ignore[reportArgumentType]
        painted = np.zeros_like(video.frames)
        painted[np.any(video.masks, axis=0)] = 200
        return video._replace(frames=painted)

    monkeypatch.setattr(synthetic_clips, "synthesize_video", bright_where_masked)
    for index in range(6):
        clip = sample(index)
        assert torch.equal(clip.frames.mean(dim=1) > -0.4, clip.targets.masks.any(dim=0))


def test_jitter_keeps_the_order_of_brightness_and_treats_frames_alike() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, None, :, None], 3, axis=3).repeat(2, axis=0)
    jittered = jitter_colours(ramp, np.random.default_rng(1)).astype(int)
    assert (np.diff(jittered, axis=2) >= 0).all()
    assert np.array_equal(jittered[0], jittered[1])
    assert not np.array_equal(jittered, ramp)


def test_videos_are_training_videos_and_grow_harder(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, float]] = []

    def note(seed: int, *, difficulty: float, **options: int) -> SyntheticVideo:
        asked.append((seed, difficulty))
        return synthesize_video(seed, difficulty=difficulty, **options)

    monkeypatch.setattr(synthetic_clips, "synthesize_video", note)
    for index, progress in ((0, 0.0), (1, 0.25), (2, 0.5), (len(SOURCE) - 1, 1.0)):
        sample(index, progress)
    assert [difficulty for _, difficulty in asked] == pytest.approx([0.2, 0.6, 1.0, 1.0])
    assert [seed for seed, _ in asked[:3]] == [FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + 1, FIRST_TRAINING_SEED + 2]
