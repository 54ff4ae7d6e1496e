"""Training clips: the truth still fits the frames after sampling and augmentation, and a step decides its clips."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mssts.data.normalise import IMAGENET_MEAN, IMAGENET_STD, normalise, normalise_frames
from mssts.data.synthetic import CATEGORIES, SyntheticVideo, synthesize_video
from mssts.train import synthetic_clips
from mssts.train.settings import ClipSettings, TrainSettings
from mssts.train.synthetic_clips import SyntheticClips, jitter_colours, load_in_background, make_batch, sample_clip

SMALL = ClipSettings(height=64, width=96, min_frames=2, max_frames=4, frames_per_batch=6, difficulty=1.0)


def test_normalise_pixel_by_pixel() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3), dtype=np.uint8)
    ours = normalise_frames(frames)
    for frame, y, x, channel in np.ndindex(frames.shape):
        expected = (frames[frame, y, x, channel] / 255 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        assert float(ours[frame, channel, y, x]) == pytest.approx(expected, abs=1e-5)
    assert torch.equal(normalise(torch.from_numpy(frames).permute(0, 3, 1, 2).float()), ours)


def test_step_decides_its_clips() -> None:
    first, again, other = (make_batch(step, SMALL, seed=3) for step in (7, 7, 8))
    assert torch.equal(first.clip.frames, again.clip.frames)
    assert all(
        torch.equal(a, b) for x, y in zip(first.targets, again.targets, strict=True) for a, b in zip(x, y, strict=True)
    )
    assert first.clip.frames.shape != other.clip.frames.shape or not torch.equal(first.clip.frames, other.clip.frames)


@pytest.mark.parametrize("step", range(4))
def test_targets_fit_the_masks(step: int) -> None:
    batch = make_batch(step, SMALL)
    assert 2 <= batch.clip.frames.shape[1] <= 4
    assert batch.image_sizes == [(64, 96)] * len(batch.targets)
    for clip in batch.targets:
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
    def bright_where_masked(
        seed: int, *, num_frames: int, height: int, width: int, difficulty: float
    ) -> SyntheticVideo:
        video = synthesize_video(seed, num_frames=num_frames, height=height, width=width, difficulty=difficulty)
        painted = np.zeros_like(video.frames)
        painted[np.any(video.masks, axis=0)] = 200
        return video._replace(frames=painted)

    monkeypatch.setattr(synthetic_clips, "synthesize_video", bright_where_masked)
    for seed in range(6):
        clip = sample_clip(seed, 3, SMALL, 0.5, np.random.default_rng(seed))
        assert np.array_equal(clip.frames.min(axis=-1) > 100, clip.masks.any(axis=0))


def test_jitter_keeps_the_order_of_brightness_and_treats_frames_alike() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, None, :, None], 3, axis=3).repeat(2, axis=0)
    jittered = jitter_colours(ramp, np.random.default_rng(1)).astype(int)
    assert (np.diff(jittered, axis=2) >= 0).all()
    assert np.array_equal(jittered[0], jittered[1])
    assert not np.array_equal(jittered, ramp)


def test_worker_starts_at_the_step_asked_for_and_follows_the_curriculum() -> None:
    settings = TrainSettings(steps=8, clips=replace(SMALL, min_frames=2, max_frames=2, frames_per_batch=2))
    loaded = iter(load_in_background(SyntheticClips(settings, first_step=3)))
    for step, progress in ((3, 3 / 8), (4, 4 / 8), (5, 5 / 8)):
        expected = make_batch(step, settings.clips, settings.seed, min(1.0, 2 * progress))
        assert torch.equal(next(loaded).clip.frames, expected.clip.frames)
