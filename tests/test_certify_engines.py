"""``mailopt certify`` with workers: the same certificates as without, wherever they are made."""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

import mailopt as mo
from mailopt import cli
from mailopt.certificates.batch import Files, Outcome
from mailopt.certificates.certify import Certifier
from mailopt_solvers.engines import Engine


def mailopt(*arguments: object, status: int = 0) -> tuple[str, str]:
    command = [sys.executable, "-c", "from mailopt.cli import main; main()", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def rows_of(*arguments: object, status: int = 0) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(mailopt("certify", *arguments, "--json", status=status)[0])["certificates"]
    return rows


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def given(tmp_path: Path) -> tuple[object, ...]:
    """A game, a folder of six policies and an expert, as arguments."""
    chain = mo.scenarios.covered_chain(4, coverage=0.25, error=0.125)
    chain.game.save(tmp_path / "game.npz")
    chain.expert.save(tmp_path / "expert.json", chain.game)
    folder = tmp_path / "policies"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(6):
        drawn = rng.dirichlet(np.ones(chain.game.num_joint_actions), chain.learner.probabilities.shape[:-1])
        mo.CorrelatedPolicy(drawn).save(folder / f"p{k}.{'json' if k % 2 else 'npz'}", chain.game)
    return tmp_path / "game.npz", folder, "--expert", tmp_path / "expert.json", "-o"


def test_workers_write_what_one_process_writes(given: tuple[object, ...], tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    rows = rows_of(*given, alone)
    assert [Path(row["policy"]).stem for row in rows] == [f"p{k}" for k in range(6)]
    assert all(row["status"] == "written" for row in rows)
    text, _ = mailopt("certify", *given, together, "--workers", 2)
    assert "6 written" in text
    assert contents(together) == contents(alone)
    assert len(contents(together)) == 6
    # resumed: one is missing, one is of another policy, four are kept
    (together / "p1.json").unlink()
    (together / "p2.json").write_bytes((together / "p3.json").read_bytes())
    text, _ = mailopt("certify", *given, together, "--workers", 2)
    assert "1 written, 1 replaced, 4 kept" in text
    assert contents(together) == contents(alone)
    kept, anew = rows_of(*given, alone), rows_of(*given, together, "--workers", 2)
    assert anew == [row | {"certificate": str(together / Path(row["certificate"]).name)} for row in kept]


def test_what_fails_fails_as_in_one_process(given: tuple[object, ...], tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    (folder / "p2.npz").write_bytes(b"not an archive")
    (folder / "p3.json").write_text("{}")
    for name in ("alone", "together"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p4.json").write_text("not a certificate")
    alone = rows_of(*given[:2], tmp_path / "missing.json", *given[2:], tmp_path / "alone", status=2)
    options = (tmp_path / "together", "--workers", 2)
    together = rows_of(*given[:2], tmp_path / "missing.json", *given[2:], *options, status=2)
    assert [row["status"] for row in together] == ["written"] * 2 + ["failed"] * 3 + ["written", "failed"]
    assert "No such file" in together[-1]["error"]
    for one, other in zip(alone, together, strict=True):
        assert json.loads(json.dumps(one).replace(str(tmp_path / "alone"), str(tmp_path / "together"))) == other
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")


def test_a_dask_cluster_certifies(given: tuple[object, ...], tmp_path: Path) -> None:
    with importlib.import_module("distributed").LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
    ) as cluster:
        where = ("--engine", "dask", "--workers", 2, "--address", cluster.scheduler_address)
        mailopt("certify", *given, tmp_path / "there", "--exact", *where)
    mailopt("certify", *given, tmp_path / "here", "--exact")
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def deadly(files: Files) -> Outcome:
    if files[0].name.endswith("p0.npz"):
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome("failed", f"{files[0].name} was tried")


def test_a_policy_that_kills_its_worker_fails_alone(
    given: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = sorted((tmp_path / "policies").iterdir())
    targets = [tmp_path / "out" / f"{path.stem}.json" for path in paths]
    certifier = Certifier(mo.load_game(tmp_path / "game.npz"), None, deviations=mo.Swap(), exact=False)
    with pytest.raises(typer.Exit):
        cli._certify_files(certifier, deadly, paths, targets, Engine("loky", 2), True)
    said = capsys.readouterr()
    assert [row["status"] for row in json.loads(said.out)["certificates"]] == ["failed"] * 6
    errors = said.err.splitlines()
    assert f"{paths[0]}: the process that ran it was lost each time" in errors[0]
    assert errors[1:] == [f"error: {path} was tried" for path in paths[1:]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--workers", 2), "need -o"),
        (("--engine", "loky"), "need -o"),
        (("--address", "tcp://127.0.0.1:1"), "need -o"),
        (("-o", "out", "--workers", 0), "at least 1"),
        (("-o", "out", "--address", "tcp://127.0.0.1:1"), "dask and ray"),
        (("-o", "out", "--engine", "dask", "--address", "tcp://127.0.0.1:1"), "no cluster answers"),
        (("-o", "out", "--engine", "slurm"), "slurm"),
    ],
)
def test_wrong_options(given: tuple[object, ...], tmp_path: Path, options: tuple[object, ...], message: str) -> None:
    options = tuple(tmp_path / "out" if option == "out" else option for option in options)
    _, errors = mailopt("certify", given[0], tmp_path / "policies" / "p1.json", *options, status=2)
    assert message in errors
    assert "Traceback" not in errors


def test_folders_of_policies(given: tuple[object, ...], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    _, errors = mailopt("certify", given[0], tmp_path / "empty", "-o", tmp_path / "out", status=2)
    assert "the folder has no .json or .npz files" in errors
    _, errors = mailopt("certify", given[0], tmp_path / "policies", status=2)
    assert "several policies need -o" in errors
