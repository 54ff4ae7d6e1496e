"""The Python interface: `mssts.load("tiny").predict("street.mp4")`."""

import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast, get_args, overload

import torch

from mssts.checkpoint import load_model
from mssts.errors import BadInputError, PartialInputError
from mssts.locate import find_checkpoint
from mssts.model.precision import Precision
from mssts.model.torch_compile import compile_model
from mssts.model.vis import VisModel
from mssts.predict.job import near_online_job, offline_job
from mssts.predict.result import VideoResult
from mssts.predict.settings import PredictSettings
from mssts.predict.track_store import TrackStore
from mssts.predict.video import open_source
from mssts.types import FrameResult

Mode = Literal["near-online", "offline"]
DEFAULT_CONFIDENCE = 0.4


def load(name: str | Path, device: str = "auto", compile: bool = False) -> "Segmenter":
    """Load a model.

    Args:
        name: A bundled model (`tiny`), a model file or its folder, or the id of a model on the Hugging Face hub.
        device: Such as `cpu` or `cuda:0`; `auto` takes a GPU if there is one.
        compile: Let PyTorch's compiler make the model faster: the second window, and the second of another size, then
            take a minute or more. The results are the same up to rounding.

    Raises:
        CheckpointError: There is no such model, or it cannot be read.
    """
    segmenter = Segmenter(load_model(find_checkpoint(name))).to(device)
    if compile:
        compile_model(segmenter.model)
    return segmenter


def pick_device(name: str) -> torch.device:
    """The named device; `auto` is a GPU if there is one.

    Raises:
        BadInputError: The name is none, or this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError("it is none of cpu, cuda, mps")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BadInputError(f"device '{name}': not usable here ({str(error).splitlines()[0]})") from error
    return device


class Segmenter:
    """A model that is ready to segment and track the objects of a video.

    Attributes:
        model: The network.
        names: Name per class slot.
    """

    def __init__(self, model: VisModel) -> None:
        self.model = model.eval()
        config = model.config
        self.names = [f"class {slot}" for slot in range(config.num_class_slots)]
        for category in config.categories:
            self.names[category.slot] = category.name

    def __repr__(self) -> str:
        return f"Segmenter({self.model.config.backbone}, {len(self.model.config.categories)} categories)"

    def to(self, device: str) -> "Segmenter":
        """Move the model to a device; `auto` takes a GPU if there is one."""
        self.model.to(pick_device(device))
        return self

    def settings(
        self,
        *,
        confidence: float = DEFAULT_CONFIDENCE,
        window: int | None = None,
        overlap: int | None = None,
        short_side: int | None = None,
        doubt: float = 0.5,
        keep_brief: bool = False,
        precision: str = "fp32",
    ) -> PredictSettings:
        """Fill in what the user leaves open: the model's own clip length and input size, two frames of overlap.

        Args:
            confidence: A track begins from this class score on, 0..1.
            window: Frames per window.
            overlap: Frames that neighbouring windows share.
            short_side: The model sees frames resized to this many pixels on the shorter side.
            doubt: Near-online, a track goes on from this share of `confidence` on, 0..1.
            keep_brief: Near-online, also report tracks that only one window is sure of.
            precision: `fp32`, or `bf16` for matrix products in half the bits.

        Raises:
            ValueError: A number is out of its range, or there is no such precision.
        """
        window = self.model.config.num_frames if window is None else window
        short_side = self.model.config.short_side if short_side is None else short_side
        overlap = min(2, window - 1) if overlap is None else overlap
        if not (0 <= confidence <= 1 and 0 <= doubt <= 1 and 0 <= overlap < window and short_side >= 1):
            raise ValueError(
                f"need confidence {confidence} and doubt {doubt} in 0..1, overlap {overlap} from 0 and below "
                f"window {window}, short_side {short_side} from 1"
            )
        if precision not in get_args(Precision):
            raise ValueError(f"precision '{precision}' is none of {', '.join(get_args(Precision))}")
        return PredictSettings(
            confidence,
            window,
            overlap,
            short_side,
            doubt=doubt,
            keep_brief=keep_brief,
            precision=cast(Precision, precision),
        )

    @overload
    def predict(
        self,
        source: str | Path | int,
        *,
        stream: Literal[False] = False,
        mode: Mode = "near-online",
        **options: float | int | str,
    ) -> VideoResult: ...
    @overload
    def predict(
        self,
        source: str | Path | int,
        *,
        stream: Literal[True],
        mode: Mode = "near-online",
        **options: float | int | str,
    ) -> Iterator[FrameResult]: ...
    def predict(
        self,
        source: str | Path | int,
        *,
        stream: bool = False,
        mode: Mode = "near-online",
        **options: float | int | str,
    ) -> VideoResult | Iterator[FrameResult]:
        """Segment and track everything the model knows in a video.

        Args:
            source: A video file, a folder of frames, a glob pattern, or a webcam's index.
            stream: Yield a `FrameResult` per frame instead of one result at the end; it comes when the window after its
                own is done, or its own with `keep_brief` and from a webcam.
            mode: `near-online` works in linked windows, with memory that does not grow; `offline` is the official
                protocol, which decodes the whole video at once.
            options: Fields of `PredictSettings`: confidence, window, overlap, short_side, doubt, keep_brief,
                precision.

        Returns:
            A `VideoResult`; if the source broke off, its `incomplete` says why. With `stream`, an iterator, which
            raises the `PartialInputError` after the last good frame.

        Raises:
            BadInputError: The source cannot be read at all.
        """
        if mode not in get_args(Mode):
            raise ValueError(f"mode '{mode}' is none of {', '.join(get_args(Mode))}")
        settings = self.settings(**options)  # pyright: ignore[reportArgumentType]
        with open_source(source) as video:
            header = {"source": str(source), "width": video.width, "height": video.height}
        folder = tempfile.TemporaryDirectory(prefix="mssts-")
        store = TrackStore.create(Path(folder.name) / "tracks.sqlite", header)
        job = near_online_job if mode == "near-online" else offline_job
        results = job(self.model, source, settings, store)
        if stream:
            return _clean_after(results, store, folder)
        video = VideoResult(source, store, self.names, self.model.config.categories)
        weakref.finalize(video, _clean, store, folder)
        try:
            for _ in results:
                pass
        except PartialInputError as error:
            video.incomplete = error
        return video


def _clean_after(
    results: Iterator[FrameResult], store: TrackStore, folder: tempfile.TemporaryDirectory
) -> Iterator[FrameResult]:
    """Pass on a stream; remove its store at the end, also if the user stops early."""
    try:
        yield from results
    finally:
        _clean(store, folder)


def _clean(store: TrackStore, folder: tempfile.TemporaryDirectory) -> None:
    """Close and remove a temporary track store."""
    store.close()
    folder.cleanup()
