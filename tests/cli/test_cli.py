"""The command line in real processes: exit codes, one line per error, clean stops."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import av
import pytest
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "predict"))
import media_files
from small_segmenter import make_segmenter

from mssts.checkpoint import save_model
from mssts.cli import main
from mssts.errors import BadInputError

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


class Done(NamedTuple):
    """What a command line left: exit code and the two streams."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def mssts(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Run a command line in this process, which saves the seconds of importing torch."""

    def run(*arguments: object) -> Done:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


def errors(stderr: str) -> list[str]:
    """The lines on stderr that are no progress bar."""
    lines = stderr.replace("\r", "\n").split("\n")
    return [line for line in lines if line.strip() and not re.search(r"\?frame|s/frame|frame/s", line)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(make_segmenter().model, path)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media_files.write_video(tmp_path_factory.mktemp("video") / "in.mp4", 12, size=(64, 96))


HELP = """
import sys
from mssts.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    print("torch" in sys.modules, "numpy" in sys.modules)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["predict", "--help"], ["--version"], ["predict", "--window", "x"]])
def test_help_and_usage_need_no_torch(arguments):
    done = subprocess.run([sys.executable, "-c", HELP, *arguments], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "False False", done.stderr


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("", "VERB"),
        ("fly", "fly"),
        ("predict", "SOURCE"),
        ("predict a --save pdf", "pdf"),
        ("predict a --save ,", "--save"),
        ("predict a --conf 2", "--conf"),
        ("predict a --conf nan", "--conf"),
        ("predict a --doubt 2", "--doubt"),
        ("predict a --conf much", "--conf: 'much' is not a number"),
        ("predict a --window 0", "--window"),
        ("predict a --window five", "--window: 'five' is not a whole number"),
        ("predict a --overlap -1", "--overlap"),
        ("benchmark --size 360", "--size"),
        ("info --colour", "--colour"),
    ],
)
def test_wrong_usage_is_2_and_one_line(mssts, line, named):
    done = mssts(*line.split())
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert named in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("changes", [("--window", 3, "--overlap", 3), ("--resume", "--mode", "offline")])
def test_options_that_do_not_fit_each_other_are_2(mssts, model, video, tmp_path, changes):
    done = mssts("predict", video, "--model", model, "--out", tmp_path / "run", *changes)
    assert done.returncode == 2
    assert len(errors(done.stderr)) == 1
    assert str(changes[0]) in done.stderr
    assert not (tmp_path / "run").exists()


def test_missing_source_is_3(mssts, model, tmp_path):
    done = mssts("predict", tmp_path / "none.mp4", "--model", model, "--out", tmp_path / "run")
    assert done.returncode == 3
    assert len(errors(done.stderr)) == 1
    assert "none.mp4" in done.stderr
    assert not (tmp_path / "run").exists()


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def bad_checkpoints(folder: Path) -> dict[str, Path]:
    files = {kind: folder / f"{kind}.pth" for kind in ("text", "empty", "malicious", "other", "foreign", "folder")}
    files["text"].write_text("not a checkpoint")
    files["empty"].touch()
    with files["malicious"].open("wb") as file:
        pickle.dump({"model": Malicious(folder / "marker")}, file)
    torch.save({"model": {"fc.weight": torch.zeros(2)}}, files["other"])
    save_file({"fc.weight": torch.zeros(2)}, files["foreign"])
    files["folder"].mkdir()
    return files


@pytest.mark.parametrize("kind", ["text", "empty", "malicious", "other", "foreign", "folder", "missing"])
@pytest.mark.parametrize("verb", ["predict", "convert"])
def test_bad_checkpoint_is_6(mssts, monkeypatch, video, tmp_path, kind, verb):
    monkeypatch.chdir(tmp_path)
    path = bad_checkpoints(tmp_path).get(kind, tmp_path / "missing.pth")
    arguments = ["convert", path, tmp_path / "out"] if verb == "convert" else ["predict", video, "--model", path]
    done = mssts(*arguments)
    assert done.returncode == 6, done.stderr
    assert len(errors(done.stderr)) == 1
    assert str(path) in done.stderr
    assert not (tmp_path / "marker").exists()
    assert not (tmp_path / "out").exists()


def test_debug_shows_where_it_failed(tmp_path, model):
    with pytest.raises(BadInputError):
        main(["predict", str(tmp_path / "none.mp4"), "--model", str(model), "--debug"])


def test_unknown_model_is_6(mssts, video):
    done = mssts("predict", video, "--model", "huge")
    assert done.returncode == 6
    assert len(errors(done.stderr)) == 1
    assert "huge: no such checkpoint" in done.stderr


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB"), OSError(24, "Too many files")],
)
def test_a_machine_that_gives_out_is_5(mssts, model, video, monkeypatch, error):
    def fail(*_args):
        raise error

    monkeypatch.setattr("mssts.tools.predict.load", fail)
    done = mssts("predict", video, "--model", model)
    assert done.returncode == 5
    assert len(errors(done.stderr)) == 1


def test_a_fault_of_our_own_is_not_called_the_users(mssts, model, video, monkeypatch):
    def fail(*_args):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr("mssts.tools.predict.load", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        mssts("predict", video, "--model", model)


def test_earlier_run_is_3_and_kept(mssts, model, video, tmp_path):
    command = ("predict", video, "--model", model, "--out", tmp_path / "run")
    assert mssts(*command).returncode == 0
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "run").iterdir()}
    done = mssts(*command)
    assert done.returncode == 3
    assert len(errors(done.stderr)) == 1
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "run").iterdir()} == before
    assert mssts(*command, "--overwrite", "--quiet") == (0, "", "")


FULL_DISK = """
import resource, signal, sys
from mssts.cli import main
from mssts.errors import BadInputError
import mssts.tools.predict
# No file may grow beyond 4 KiB, as if the disk were full.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
video, model, out = sys.argv[1:]
for save in ("video", "json", "masks"):
    print(main(["predict", video, "--model", model, "--out", f"{out}/{save}", "--save", save]))
"""


def test_full_disk_is_5(model, video, tmp_path):
    command = [sys.executable, "-c", FULL_DISK, *map(str, (video, model, tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.stdout.split() == ["5", "5", "5"], done.stderr
    assert len(errors(done.stderr)) == 3
    assert all(f"mssts: {tmp_path}/" in line for line in errors(done.stderr))
    assert "Traceback" not in done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_cut_video_is_4(mssts, model, tmp_path):
    whole = media_files.write_video(tmp_path / "in.avi", 40, codec="mjpeg", pix_fmt="yuvj420p", size=(64, 96))
    broken = media_files.cut(whole, 0.6)
    done = mssts("predict", broken, "--model", model, "--out", tmp_path / "run")
    assert done.returncode == 4
    (line,) = errors(done.stderr)
    assert str(broken) in line
    with av.open(str(tmp_path / "run" / "overlay.mp4")) as container:
        count = sum(1 for _ in container.decode(video=0))
    assert f"hold the {count} frames before" in line
    assert 0 < count < 40


# A program that gets a signal when its second window is stored.
INTERRUPTED = """
import os, signal, sys
from mssts.cli import main
# Programs that a shell starts in the background inherit an ignored SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
from mssts.predict.track_store import TrackStore
append, windows = TrackStore.append, []
def count(*arguments):
    append(*arguments)
    windows.append(1)
    if len(windows) == 2:
        os.kill(os.getpid(), NUMBER)
TrackStore.append = count
sys.exit(main(sys.argv[1:]))
"""


def interrupted(number, *arguments):
    program = INTERRUPTED.replace("NUMBER", str(int(number)))
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True, text=True)


def test_ctrl_c_then_resume(mssts, model, tmp_path):
    video = media_files.write_video(tmp_path / "in.mp4", 40, size=(64, 96))
    run = tmp_path / "run"
    done = interrupted(signal.SIGINT, "predict", video, "--model", model, "--out", run)
    assert done.returncode == 4, done.stderr
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in run.iterdir()] == ["tracks.sqlite.part"]
    assert mssts("predict", video, "--model", model, "--out", run, "--resume").returncode == 0
    assert mssts("predict", video, "--model", model, "--out", tmp_path / "whole").returncode == 0
    assert (run / "results.json").read_bytes() == (tmp_path / "whole" / "results.json").read_bytes()


def test_killed_then_resumed(mssts, model, video, tmp_path):
    command = ["predict", *map(str, (video, "--model", model, "--out", tmp_path / "run")), "--save", "video,json,masks"]
    assert interrupted(signal.SIGKILL, *command).returncode == -9
    assert all(path.name.endswith(".part") for path in (tmp_path / "run").iterdir())
    assert mssts(*command).returncode == 3
    assert mssts(*command, "--resume").returncode == 0
    assert mssts("predict", video, "--model", model, "--out", tmp_path / "whole").returncode == 0
    assert (tmp_path / "run" / "results.json").read_bytes() == (tmp_path / "whole" / "results.json").read_bytes()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"overlay.mp4", "results.json", "masks"}
    assert len(list((tmp_path / "run" / "masks").iterdir())) == 12


def test_info_names_the_classes(mssts, model):
    done = mssts("info", "--model", model)
    assert done.returncode == 0
    assert "class slot 3 = id 2 = bird" in done.stdout


def test_benchmark_prints_and_writes(mssts, tmp_path):
    arguments = ("--preset", "tiny", "--size", "64x96", "--frames", 2, "--repeat", 1, "--json", tmp_path / "b.json")
    done = mssts("benchmark", *arguments)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "b.json").read_text())
    assert facts["gflop"] > 0
    assert sum(facts["parts_s"].values()) == pytest.approx(facts["clip_s"], rel=0.2)
    assert {"encoder: MS-STS attention", "decoder", "backbone"} <= facts["parts_s"].keys()
    assert "of what large matrix products reach here\n(fp32, " in done.stdout
    assert mssts("benchmark", "--preset", "huge").returncode == 3
