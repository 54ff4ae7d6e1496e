"""The options of the verbs `attention`, `strip` and `plot-ap`; imports nothing slow."""

import argparse
from pathlib import Path

from mssts.tools.option_types import file_with, frame_list, positive, share

PICTURES = (".png", ".jpg", ".jpeg")
NUM_COLUMNS = 5


def add_attention_options(verb: argparse.ArgumentParser) -> None:
    """Add the options that `tools.attention.run_attention` reads."""
    _add_source(verb)
    verb.add_argument("--model", default="tiny", help="bundled name, file, folder or hub id (default: %(default)s)")
    verb.add_argument("--beside", metavar="MODEL", help="another one; 'baseline' is the same with MS-STS switched off")
    out = file_with(".mp4", *PICTURES)
    verb.add_argument("--out", type=out, required=True, metavar="FILE", help="video (.mp4) or figure (.png, .jpg)")
    help_text = f"columns of a figure, such as 0,8,16 (default: {NUM_COLUMNS}, evenly spread)"
    verb.add_argument("--frames", type=frame_list, metavar="LIST", help=help_text)
    verb.add_argument("--tracks", action="store_true", help="also the decoder's sampling points and weights by frame")
    help_text = "average over the channels: root mean square, mean absolute value, or plain mean (default: %(default)s)"
    verb.add_argument("--measure", choices=("rms", "abs", "mean"), default="rms", help=help_text)
    verb.add_argument("--conf", type=share, help="a track begins from this score on, 0..1 (default: 0.4)")
    _add_inference(verb)


def add_strip_options(verb: argparse.ArgumentParser) -> None:
    """Add the options that `tools.strip.run_strip` reads."""
    _add_source(verb)
    verb.add_argument("--model", action="append", default=[], help="a row; bundled name, file, folder or hub id")
    help_text = "a row of results in YouTube-VIS form; goes with --gt"
    verb.add_argument("--results", action="append", type=Path, default=[], metavar="FILE", help=help_text)
    verb.add_argument("--gt", type=Path, metavar="FILE", help="annotation file of the set that the results are of")
    verb.add_argument("--truth", action="store_true", help="a row of what --gt says")
    help_text = "id or folder name in --gt (default: the name of SOURCE)"
    verb.add_argument("--video", metavar="NAME", help=help_text)
    verb.add_argument("--out", type=file_with(*PICTURES), required=True, metavar="FILE", help="figure (.png, .jpg)")
    help_text = f"columns, such as 0,8,16 (default: {NUM_COLUMNS}, evenly spread)"
    verb.add_argument("--frames", type=frame_list, metavar="LIST", help=help_text)
    verb.add_argument("--width", type=positive, default=360, help="of a picture in pixels (default: %(default)s)")
    verb.add_argument("--conf", type=share, help="a track begins from this score on, 0..1 (default: 0.4)")
    _add_inference(verb)


def add_plot_ap_options(verb: argparse.ArgumentParser) -> None:
    """Add the options that `tools.plot_ap.run_plot_ap` reads."""
    out = file_with(".png", ".svg", ".pdf")
    verb.add_argument("--out", type=out, required=True, metavar="FILE", help="figure (.png, .svg, .pdf)")
    help_text = "your model: millions of parameters and AP in percent; may be repeated"
    verb.add_argument("--add", action="append", default=[], metavar="NAME:PARAMS:AP", help=help_text)
    sets = ("2019", "2021")
    verb.add_argument("--set", choices=sets, default="2019", help="of YouTube-VIS, validation (default: %(default)s)")
    numbers = ("AP", "AP50", "AP75", "AR1", "AR10")
    verb.add_argument("--metric", choices=numbers, default="AP", help="(default: %(default)s)")
    backbones = ("ResNet-50", "ResNet-101", "Swin-L")
    verb.add_argument("--backbone", choices=backbones, default="ResNet-50", help="(default: %(default)s)")
    verb.add_argument("--overwrite", action="store_true", help="replace the file")


def _add_source(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("source", metavar="SOURCE", help="video file, folder of frames, or glob pattern")


def _add_inference(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--window", type=positive, metavar="T", help="frames per pass of the model (default: its own)")
    verb.add_argument("--short-side", type=positive, metavar="N", help="resize frames to this (default: the model's)")
    verb.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, … (default: %(default)s)")
    verb.add_argument("--overwrite", action="store_true", help="replace the file")
    verb.add_argument("--quiet", action="store_true", help="no progress bar, no notes")
