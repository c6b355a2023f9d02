"""Collections on disk: what is written comes back, what was changed is noticed, and proofs prove."""

from __future__ import annotations

import gzip
import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailopt_solvers import InvalidProgram, MalformedCollection, Termination, read_mps, solve_exact, write_mps
from mailopt_solvers.benchmark import Collection, Instance, KnownOptimum, optimum_checker, write_collection
from mailopt_solvers.mps import member_names
from tests.solvers.benchmark.collections import covering, instance, tiny
from tests.solvers.random_programs import random_program


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    made = tiny(tmp_path)
    loaded = Collection.load(tmp_path)
    assert loaded == made
    assert [entry.name for entry in loaded.entries] == ["cover-2", "cover-5", "rounds-3"]
    assert [entry.is_sequence for entry in loaded.entries] == [False, False, True]
    for entry, size, rounds in zip(loaded.entries, (2, 5, 3), (0, 0, 3), strict=True):
        for program, same, part in zip(loaded.programs(entry), covering(size, rounds), entry.programs, strict=True):
            assert (program.matrix.toarray() == same.matrix.toarray()).all()
            assert (part.rows, part.columns, part.nonzeros) == (same.num_rows, size, same.num_nonzeros)
            assert part.optimum.lower == part.optimum.upper == solve_exact(same).objective
            assert part.optimum.methods == ("by hand", "weak duality on the file")
        assert loaded.verify(entry)


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    tiny(tmp_path / "one")
    tiny(tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(names) == 2 * 6 + 1
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_checker_proves_what_solve_exact_finds_and_nothing_else(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = random_program(seed)
    solution = solve_exact(program)
    assert solution.termination is Termination.OPTIMAL
    path = tmp_path_factory.mktemp("mps") / "program.mps.gz"
    write_mps(program, path)
    read = optimum_checker.read_program(path)
    columns, rows = member_names(program)
    x, duals = dict(zip(columns, solution.x, strict=True)), dict(zip(rows, solution.row_duals, strict=True))
    assert optimum_checker.proved_optimum(read, x, duals).optimum == solution.objective
    for part, names in ((x, columns), (duals, rows)):
        for name in names[:2]:
            moved = {**part, name: part[name] + 1}
            given = (moved, duals) if part is x else (x, moved)
            try:
                proved = optimum_checker.proved_optimum(read, *given).optimum
            except optimum_checker.NotProved:
                continue
            assert proved == solution.objective  # another optimal point, or other multipliers of it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda proof: proof.update(optimum="7"), "says 7.0 and proves"),
        (lambda proof: proof["x"].update({"x[0]": "9"}), "not feasible"),
        (lambda proof: proof["x"].update({"y": "1"}), "the program has no y"),
        (lambda proof: proof["row_duals"].clear(), "the duals prove no more than"),
        (lambda proof: proof["row_duals"].update({"covered[0]": "-1"}), "calls for a bound that does not exist"),
        (lambda proof: proof.update(version=2), "no proof of an optimum"),
        (lambda proof: proof["x"].update({"x[0]": "1/0"}), "cannot read"),
        (lambda proof: proof.update(optimum="1e999999999"), "is no fraction"),
        (lambda proof: proof.update(optimum=1e999), "cannot read"),
    ],
)
def test_bad_proofs(change: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collection = tiny(tmp_path)
    path = tmp_path / "cover-2.proof.json.gz"
    proof = json.loads(gzip.decompress(path.read_bytes()))
    change(proof)  # type: ignore[operator]
    path.write_bytes(gzip.compress(json.dumps(proof).encode()))
    with pytest.raises(MalformedCollection, match=message):
        collection.verify(collection.entries[0])
    assert optimum_checker.main([str(tmp_path / "cover-2.mps.gz"), str(path)]) == 1
    assert message in capsys.readouterr().out


def test_the_checker_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny(tmp_path)
    files = [str(tmp_path / f"cover-5.{kind}.gz") for kind in ("mps", "proof.json")]
    assert optimum_checker.main(files) == 0
    assert capsys.readouterr().out.startswith("proved: the optimum is ")
    assert optimum_checker.main(files[:1]) == 2
    imports = [line for line in Path(optimum_checker.__file__).read_text().splitlines() if "import " in line[:20]]
    assert not any("mailopt" in line or "numpy" in line for line in imports)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" x[0] covered[0] ", " x[0] nowhere "),
        ("ENDATA\n", ""),
        ("ENDATA\n", "ENDATA"),
        ("    MIN", "    MOST"),
        ("OBJSENSE\n    MIN", "OBJSENSE MAX"),
        ("    MIN", "MAX"),
        (" G covered[0]", " Z covered[0]"),
        (" UP BOUND x[0]", "UP BOUND x[0]"),
        (" UP BOUND x[0] 4.0", " UP BOUND x[0] 4_0.0"),
        (" UP BOUND x[0] 4.0", " UP BOUND x[0] -4.0"),
        (" UP BOUND x[0] 4.0", " UP BOUND x[0]"),
        (" UP BOUND x[0] 4.0", " UP BOUND x[0] 4.0\f UP BOUND x[1] 1"),
        (" UP BOUND x[0] 4.0", " UP BOUND x[0] 1e20"),
        (" UP BOUND x[0] 4.0", " UP BOUND x[0] 4.0\n UP BOUND x[0] 5.0"),
        (" UP BOUND x[0] 4.0", " PL BOUND x[0]"),
        (" RHS covered[0] 2.0", "RHS covered[0] 2.0"),
        (" RHS covered[0] 2.0", " RHS covered[0] 2.0\n RHS covered[0] 2.0"),
        (" RHS covered[0] 2.0", " RHS covered[0] nan"),
        (" RHS covered[0] 2.0", " RHS covered[0] 1e400"),
        (" RHS covered[0] 2.0", "* a comment"),
        (" x[0] covered[0] ", " x[0] covered[1] "),
        ("NAME mailopt FREE", "NAME mailopt\r FREE"),
        ("RANGES\n", "RANGES\n RANGE covered[0] -1.0\n"),
        ("RANGES\n", ""),
    ],
)
def test_the_checker_reads_only_what_all_read_alike(old: str, new: str, tmp_path: Path) -> None:
    write_mps(covering(2)[0], tmp_path / "a.mps")
    text = (tmp_path / "a.mps").read_bytes().decode()
    assert old in text
    (tmp_path / "a.mps").write_bytes(text.replace(old, new, 1).encode())
    with pytest.raises(optimum_checker.NotProved, match=r"cannot read|cut off"):
        optimum_checker.read_program(tmp_path / "a.mps")


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    collection = tiny(tmp_path)
    write_mps(covering(2)[0].changed(costs=covering(2)[0].costs * 2), tmp_path / "cover-2.mps.gz")
    for check in (collection.programs, collection.verify):
        with pytest.raises(MalformedCollection, match="its digest differs"):
            check(collection.entries[0])
    (tmp_path / "cover-2.mps.gz").write_bytes(b"\x1f\x8bnonsense")
    for check in (collection.programs, collection.verify):
        with pytest.raises(MalformedCollection, match="damaged"):
            check(collection.entries[0])


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": "mailopt.benchmark", "version": 2}', "{"])
def test_bad_manifests(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(MalformedCollection, match="manifest"):
        Collection.load(tmp_path)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    tiny(tmp_path / "there")
    with pytest.raises(MalformedCollection, match="exists"):
        tiny(tmp_path / "there")
    with pytest.raises(MalformedCollection, match="two instances"):
        write_collection(tmp_path / "twice", "twice", [instance(2), instance(2)])
    assert not (tmp_path / "twice" / "manifest.json").exists()
    (program,) = covering(2)
    solution = solve_exact(program)
    wrong = KnownOptimum(Fraction(1), Fraction(1), ("guessed",), 1.0)
    with pytest.raises(MalformedCollection, match="proved"):
        write_collection(tmp_path / "wrong", "w", [Instance("w", "w", 2, 0, (program,), (wrong,), (solution,))])
    scaled = KnownOptimum(solution.objective, solution.objective, ("by hand",), 1e9)
    with pytest.raises(MalformedCollection, match="proved"):
        write_collection(tmp_path / "scale", "s", [Instance("w", "w", 2, 0, (program,), (scaled,), (solution,))])
    with pytest.raises(InvalidProgram, match="does not continue"):
        Instance("w", "w", 2, 0, (covering(3)[0], program), (wrong, wrong), (None, None))


def test_an_enclosed_optimum(tmp_path: Path) -> None:
    (program,) = covering(2)
    between = KnownOptimum(Fraction(1, 3), Fraction(10), ("a guess",), 2.0)
    write_collection(tmp_path, "loose", [Instance("a", "a", 2, 0, (program,), (between,), (None,))])
    (entry,) = Collection.load(tmp_path).entries
    assert entry.programs[0].optimum == between
    assert not Collection.load(tmp_path).verify(entry)
    assert [between.error(value) for value in (0.0, 1.0, 11.0, float("nan"))] == [1 / 6, 0.0, 0.5, float("inf")]


def test_compressed_mps(tmp_path: Path) -> None:
    program = covering(4)[0]
    write_mps(program, tmp_path / "a.mps.gz")
    assert gzip.decompress((tmp_path / "a.mps.gz").read_bytes()).startswith(b"NAME")
    assert (read_mps(tmp_path / "a.mps.gz").matrix.toarray() == program.matrix.toarray()).all()
