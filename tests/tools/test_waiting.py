"""The command line decides how long PyTorch's threads wait before torch is there, unless the user has."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
import mssts.cli
assert "torch" not in sys.modules
seen = []
mssts.cli.parse = lambda arguments: seen.append("torch" in sys.modules) or sys.exit(0)
try:
    mssts.cli.main([])
except SystemExit:
    print(seen, os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_waiting_is_set_before_torch_comes(chosen: dict[str, str], expected: str) -> None:
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names} | chosen
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == f"[False] {expected}", done.stderr
