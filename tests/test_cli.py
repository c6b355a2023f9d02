"""The command line, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
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


def test_import_from_gambit_and_pettingzoo(tmp_path: Path) -> None:
    (tmp_path / "pd.nfg").write_text('NFG 1 R "pd" { "Ann" "Bob" } { 2 2 }  3 3  5 0  0 5  1 1', "utf-8")
    mailopt("import", f"gambit:{tmp_path / 'pd.nfg'}", "-o", tmp_path / "pd.json")
    game = mo.load_game(tmp_path / "pd.json")
    assert game.agent_names == ("Ann", "Bob")
    assert game.rewards[0, 0].tolist() == [3, 0, 5, 1]
    assert (
        "11 states" in mailopt("import", "pettingzoo:classic/rps-v2", "-o", tmp_path / "rps.npz", "--time", "step")[0]
    )
    assert mo.load_game(tmp_path / "rps.npz").agent_names == ("player_0", "player_1")


def test_numbers_of_an_estimated_game_say_so(files: dict[str, Path], tmp_path: Path) -> None:
    game = mo.load_game(files["game"])
    kernel = list(game.kernels) if len(game.kernels) > 1 else game.kernels[0]
    marked = mo.MarkovGame(
        kernel, game.rewards, game.initial, game.actions, horizon=game.horizon, legal=game.legal, estimated_from=9
    )
    marked.save(tmp_path / "marked.json")
    assert "estimated from 9 transitions, not about the true one" in " ".join(
        mailopt("certify", tmp_path / "marked.json", files["learner"])[0].split()
    )
    assert (
        json.loads(mailopt("certify", tmp_path / "marked.json", files["learner"], "--json")[0])["estimated_from"] == 9
    )
    refused = mailopt("certify", tmp_path / "marked.json", files["learner"], "-o", tmp_path / "proof.json", status=2)
    assert "estimated from 9 transitions" in refused[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("certify", "missing.json", "missing.json"), "missing.json"),
        (("certify", "{game}", "{game}"), "expected 'mailopt.policy'"),
        (("certify", "{game}", "{learner}", "--method", "simplex"), "simplex"),
        (("import", "goofspiel", "-o", "game.json"), "openspiel:"),
        (("import", "openspiel:no_such_game", "-o", "game.json"), "no_such_game"),
        (("import", "pettingzoo:no_such_game", "-o", "game.json"), "no_such_game"),
        (("import", "gambit:no_such_game.nfg", "-o", "game.json"), "no_such_game"),
        (("import", "openspiel:tic_tac_toe", "-o", "game.json", "--max-states", "99"), "max_states=99"),
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


def test_certificates_are_written_verified_and_kept(files: dict[str, Path], tmp_path: Path) -> None:
    folder, expert = tmp_path / "certificates", ("--expert", files["expert"])
    both = (files["learner"], files["expert"])
    rows = json.loads(mailopt("certify", files["game"], *both, *expert, "-o", folder, "--json")[0])["certificates"]
    assert [row["status"] for row in rows] == ["written", "written"]
    lower, upper = (Fraction(end) for end in rows[0]["regret_gap"])
    assert lower <= Fraction(3, 2) <= upper
    (folder / "expert.json").unlink()
    text, _ = mailopt("certify", files["game"], *both, *expert, "-o", folder)
    assert [word for word in text.split() if word in ("kept", "written")] == ["kept", "written"]
    rows = json.loads(mailopt("certify", files["game"], *both, *expert, "-o", folder, "--exact", "--json")[0])[
        "certificates"
    ]
    assert rows[0]["regret_gap"] == ["3/2", "3/2"]

    proof = folder / "learner.json"
    assert "Deviations: swap" in mailopt("verify", proof, files["game"], files["learner"], *expert)[0]
    for options, status in (((), "kept"), (("--deviations", "limited:0"), "replaced"), (("--exact",), "replaced")):
        assert f"2 {status}" in mailopt("certify", files["game"], *both, *expert, "-o", folder, *options)[0]
    assert "proved" in mailopt("verify", proof, files["game"], files["learner"], *expert)[0]
    fields = json.loads(mailopt("verify", proof, files["game"], files["learner"], *expert, "--json")[0])
    assert fields["valid"]
    assert fields["proved"]["regret_gap"] == ["3/2", "3/2"]
    refused, _ = mailopt("verify", proof, files["game"], files["expert"], *expert, status=1)
    assert "their digests differ" in " ".join(refused.split())
    assert "malformed" in mailopt("verify", files["game"], files["game"], files["learner"], *expert, status=2)[0]


def test_certificates_of_archives(files: dict[str, Path], tmp_path: Path) -> None:
    game = mo.load_game(files["game"])
    game.save(tmp_path / "game.npz")
    mo.load_policy(files["learner"], game).save(tmp_path / "learner.npz", game)
    proof = tmp_path / "proof.json"
    mailopt("certify", tmp_path / "game.npz", tmp_path / "learner.npz", "--deviations", "budget:0.5", "-o", proof)
    for suffix in ("npz", "json"):
        assert mailopt("verify", proof, files["game"], (tmp_path / "learner").with_suffix(f".{suffix}"))


def test_what_fails_in_a_batch_does_not_stop_it(files: dict[str, Path], tmp_path: Path) -> None:
    bad, folder = tmp_path / "bad.json", tmp_path / "out"
    bad.write_text("{}")
    text, errors = mailopt("certify", files["game"], bad, files["learner"], "-o", folder, status=2)
    assert [word for word in text.split() if word in ("failed", "written")] == ["failed", "written"]
    assert "bad.json" in errors
    assert [path.name for path in folder.iterdir()] == ["learner.json"]
    (folder / "learner.json").write_text("mine")
    _, errors = mailopt("certify", files["game"], files["learner"], "-o", folder, status=2)
    assert "learner.json" in errors
    assert (folder / "learner.json").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("{learner}", "{expert}"), "need -o"),
        (("{learner}", "--exact"), "needs -o"),
        (("{learner}", "{learner}", "-o", "."), "two policies"),
        (("{learner}", "--deviations", "limited:x"), "limited:K"),
        (("{learner}", "--deviations", "budget:-1"), "at least 0"),
        (("{learner}", "--deviations", "swap", "-o", "missing/proof.json"), "written"),
        (("{learner}", "{expert}", "-o", "proof.json"), "or a folder"),
        (("{learner}", "-o", "proof.npz"), "or a folder"),
    ],
)
def test_slips_of_certify(files: dict[str, Path], tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    given = [option.format(**files) for option in options]
    if "-o" in given:
        given[-1] = str(tmp_path / given[-1])
    text, errors = mailopt("certify", files["game"], *given, status=0 if message == "written" else 2)
    assert message in text + errors
