from pathlib import Path

import av
import numpy as np
import pytest

from mssts.assets import asset_path
from mssts.tools.demo_clip import demo_video, main


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "demo.mp4"
    assert main([str(path)]) == 0
    return path


def test_the_tool_writes_the_clip_and_nothing_else(written: Path) -> None:
    frames = demo_video().frames
    shown = decoded(written)
    assert shown.shape == frames.shape
    # What H.264 with halved colour resolution takes away; two neighbouring frames differ by more.
    assert np.abs(shown.astype(int) - frames).mean() < 7
    assert [path.name for path in written.parent.iterdir()] == ["demo.mp4"]


def test_the_bundled_clip_is_the_one_that_the_tool_describes() -> None:
    path = asset_path("demo.mp4")
    assert path.stat().st_size < 600_000
    difference = np.abs(decoded(path).astype(int) - demo_video().frames).mean(axis=(1, 2, 3))
    assert difference.max() < 7


def test_the_clip_shows_different_classes_of_which_two_overlap() -> None:
    video = demo_video()
    assert len(set(video.labels.tolist())) == len(video.labels) >= 3
    corners = video.boxes.reshape(len(video.labels), -1, 2, 2)
    overlap = np.minimum(corners[:, None, :, 1], corners[None, :, :, 1])
    overlap = (overlap - np.maximum(corners[:, None, :, 0], corners[None, :, :, 0])).min(axis=-1).max(axis=-1)
    assert overlap[~np.eye(len(overlap), dtype=bool)].max() > 20
    assert (video.masks.sum(axis=(2, 3)) > 100).all()
