"""What `mssts info` says about this machine."""

import pytest

from mssts.tools.info import run_info


@pytest.mark.parametrize(("setting", "expected"), [("", "cpu: Numba"), ("reference", "cpu: plain PyTorch")])
def test_info_names_the_form_of_deformable_attention(
    setting: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MSSTS_DEFORMABLE", setting)
    assert run_info(None) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("deformable attention"))
    assert line.startswith(f"deformable attention: {expected}")
