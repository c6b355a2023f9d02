"""Results of a run: one tidy row for each solver setting, instance and track, in one CSV file that only grows."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from mailopt_solvers.benchmark.judging import TOLERANCES
from mailopt_solvers.errors import InvalidOption, MalformedResults
from mailopt_solvers.files import write_all

RESULTS, ABOUT = "results.csv", "run.json"
_FORMAT = {"format": "mailopt.benchmark.run", "version": 1}
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Record:
    """One row.

    Attributes
    ----------
    instance, family, size, seed, digest
        The instance, and the digest of its programs and optima.
    track
        ``cold``: each program from scratch; ``warm``: from the basis of the program before.
    setting, solver, version
        Name of the setting, the solver object, the software's version.
    rows, columns, nonzeros
        Of the program; of a sequence, of its last one.
    status
        What the solver claims, or what happened instead: see :class:`~mailopt_solvers.benchmark.tasks.Outcome`.
    seconds
        In the solver, over all programs of a sequence; of repeated runs the median. NaN without an answer.
    build_seconds, wall_seconds
        To hand the programs over; of everything.
    iterations
        If the solver tells, -1 if not.
    objective, objective_error, dual_error, primal_residual, dual_residual, duality_gap
        See :class:`~mailopt_solvers.benchmark.judging.Judgement`; of a sequence the worst. NaN if not every program was
        answered.
    memory
        Bytes that solving added, -1 if not known.
    machine
        Key of a machine in ``run.json``.
    detail
        The solver's own words, or the error.
    """

    instance: str
    family: str
    size: int
    seed: int
    digest: str
    track: str
    setting: str
    solver: str
    version: str
    rows: int
    columns: int
    nonzeros: int
    status: str
    seconds: float
    build_seconds: float
    wall_seconds: float
    iterations: int
    objective: float
    objective_error: float
    dual_error: float
    primal_residual: float
    dual_residual: float
    duality_gap: float
    memory: int
    machine: str
    detail: str

    @property
    def key(self) -> Key:
        """What it is the result of: instance, setting, track."""
        return self.instance, self.setting, self.track

    @property
    def claims_optimal(self) -> bool:
        """Whether the solver says that it found the optimum."""
        return self.status == "optimal"

    def is_true(self, tolerances: str) -> bool:
        """Whether objective, residuals, gap and dual objective are within a tolerance set, whatever is claimed."""
        worst = (
            self.objective_error,
            self.dual_error,
            self.primal_residual,
            self.dual_residual,
            self.duality_gap,
        )
        return all(number <= TOLERANCES[tolerances] for number in worst)

    def row(self) -> str:
        """One line of CSV."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow([_written(value) for value in asdict(self).values()])
        return text.getvalue()


COLUMNS = tuple(field.name for field in fields(Record))
_KINDS = {field.name: {"int": int, "float": float, "str": str}[str(field.type)] for field in fields(Record)}


@dataclass
class Results:
    """What a folder of results holds.

    Attributes
    ----------
    folder
        Where.
    about
        Content of ``run.json``: collection, settings, machines, software, and solvers that were skipped with the
        reason.
    records
        The rows, in the order in which they came in.
    """

    folder: Path
    about: dict[str, Any]
    records: list[Record]

    @classmethod
    def load(cls, folder: str | Path) -> Results:
        """Read a folder of results.

        Raises
        ------
        MalformedResults
            It holds none, or a row that cannot be read; a last line that is cut off counts as not written.
        OSError
            It cannot be read.
        """
        path = Path(folder)
        about = _about(path / ABOUT)
        with open(path / RESULTS, "rb") as file:
            return cls(path, about, _records(path / RESULTS, file))

    @property
    def time_limit(self) -> float:
        """Seconds that each solver had."""
        return float(self.about["settings"]["time_limit"])


@contextmanager
def appending(folder: Path) -> Iterator[tuple[list[Record], IO[bytes]]]:
    """Open the results of a folder to go on with: what is there, and the file to append rows to.

    Raises
    ------
    InvalidOption
        Another process is writing there, or this system cannot fork.
    MalformedResults
        A row cannot be read.
    """
    try:
        import fcntl  # noqa: PLC0415 - not on Windows
    except ImportError:
        raise InvalidOption("solvers run in forked processes, which needs Linux or macOS") from None
    path = folder / RESULTS
    with open(path, "a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidOption(f"another run is writing to {path}; wait for it, or choose another folder") from None
        file.seek(0)
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        os.ftruncate(file.fileno(), len(whole))  # of a row that is cut off nothing is known
        if not whole:
            file.write((",".join(COLUMNS) + "\n").encode())
        yield _records(path, io.BytesIO(whole)) if whole else [], file


def append(file: IO[bytes], record: Record) -> None:
    """Write a row, whole or not at all, so that it is on disk.

    Raises
    ------
    OSError
        It cannot be written.
    """
    row = record.row().encode()
    before = os.fstat(file.fileno()).st_size
    try:
        write_all(file.fileno(), row)
        os.fsync(file.fileno())
    except BaseException:
        os.ftruncate(file.fileno(), before)
        raise


def require_same_run(folder: Path, about: dict[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    """Return what ``run.json`` says, or what is given if there is none.

    Raises
    ------
    InvalidOption
        The results that are there are of a run with another collection or other settings.
    MalformedResults
        It cannot be read, or is missing although there are results.
    """
    path = folder / ABOUT
    if not path.exists():
        if records:
            raise MalformedResults(f"{folder / RESULTS} has no {ABOUT} beside it; choose another folder")
        return {**_FORMAT, **about}
    before = _about(path)
    for what in ("collection", "settings"):
        if before[what] != about[what]:
            raise InvalidOption(
                f"{folder} holds results of another run, with {what} {before[what]} instead of {about[what]}; give "
                f"the same, or choose another folder"
            )
    return before


def _about(path: Path) -> dict[str, Any]:
    """Read what a run is about."""
    try:
        about = json.loads(path.read_bytes())
        if any(about[key] != value for key, value in _FORMAT.items()):
            raise ValueError("it is not about a run, version 1")
        for key in ("collection", "settings", "machines", "skipped"):
            if not isinstance(about[key], dict):
                raise ValueError(f"{key} is no object")
        return dict(about)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MalformedResults(f"{path}: {type(error).__name__}: {error}; choose another folder") from None


def _records(path: Path, file: IO[bytes]) -> list[Record]:
    content = file.read()
    lines = content[: content.rfind(b"\n") + 1].decode("utf-8", errors="replace").splitlines()
    if not lines:
        return []
    try:
        rows: Sequence[Sequence[str]] = list(csv.reader(lines))
    except csv.Error as error:
        raise MalformedResults(f"{path}: {error}") from None
    if tuple(rows[0]) != COLUMNS:
        raise MalformedResults(f"{path} has other columns than this version writes; choose another folder")
    records: dict[Key, Record] = {}
    for number, row in enumerate(rows[1:], start=2):
        try:
            given = zip(COLUMNS, row, strict=True)
            record = Record(**{name: _KINDS[name](value) for name, value in given})
        except ValueError as error:
            raise MalformedResults(f"{path}, line {number}: {error}; delete the line to have it done again") from None
        if record.key in records:
            raise MalformedResults(f"{path}, line {number}: {' '.join(record.key)} is there twice; delete one line")
        records[record.key] = record
    return list(records.values())


def _written(value: object) -> str:
    return " ".join(str(value).split()) if isinstance(value, str) else repr(value)
