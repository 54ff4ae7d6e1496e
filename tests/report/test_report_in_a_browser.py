"""The report in a real browser: it loads nothing, and shows all of its pictures."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_report import NUM_VIDEOS, make_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--hide-scrollbars", "--window-size=1200,2600",
)  # fmt: skip
# The page allows no scripts; the copy that counts its pictures may run one.
COUNTING = """<script>addEventListener("load", () => { document.title =
[...document.images].map(one => one.complete && one.naturalWidth > 0).join() })</script>"""


def open_page(page: Path, folder: Path, *options: str) -> str:
    """What the browser prints."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    command = [browser, *QUIET, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def requests_of(page: Path, folder: Path) -> list[str]:
    """What the page itself asks the network for; the browser's own requests have no origin."""
    log = folder / "net.json"
    open_page(page, folder, f"--log-net-log={log}", "--dump-dom")
    parameters = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    asked = [one["url"] for one in parameters if one.get("initiator", "not an origin") != "not an origin"]
    return [url for url in asked if not url.startswith(("file:", "data:"))]


def test_all_pictures_load_and_no_request_leaves_the_page(tmp_path: Path) -> None:
    report = make_report(tmp_path / "set").path
    # The page's own policy would block requests; without it there must be none to block.
    text = report.read_text(encoding="utf-8")
    policy = text[text.index("<meta http-equiv") : text.index("<title>")]
    copy = tmp_path / "copy.html"
    copy.write_text(text.replace(policy, COUNTING), encoding="utf-8")
    assert requests_of(copy, tmp_path) == []
    page = open_page(copy, tmp_path, "--dump-dom")
    title = page[page.index("<title>") + len("<title>") : page.index("</title>")]
    assert title == ",".join(["true"] * NUM_VIDEOS)

    picture = tmp_path / "page.png"
    open_page(report, tmp_path, f"--screenshot={picture}")
    shown = np.array(Image.open(picture).convert("RGB"))
    assert shown.std() > 10  # not a blank page


def test_a_request_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<img src="http://example.invalid/picture.png">', encoding="utf-8")
    assert requests_of(page, tmp_path) == ["http://example.invalid/picture.png"]
