"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mailopt as mo


def mailopt(*arguments: object, status: int = 0) -> tuple[str, str]:
    command = [sys.executable, "-c", "from mailopt.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    chain = mo.scenarios.covered_chain(5, coverage=0.25, error=0.125)
    paths = {name: tmp_path / f"{name}.json" for name in ("game", "learner", "expert")}
    chain.game.save(paths["game"])
    chain.learner.save(paths["learner"], chain.game)
    chain.expert.save(paths["expert"], chain.game)
    return paths


@pytest.mark.parametrize("horizon", [2, 6])
def test_demo_shows_the_gaps_and_who_deviates(horizon: int) -> None:
    text, _ = mailopt("demo", "--horizon", horizon)
    assert f"H - 1 = {horizon - 1}" in text
    assert "agent 0" in text
    fields = json.loads(mailopt("demo", "--horizon", horizon, "--json")[0])
    for method in ("dp", "lp"):
        assert fields[method]["value_gap"] == pytest.approx(0.0, abs=1e-9)
        assert fields[method]["regret_gap"] == pytest.approx(horizon - 1, abs=1e-9)
    assert fields["explicit_deviation_value"] == pytest.approx(horizon - 1)
    assert [d["state_name"] for d in fields["regret"]["departures"]] == ["s0"]


@pytest.mark.parametrize("method", ["auto", "dp", "lp"])
@pytest.mark.parametrize("deviations", ["swap", "external"])
def test_certify_prints_the_library_s_numbers(files: dict[str, Path], method: str, deviations: str) -> None:
    options = ("--expert", files["expert"], "--deviations", deviations, "--method", method)
    fields: dict[str, Any] = json.loads(mailopt("certify", files["game"], files["learner"], *options, "--json")[0])
    assert fields["regret_gap"] == pytest.approx(1.5)  # (1 - 0.25) (5 - 1) 0.125 / 0.25
    assert fields["value_gap"] == pytest.approx(-0.625)  # the learner errs into reward: 5 steps, 0.125 each
    assert fields["policy"]["gains"] == pytest.approx([1.5, 1.5])
    text, _ = mailopt("certify", files["game"], files["learner"], *options)
    assert "regret gap  1.5" in text


def test_certify_without_an_expert(files: dict[str, Path]) -> None:
    fields = json.loads(mailopt("certify", files["game"], files["expert"], "--json")[0])
    assert "regret_gap" not in fields
    assert fields["policy"]["regret"] == 0
    assert "never disobeys" in mailopt("certify", files["game"], files["expert"])[0]


def test_import_writes_a_game_that_certify_reads(tmp_path: Path) -> None:
    target = tmp_path / "game.npz"
    spec = "openspiel:goofspiel(num_cards=3,imp_info=False,points_order=descending)"
    fields = json.loads(mailopt("import", spec, "-o", target, "--json")[0])
    game = mo.load_game(target)
    assert repr(game) == fields["game"]
    mo.CorrelatedPolicy.uniform(game).save(tmp_path / "uniform.json", game)
    numbers = json.loads(mailopt("certify", target, tmp_path / "uniform.json", "--json")[0])
    assert np.sum(numbers["policy"]["values"]) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("certify", "missing.json", "missing.json"), "missing.json"),
        (("certify", "{game}", "{game}"), "expected 'mailopt.policy'"),
        (("certify", "{game}", "{learner}", "--method", "simplex"), "simplex"),
        (("import", "goofspiel", "-o", "game.json"), "openspiel:"),
        (("import", "openspiel:no_such_game", "-o", "game.json"), "no_such_game"),
        (("demo", "--horizon", "1"), "horizon"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
def test_bad_input_is_one_message_and_status_two(
    files: dict[str, Path], arguments: tuple[str, ...], message: str
) -> None:
    _, stderr = mailopt(*(argument.format(**files) for argument in arguments), status=2)
    assert message in stderr
    assert "Traceback" not in stderr
