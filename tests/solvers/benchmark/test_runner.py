"""The runner: limits hold, nothing done is lost or done twice, and lies are found out."""

from __future__ import annotations

import csv
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mailopt_solvers import Highs, InvalidOption, MalformedResults, SolverNotInstalled
from mailopt_solvers.benchmark import Collection, Record, Results, Settings, run_benchmark, write_report
from mailopt_solvers.engines import Engine
from tests.solvers.benchmark.collections import tiny
from tests.solvers.benchmark.planted import Planted

QUICK = Settings(time_limit=2.0, repeats=1)
STATUSES = {
    "liar": "optimal",
    "denier": "infeasible",
    "crasher": "crashed",
    "hog": "out_of_memory",
    "thrower": "refused",
    "mute": "optimal",
    "honest": "optimal",
    "infinite": "optimal",
    "huge": "optimal",
    "listy": "optimal",
    "wordy": "optimal",
    "nothing": "refused",
    "server_killer": "crashed",
    "group_killer": "crashed",
    "daemon": "optimal",
    "timeless": "optimal",
}
TIMES = ("seconds", "build_seconds", "wall_seconds", "memory", "machine")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    return tiny(tmp_path_factory.mktemp("tiny"))


def processes() -> str:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def apart_from_times(results: Results) -> set[Record]:
    rest = {name: "" if name == "machine" else 0 for name in TIMES}
    return {replace(record, **rest) for record in results.records}  # type: ignore[arg-type]


def test_true_answers_are_true(collection: Collection, tmp_path: Path) -> None:
    results = run_benchmark(collection, tmp_path, ["highs-simplex", "glop", "clarabel"], settings=QUICK)
    assert len(results.records) == 3 * 3 + 1
    assert all(record.claims_optimal and record.is_true("medium") for record in results.records)
    assert all(record.is_true("high") for record in results.records if record.setting != "clarabel")
    assert {record.track for record in results.records if record.instance == "rounds-3"} == {"cold", "warm"}
    warm, cold = (
        next(r for r in results.records if (r.setting, r.track, r.family) == ("highs-simplex", kind, "rounds"))
        for kind in ("warm", "cold")
    )
    assert 0 <= warm.iterations < cold.iterations
    (machine,) = results.about["machines"].values()
    assert machine["threads"] == 1
    assert machine["software"]["highspy"]
    with open(tmp_path / "results.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 10


def test_planted_faults(collection: Collection, tmp_path: Path) -> None:
    solvers = {method: Planted(method) for method in STATUSES}
    results = run_benchmark(collection, tmp_path, solvers, settings=replace(QUICK, memory_limit=1 << 30))
    assert {record.setting: record.status for record in results.records} == STATUSES
    assert len(results.records) == 3 * len(STATUSES)
    by = {record.setting: record for record in results.records if record.instance == "cover-5"}
    assert by["liar"].objective_error == pytest.approx(0.01 * (by["honest"].objective - 0.5) / by["honest"].objective)
    assert by["liar"].primal_residual > 1e-3
    assert math.isnan(by["mute"].objective)
    assert "signal 6" in by["crasher"].detail
    assert by["thrower"].detail == "broke down with ValueError: what is a program?"
    text = write_report(results).read_text()
    for setting in ("infinite", "huge", "listy", "liar", "mute"):
        assert f"{setting} (3 of 3)" in text
        assert not any(record.is_true("low") for record in results.records if record.setting == setting)
    for setting in ("honest", "wordy", "daemon", "timeless"):
        assert all(record.is_true("high") for record in results.records if record.setting == setting)
    assert all(0 < record.seconds <= record.wall_seconds for record in results.records if record.setting == "timeless")
    assert len(by["wordy"].version) <= 300
    assert "sleep(601)" not in processes()
    assert "| denier | 0 | 0 | 0 | 3 |" in text
    assert "| liar | 3 | 3 | 3 | 0 |" in text
    assert "| honest | 0 | 0 | 0 | 0 |" in text
    assert (tmp_path / "profile.png").stat().st_size > 5000


def test_a_solver_that_does_not_stop_is_killed_with_its_children(collection: Collection, tmp_path: Path) -> None:
    one = replace(collection, entries=collection.entries[:1])
    settings = replace(QUICK, time_limit=0.1)
    started = time.monotonic()
    results = run_benchmark(
        one, tmp_path, {"sleeper": Planted("sleeper"), "honest": Planted("honest")}, settings=settings
    )
    assert time.monotonic() - started < 30
    assert [record.status for record in results.records] == ["out_of_time", "optimal"]
    assert "killed after 2.11 s" in results.records[0].detail
    assert "time.sleep(600)" not in processes()


def test_results_are_kept_and_completed(collection: Collection, tmp_path: Path) -> None:
    first = run_benchmark(collection, tmp_path, ["highs-simplex"], settings=QUICK)
    path = tmp_path / "results.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:40])  # as if killed while writing
    counts: list[tuple[int, int]] = []
    both = run_benchmark(
        collection, tmp_path, ["highs-simplex", "scipy"], settings=QUICK, progress=lambda *given: counts.append(given)
    )
    assert counts == [(done, 7) for done in range(1, 8)]
    assert path.read_bytes().startswith(b"".join(lines[:2]))
    assert apart_from_times(first) < apart_from_times(both)
    again = run_benchmark(collection, tmp_path, ["scipy", "highs-simplex"], settings=QUICK)
    assert again.records == both.records


def test_what_does_not_fit(collection: Collection, tmp_path: Path) -> None:
    run_benchmark(collection, tmp_path, ["highs-simplex"], settings=QUICK)
    with pytest.raises(InvalidOption, match="with settings"):
        run_benchmark(collection, tmp_path, ["highs-simplex"], settings=replace(QUICK, time_limit=3.0))
    with pytest.raises(InvalidOption, match="with collection"):
        run_benchmark(replace(collection, name="other"), tmp_path, ["highs-simplex"], settings=QUICK)
    with pytest.raises(SolverNotInstalled, match="unknown solver"):
        run_benchmark(collection, tmp_path, ["simplexx"], settings=QUICK)
    path = tmp_path / "results.csv"
    content = path.read_text()
    path.write_text(content + content.splitlines()[1] + "\n")
    with pytest.raises(MalformedResults, match="twice"):
        Results.load(tmp_path)
    path.write_text(content.replace(",cold,", ",cold,extra,"))
    with pytest.raises(MalformedResults, match="line 2"):
        Results.load(tmp_path)
    path.write_text("a,b\n")
    with pytest.raises(MalformedResults, match="other columns"):
        Results.load(tmp_path)
    path.write_text(content)
    with pytest.raises(InvalidOption, match=r"holds results of Highs\('simplex'\) as 'highs-simplex', which is now"):
        run_benchmark(collection, tmp_path, {"highs-simplex": Highs("ipm")}, settings=QUICK)
    about = (tmp_path / "run.json").read_text()
    for damaged in ("", "[]", about.replace('"skipped"', '"skip"')):
        (tmp_path / "run.json").write_text(damaged)
        with pytest.raises(MalformedResults, match=r"run\.json"):
            run_benchmark(collection, tmp_path, ["highs-simplex"], settings=QUICK)
    (tmp_path / "run.json").unlink()
    with pytest.raises(MalformedResults, match=r"no run\.json"):
        run_benchmark(collection, tmp_path, ["highs-simplex"], settings=QUICK)
    path.write_text(content.splitlines(keepends=True)[0])  # killed before it was written: nothing is lost
    run_benchmark(collection, tmp_path, ["highs-simplex"], settings=QUICK)


def test_two_runs_at_once(collection: Collection, tmp_path: Path) -> None:
    def other(done: int, total: int) -> None:
        with pytest.raises(InvalidOption, match="another run is writing"):
            run_benchmark(collection, tmp_path, ["highs-simplex"], settings=QUICK)

    run_benchmark(collection, tmp_path, ["highs-simplex"], settings=QUICK, progress=other)


@pytest.mark.parametrize(
    "options", [{"time_limit": 0}, {"time_limit": math.inf}, {"memory_limit": 0}, {"memory_limit": 1.5}, {"repeats": 0}]
)
def test_bad_settings(options: dict[str, float]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(options))):
        Settings(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["loky", "dask"])  # Ray is in test_engines.py
def test_engines_give_the_same_results(name: str, collection: Collection, tmp_path: Path) -> None:
    solvers = {"simplex": Highs("simplex"), "liar": Planted("liar")}
    alone = run_benchmark(collection, tmp_path / "alone", solvers, settings=QUICK)
    engine = Engine(name, workers=2)  # type: ignore[arg-type]
    together = run_benchmark(collection, tmp_path / "together", solvers, settings=QUICK, engine=engine)
    assert apart_from_times(together) == apart_from_times(alone)
    assert len(together.records) == 7


SCRIPT = """
import sys
from mailopt_solvers.benchmark import Collection, Settings, run_benchmark
settings = Settings(time_limit=2.0, repeats=1)
run_benchmark(Collection.load(sys.argv[1]), sys.argv[2], ["highs-simplex", "glop", "clarabel"], settings=settings)
"""


def test_killed_at_any_time(collection: Collection, tmp_path: Path) -> None:
    """Kill it again and again, then let it finish: the same rows as of one run, apart from times."""
    clean = run_benchmark(collection, tmp_path / "clean", ["highs-simplex", "glop", "clarabel"], settings=QUICK)
    command = [sys.executable, "-c", SCRIPT, str(collection.folder), str(tmp_path / "killed")]
    before: list[str] = []
    for delay in (0.9, 1.5, 2.1):
        process = subprocess.Popen(command, start_new_session=True)
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)  # alone: its children must notice
        process.wait()
        path = tmp_path / "killed" / "results.csv"
        lines = path.read_text().splitlines() if path.exists() else []
        assert lines[: len(before)] == before
        before = lines
    subprocess.run(command, check=True)
    assert apart_from_times(Results.load(tmp_path / "killed")) == apart_from_times(clean)
    time.sleep(0.5)
    assert str(tmp_path / "killed") not in processes()
