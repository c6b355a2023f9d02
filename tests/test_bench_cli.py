"""``mailopt bench``: export, verify, run, report, list, as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FEW = ("--family", "ce-random", "--family", "malice-rounds", "--size", 4)


def bench(*arguments: object, status: int = 0) -> tuple[str, str]:
    command = [sys.executable, "-c", "from mailopt.cli import main; main()", "bench", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout, done.stderr


def content(*arguments: object, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bench(*arguments, "--json", status=status)[0])
    return found


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "lps"
    assert content("export", folder, *FEW)["instances"] == ["ce-random-4", "malice-rounds-4"]
    return folder


def test_export_and_verify(exported: Path) -> None:
    assert content("verify", exported) == {
        "command": "bench verify",
        "proved": ["ce-random-4", "malice-rounds-4"],
        "not_proved": [],
    }
    assert "ce-random" in (exported / "README.md").read_text()
    _, errors = bench("export", exported, *FEW, status=2)
    assert "exists; export to another folder" in errors


def test_run_and_report(exported: Path, tmp_path: Path) -> None:
    given = ("run", tmp_path / "out", "--collection", exported, "--solvers", "highs-simplex,osqp-default")
    printed, _ = bench(*given)
    assert all(word in printed for word in ("highs-simplex", "2 / 2", "Report:", "false"))
    rows = (tmp_path / "out" / "results.csv").read_text()
    assert rows.count("\n") == 1 + 2 + 2 + 1
    again = content(*given)
    assert (tmp_path / "out" / "results.csv").read_text() == rows
    assert (
        again["settings"]["highs-simplex"]["high"]
        == content("report", tmp_path / "out")["settings"]["highs-simplex"]["high"]
    )
    assert again["settings"]["highs-simplex"]["high"]["solved"] == again["instances"] == 2
    assert again["settings"]["osqp-default"]["high"]["false_optima"] == 2
    text = (tmp_path / "out" / "report.md").read_text()
    for section in ("Findings", "False claims", "Fastest by family", "Scaling exponents", "Warm starts", "Limitations"):
        assert f"## {section}" in text
    for name in ("profile", "error_time", "scaling"):
        assert (tmp_path / "out" / f"{name}.png").stat().st_size > 5000


def test_a_report_when_nothing_is_solved(exported: Path, tmp_path: Path) -> None:
    given = ("run", tmp_path, "--collection", exported, "--solvers", "scipy", "--time-limit", "1e-9", "--repeats", 1)
    assert content(*given)["settings"]["scipy"]["low"]["solved"] == 0
    assert "- Nothing is solved at tolerance set medium." in (tmp_path / "report.md").read_text()


def test_list() -> None:
    found = content("list")
    assert found["families"]["deviation"]["sizes"]["small"][0] == 4
    assert found["settings"]["highs-simplex"] is None
    assert "near-zero-sum" in bench("list")[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "out", "--collection", "huge"), "no collection 'huge'"),
        (("run", "out", "--solvers", "simplexx"), "unknown solver 'simplexx'"),
        (("run", "out", "--time-limit", 0), "time_limit is 0"),
        (("run", "out", "--memory-limit", "nan"), "--memory-limit is nan"),
        (("run", "out", "--memory-limit", -1), "--memory-limit is -1"),
        (("run", "out", "--workers", 0), "workers is 0"),
        (("run", "out", "--address", "tcp://127.0.0.1:1"), "dask and ray"),
        (("export", "out", "--family", "chess"), "no family 'chess'"),
        (("export", "out", "--family", "ce-random", "--size", 3, "--size", 3), "a size is given twice"),
        (("export", "out", "--collection", "tiny"), "no collection 'tiny'"),
        (("verify", "out"), "No such file"),
        (("report", "out"), "No such file"),
    ],
)
def test_bad_input(arguments: tuple[object, ...], message: str, tmp_path: Path) -> None:
    given = [tmp_path / "out" if argument == "out" else argument for argument in arguments]
    _, errors = bench(*given, status=2)
    assert message in errors
    assert not (tmp_path / "out").exists()
