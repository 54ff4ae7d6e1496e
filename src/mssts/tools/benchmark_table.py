"""`mssts benchmark` for several presets, sizes, clip lengths or precisions: a row each.

Each is measured by a process of its own, for the peak memory of a process never falls again.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mssts.atomic_file import write_atomically
from mssts.errors import ResourceError

Setting = tuple[str, tuple[int, int], int, str]
"""Preset, height and width, frames, precision."""

HEAD = (
    f"{'preset':<16}{'size':>10}{'frames':>8}{'numbers':>9}{'M param.':>10}{'s / clip':>10}{'ms / frame':>12}{'FPS':>8}"
    f"{'GiB':>7}{'GFLOP':>9}{'share':>7}"
)


def benchmark_table(
    settings: Sequence[Setting], repeat: int, device: str, compiled: bool, json_path: Path | None
) -> int:
    """Measure one setting after the other and print its row at once; the JSON file, if any, holds a list of them.

    Raises:
        ResourceError: A measurement ended early: out of memory, perhaps. The rows before it are in the JSON file.
    """
    print(HEAD, flush=True)
    measured: list[dict[str, Any]] = []
    try:
        for setting in settings:
            measured.append(_measure_apart(setting, repeat, device, compiled))
            print(row(measured[-1]), flush=True)
    finally:
        if json_path:
            write_atomically(json_path, json.dumps(measured, indent=1) + "\n")
    print("share: operations a second, of those that matrix products of these numbers reach in the same process")
    return 0


def row(facts: dict[str, Any]) -> str:
    """One measurement as a line of the table."""
    size = f"{facts['size'][0]}x{facts['size'][1]}"
    return (
        f"{facts['preset']:<16}{size:>10}{facts['frames']:>8}{facts['precision']:>9}{facts['parameters'] / 1e6:>10.1f}"
        f"{facts['clip_s']:>10.3f}{1e3 * facts['frame_s']:>12.1f}{1 / facts['frame_s']:>8.2f}"
        f"{facts['peak_memory'] / 2**30:>7.2f}{facts['gflop']:>9.0f}{facts['matmul_share']:>7.0%}"
    )


def _measure_apart(setting: Setting, repeat: int, device: str, compiled: bool) -> dict[str, Any]:
    name, (height, width), frames, precision = setting
    with TemporaryDirectory(prefix="mssts-") as folder:
        facts = Path(folder) / "facts.json"
        command = [sys.executable, "-m", "mssts", "benchmark", "--preset", name, "--size", f"{height}x{width}"]
        command += ["--frames", str(frames), "--precision", precision, "--repeat", str(repeat), "--device", device]
        command += ["--compile"] if compiled else []
        done = subprocess.run([*command, "--json", str(facts)], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["killed, perhaps for want of memory"])[-1]
            raise ResourceError(f"benchmark: {name} {height}x{width}, {frames} frames, {precision}: {reason}")
        return json.loads(facts.read_text())
