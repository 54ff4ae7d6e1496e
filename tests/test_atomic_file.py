"""Writing files: what has the final name is whole, and what is no file is not replaced by one."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mssts.atomic_file import refuse_overwriting, write_atomically
from mssts.errors import ResourceError, UsageError


def test_a_file_is_made_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_atomically(path, "one")
    write_atomically(path, b"two")
    assert path.read_text() == "two"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a.txt").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "a.txt")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "a.txt").read_text() == "new"


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write_atomically(pipe, "through")
    reader.join(timeout=10)
    assert received == ["through"]
    assert pipe.is_fifo()


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no such device here")
@pytest.mark.parametrize(("mode", "kept"), [("ab", "before\n"), ("wb", "")])
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_standard_output_is_written_to(mode: str, kept: str, name: str, tmp_path: Path) -> None:
    """A file that the shell opened with > or >> holds what was written before and after, too."""
    code = (
        "from pathlib import Path; from mssts.atomic_file import write_atomically as write;"
        f"print('first'); write(Path('{name}'), 'numbers'); print('table')"
    )
    (tmp_path / "log").write_text("before\n")
    with (tmp_path / "log").open(mode) as log:
        subprocess.run([sys.executable, "-c", code], stdout=log, check=True)
    assert (tmp_path / "log").read_text() == kept + "first\nnumberstable\n"


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no such file system here")
def test_a_file_in_shared_memory_is_one_like_others() -> None:
    with TemporaryDirectory(dir="/dev/shm") as folder:
        for text in ("one", "two"):
            write_atomically(Path(folder) / "new" / "a.json", text)
        assert (Path(folder) / "new" / "a.json").read_text() == "two"


@pytest.mark.parametrize("name", ["/", "a\0b"])
def test_a_name_that_is_none_is_one_line(name: str) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        write_atomically(Path(name), "x")


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ResourceError, match=r"folder: cannot be written \(Is a directory\)"):
        write_atomically(tmp_path / "folder", "x")
    assert os.listdir(tmp_path) == ["folder"]


def test_an_output_is_no_input(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    (tmp_path / "link.json").symlink_to("a.json")
    refuse_overwriting([None, tmp_path / "b.json"], [None, tmp_path / "a.json"])
    with pytest.raises(UsageError, match=r"b\.json: two outputs"):
        refuse_overwriting([tmp_path / "b.json", None, tmp_path / "x" / ".." / "b.json"], [])
    refuse_overwriting([Path("/dev/stdout"), Path("/dev/stdout")], [])
    for output in (tmp_path / "a.json", tmp_path / "link.json", tmp_path / "x" / ".." / "a.json"):
        with pytest.raises(UsageError, match=f"{output.name}: is read too"):
            refuse_overwriting([tmp_path / "b.json", output], [tmp_path / "a.json"])
