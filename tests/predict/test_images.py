"""Folders, patterns and single pictures as sources of frames."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numbered_video import HEIGHT, WIDTH, indices, picture, read_index, read_partly
from PIL import Image

from mssts.errors import BadInputError
from mssts.predict.video import open_source


def save_pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        Image.fromarray(picture(index)).save(folder / name)


def test_folder_in_natural_order(tmp_path):
    names = ["1.png", "2.JPG", "9.webp", "10.bmp", "11.tif", "100.jpeg"]
    save_pictures(tmp_path / "shots", names)
    (tmp_path / "shots" / "notes.txt").write_text("no picture")
    (tmp_path / "shots" / "._1.png").write_bytes(b"left behind by another system")
    with open_source(tmp_path / "shots") as source:
        frames = list(source)
        assert (source.name, source.fps, source.num_frames_hint) == ("shots", 30, 6)
        assert (source.width, source.height) == (WIDTH, HEIGHT)
    assert [read_index(frame.image) for frame in frames] == list(range(6))
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(6) / 30)


def test_pattern_and_single_picture(tmp_path):
    save_pictures(tmp_path / "shots", ["a1.png", "a2.png", "a10.png", "b.png"])
    with open_source(str(tmp_path / "shots" / "a*.png")) as source:
        assert [read_index(frame.image) for frame in source] == [0, 1, 2]
        assert source.name == "shots"
    with open_source(tmp_path / "shots" / "b.png") as source:
        assert [read_index(frame.image) for frame in source] == [3]
        assert source.name == "b"
    save_pictures(tmp_path / "take [1]", ["x.png"])
    assert indices(tmp_path / "take [1]") == [0]
    assert indices(tmp_path / "take [1]" / "x.png") == [0]


def test_a_damaged_picture_in_the_middle(tmp_path):
    save_pictures(tmp_path, [f"{index}.png" for index in range(5)])
    broken = tmp_path / "3.png"
    broken.write_bytes(broken.read_bytes()[:-600])
    good, error = read_partly(tmp_path)
    assert good == [0, 1, 2]
    assert str(broken) in str(error)
    assert "3 good frames" in str(error)


def test_a_picture_of_another_size(tmp_path):
    save_pictures(tmp_path, ["0.png", "1.png"])
    Image.new("RGB", (50, 40)).save(tmp_path / "2.png")
    good, error = read_partly(tmp_path)
    assert good == [0, 1]
    for part in ("2.png", "50x40", f"{WIDTH}x{HEIGHT}", "2 good frames"):
        assert part in str(error)


def test_exif_orientation(tmp_path):
    """Tag value 6: the camera was turned, the first stored row is the right side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(5)).save(tmp_path / "a.png", exif=exif)
    with open_source(tmp_path) as source:
        (frame,) = source
        assert (source.width, source.height) == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(frame.image, picture(5)[::-1].swapaxes(0, 1))


def test_transparent_grey_and_deep_pictures(tmp_path):
    layer = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    layer.putpixel((1, 0), (10, 20, 30, 255))
    layer.save(tmp_path / "0.png")
    Image.new("L", (4, 4), 77).save(tmp_path / "1.png")
    Image.fromarray(np.full((4, 4), 0x8042, np.uint16)).save(tmp_path / "2.png")
    with open_source(tmp_path) as source:
        images = [frame.image for frame in source]
    assert images[0][0, :2].tolist() == [[255, 255, 255], [10, 20, 30]]
    assert (images[1] == 77).all()
    assert (images[2] == 0x80).all()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds one row."""
    output = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    output.seek(0, io.SEEK_END)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")):
        checksum = zlib.crc32(kind + content)
        output.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum))
    return output.getvalue()


@pytest.mark.parametrize("size", [(9000, 9000), (10000, 10000), (50000, 50000)])
def test_a_decompression_bomb_is_refused(tmp_path, size):
    (tmp_path / "a.png").write_bytes(png_header(*size))
    with pytest.raises(BadInputError, match=r"a\.png: .*pixels"):
        open_source(tmp_path / "a.png")


def test_bad_pictures(tmp_path):
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(BadInputError, match=r"a\.jpg: is not a picture"):
        open_source(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(BadInputError, match=r"a\.jpg: is empty"):
        open_source(tmp_path / "a.jpg")
    animation = [Image.fromarray(picture(index)) for index in range(3)]
    animation[0].save(tmp_path / "b.webp", save_all=True, append_images=animation[1:])
    with pytest.raises(BadInputError, match="3 pictures"):
        open_source(tmp_path / "b.webp")


def test_nothing_to_show(tmp_path):
    with pytest.raises(BadInputError, match="holds no pictures"):
        open_source(tmp_path)
    (tmp_path / "a.txt").write_text("no picture")
    with pytest.raises(BadInputError, match="holds no pictures"):
        open_source(tmp_path)
    with pytest.raises(BadInputError, match="matches no pictures"):
        open_source(str(tmp_path / "*.jpg"))


def test_digits_may_be_a_path(tmp_path, monkeypatch):
    (tmp_path / "7").mkdir()
    Image.fromarray(picture(3)).save(tmp_path / "7" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert indices("7") == [3]
