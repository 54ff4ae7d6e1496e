"""The verb `demo`: the bundled model on the bundled clip."""

import sys
from pathlib import Path

from mssts.api import load
from mssts.assets import asset_path
from mssts.predict.run import RunOptions, predict_to_folder
from mssts.tools.predict import report


def run_demo(out: Path) -> int:
    """Predict the bundled clip into a folder, replacing an earlier demo."""
    segmenter = load("tiny")
    options = RunOptions(source=str(asset_path("demo.mp4")), out=out, save=("video", "json"), overwrite=True)
    code = report(predict_to_folder(segmenter, segmenter.settings(), options))
    print(f"Look at {out / 'overlay.mp4'}; for your own video: {Path(sys.argv[0])} predict VIDEO --out runs/mine")
    return code
