import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mssts.data.synthetic_set import DEFAULT_DIFFICULTY
from mssts.tools.data_options import add_check_options, add_data_convert_options, add_synthesize_options


def parse(add: Callable[[argparse.ArgumentParser], None], *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add(parser)
    return parser.parse_args(words)


def test_a_synthetic_set_needs_no_option_but_its_folder() -> None:
    options = parse(add_synthesize_options, "out")
    assert (options.out, options.split, options.size) == (Path("out"), "valid", (128, 224))
    assert (options.min_frames, options.max_frames) == (12, 36)
    # The library's default, which the option cannot import: `--help` must stay fast.
    assert options.difficulty == DEFAULT_DIFFICULTY


def test_options_are_read() -> None:
    words = "--split train --videos 7 --seed 4242 --size 64x96 --min-frames 3 --max-frames 5 --difficulty 1 --quiet"
    options = parse(add_synthesize_options, "out", *words.split())
    assert (options.split, options.videos, options.seed, options.size) == ("train", 7, 4242, (64, 96))
    assert (options.min_frames, options.max_frames, options.difficulty, options.quiet) == (3, 5, 1.0, True)
    options = parse(add_data_convert_options, "--from", "davis", "--to", "ytvis", "in", "out", "--only", "x.txt")
    assert (options.form, options.source, options.out) == ("davis", Path("in"), Path("out"))
    assert (options.split, options.only, options.copy) == ("train", Path("x.txt"), False)
    options = parse(add_check_options, "in", "--split", "valid", "--all")
    assert (options.folder, options.split, options.all) == (Path("in"), "valid", True)
    assert parse(add_check_options, "in").split is None


@pytest.mark.parametrize(
    "words",
    [
        "--videos 0",
        "--videos x",
        "--seed -1",
        "--seed 1.5",
        "--size 64",
        "--size 31x64",
        "--size 64x64x3",
        "--difficulty 1.01",
        "--difficulty nan",
        "--min-frames 0",
    ],
)
def test_nonsense_is_a_usage_error(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as info:
        parse(add_synthesize_options, "out", *words.split())
    assert info.value.code == 2
    assert f"'{words.split()[1]}'" in capsys.readouterr().err


def test_unknown_forms_are_usage_errors() -> None:
    for words in (["in", "out"], ["in", "out", "--from", "voc"], ["in", "out", "--from", "coco", "--to", "coco"]):
        with pytest.raises(SystemExit) as info:
            parse(add_data_convert_options, *words)
        assert info.value.code == 2


def test_the_options_import_nothing_slow() -> None:
    code = "import sys, mssts.tools.data_options; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
