"""What predicting a 720p file costs beside the model: `GOMP_SPINCOUNT=5000 python benchmarks/end_to_end.py`.

Makes a file of the demo clip at 1280x720, passes its windows through the model alone, then does the whole job:
decoding, resizing, the model, masks, linking, drawing, H.264 and results. The best of some turns counts for each.
`--preset baseline-r50` takes a larger model, with random weights. The variable is what the command line sets by itself.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from long_video import write_long_video

from mssts.api import Segmenter, load
from mssts.config import preset
from mssts.model.vis import VisModel
from mssts.predict.postprocess import confident_queries, masks_of
from mssts.predict.preprocess import to_clip
from mssts.predict.run import RunOptions, predict_to_folder
from mssts.predict.settings import PredictSettings
from mssts.predict.video import open_source
from mssts.predict.windows import cut_windows
from mssts.tools.allocator import keep_freed_memory

SIZE = (720, 1280)


def settings_of(preset_name: str | None, tracks: int) -> PredictSettings:
    """The defaults for `tiny`; for random weights, the best few queries, whatever their scores."""
    if preset_name is None:
        return PredictSettings(confidence=0.4, window=5, overlap=2, short_side=128, max_instances=tracks)
    return PredictSettings(0.0, window=5, overlap=2, short_side=360, max_instances=tracks, keep_brief=True)


@torch.inference_mode()
def model_seconds(segmenter: Segmenter, settings: PredictSettings, source: Path) -> float:
    """Seconds in the model for all windows of the file, the masks at stride 4 of its confident queries included."""
    seconds = 0.0
    with open_source(source) as video:
        for window in cut_windows(iter(video), settings.window, settings.overlap):
            clip = to_clip(window.frames, settings.short_side, torch.device("cpu"))
            start = time.perf_counter()
            prediction = segmenter.model(clip)
            scores = prediction.class_logits[-1][0].sigmoid()
            queries = confident_queries(scores, settings.confidence * settings.doubt, settings.max_instances)
            masks_of(prediction, queries, (clip.shape[-2], clip.shape[-1]))
            seconds += time.perf_counter() - start
    return seconds


def job_seconds(segmenter: Segmenter, settings: PredictSettings, source: Path, out: Path) -> tuple[float, str]:
    """Seconds of the whole job with video and results, and its summary's first line."""
    start = time.perf_counter()
    report = predict_to_folder(segmenter, settings, RunOptions(str(source), out, overwrite=True, progress=False))
    return time.perf_counter() - start, report.text.splitlines()[0]


def main() -> None:
    """Print both times and what the job adds."""
    parser = argparse.ArgumentParser(description="What predicting a 720p file costs beside the model.")
    parser.add_argument("--preset", help="random weights of this preset at 360p instead of `tiny`")
    parser.add_argument("--frames", type=int, default=90, help="default: %(default)s")
    parser.add_argument("--tracks", type=int, default=10, help="at most this many at a time (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="default: %(default)s")
    options = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    segmenter = load("tiny") if options.preset is None else Segmenter(VisModel(preset(options.preset)).eval())
    settings = settings_of(options.preset, options.tracks)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "720p.mp4"
        write_long_video(source, options.frames, *SIZE)
        alone, whole, text = float("inf"), float("inf"), ""
        for _ in range(options.repeat):
            alone = min(alone, model_seconds(segmenter, settings, source))
            seconds, text = job_seconds(segmenter, settings, source, Path(folder) / "out")
            whole = min(whole, seconds)
    print(text)
    print(f"model alone {alone:.2f} s, from file to file {whole:.2f} s: {whole / alone - 1:.1%} more")


if __name__ == "__main__":
    main()
