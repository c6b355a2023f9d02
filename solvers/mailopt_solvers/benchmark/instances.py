"""Instances with known optima, and collections of them as files that any solver anywhere can run.

A collection is a folder: one ``NAME.mps.gz`` for each program, a proof of its optimum beside it where it was solved in
fractions, and ``manifest.json``, which is written last.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mailopt_solvers.benchmark import optimum_checker
from mailopt_solvers.errors import InvalidProgram, MalformedCollection
from mailopt_solvers.exact import ExactSolution
from mailopt_solvers.files import replacing
from mailopt_solvers.mps import member_names, read_mps, write_mps
from mailopt_solvers.program import LinearProgram

_FORMAT = {"format": "mailopt.benchmark", "version": 1}
_ON_FILE = "weak duality on the file"


@dataclass(frozen=True)
class KnownOptimum:
    """What is known of the optimum of a program, independently of the solvers under test.

    Attributes
    ----------
    lower, upper
        It lies between them; they are equal where it is known exactly.
    methods
        How it was found and confirmed, each independent of the others.
    scale
        What errors are measured against: the largest term |c_j x_j| of the objective at an optimal point, or the
        size of the optimum, whichever is larger; 1 if both are 0.
    """

    lower: Fraction
    upper: Fraction
    methods: tuple[str, ...]
    scale: float

    def error(self, objective: float) -> float:
        """Distance of an objective value from the optimum, relative to the scale."""
        if not math.isfinite(objective):
            return math.inf
        exact = Fraction(objective)
        return float(max(self.lower - exact, exact - self.upper, Fraction(0))) / self.scale


def scale_of(optimum: Fraction, largest_term: Fraction) -> float:
    """Return what errors are measured against; see :class:`KnownOptimum`."""
    return float(max(abs(optimum), largest_term)) or 1.0


@dataclass(frozen=True, eq=False)
class Instance:
    """Programs with their optima: one, or the rounds of an algorithm, to be solved one after the other.

    In a sequence, each program continues the one before: its first rows and columns are those.

    Attributes
    ----------
    name, family, size, seed
        What it is: ``family(size, seed)`` makes it again.
    programs, optima
        As many of one as of the other.
    proofs
        Exact solutions that prove the optima; None where there is none.
    """

    name: str
    family: str
    size: int
    seed: int
    programs: tuple[LinearProgram, ...]
    optima: tuple[KnownOptimum, ...]
    proofs: tuple[ExactSolution | None, ...]

    def __post_init__(self) -> None:
        """Validate."""
        if not len(self.programs) == len(self.optima) == len(self.proofs) > 0:
            raise InvalidProgram(f"instance {self.name}: give an optimum and a proof, or None, for each program")
        for before, after in zip(self.programs, self.programs[1:], strict=False):
            if before.num_variables > after.num_variables or before.num_rows > after.num_rows:
                raise InvalidProgram(f"instance {self.name}: {after!r} does not continue {before!r}")


@dataclass(frozen=True)
class ProgramFile:
    """One program of a collection on disk.

    Attributes
    ----------
    file, proof
        Names of the MPS file and of the proof of its optimum, if there is one.
    rows, columns, nonzeros
        Its size.
    optimum
        What is known.
    digest
        SHA-256 of the MPS file's content, uncompressed.
    """

    file: str
    proof: str | None
    rows: int
    columns: int
    nonzeros: int
    optimum: KnownOptimum
    digest: str


@dataclass(frozen=True)
class Entry:
    """One instance of a collection on disk; attributes as those of :class:`Instance`."""

    name: str
    family: str
    size: int
    seed: int
    programs: tuple[ProgramFile, ...]

    @property
    def is_sequence(self) -> bool:
        """Whether it has several programs, for the warm track."""
        return len(self.programs) > 1

    @property
    def digest(self) -> str:
        """One digest of all programs and of what is known of their optima, in 16 digits."""
        parts = [f"{p.digest} {p.optimum.lower} {p.optimum.upper} {p.optimum.scale!r}" for p in self.programs]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Collection:
    """A collection on disk.

    Attributes
    ----------
    folder
        Where.
    name
        Its name.
    entries
        Its instances.
    """

    folder: Path
    name: str
    entries: tuple[Entry, ...]

    @classmethod
    def load(cls, folder: str | Path) -> Collection:
        """Read a manifest.

        Raises
        ------
        MalformedCollection
            It is none.
        OSError
            It cannot be read.
        """
        path = Path(folder) / "manifest.json"
        try:
            content = json.loads(path.read_bytes())
            if any(content[key] != value for key, value in _FORMAT.items()):
                raise ValueError("it is no manifest of a collection, version 1")
            entries = tuple(_entry(item) for item in content["instances"])
            names = [entry.name for entry in entries]
            if not names or len(set(names)) < len(names):
                raise ValueError("it has no instances, or two of one name")
            return cls(Path(folder), str(content["name"]), entries)
        except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
            raise MalformedCollection(f"{path}: {error}; export the collection again") from None

    @property
    def digest(self) -> str:
        """One digest of all instances, in 16 digits."""
        text = "\n".join(f"{entry.name} {entry.digest}" for entry in self.entries)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def programs(self, entry: Entry) -> tuple[LinearProgram, ...]:
        """Read the programs of an instance.

        Raises
        ------
        MalformedCollection
            A file is not the one that the manifest is about.
        InvalidProgram, OSError
            A file cannot be read.
        """
        return tuple(self._program(entry, part) for part in entry.programs)

    def _program(self, entry: Entry, part: ProgramFile) -> LinearProgram:
        path = self._path(part)
        program = read_mps(path)
        size = (program.num_rows, program.num_variables, program.num_nonzeros)
        if size != (part.rows, part.columns, part.nonzeros):
            raise MalformedCollection(f"{path} holds {program!r}, the manifest says otherwise for {entry.name}")
        return program

    def _path(self, part: ProgramFile) -> Path:
        """Say where a program is, if it is the one that the manifest is about."""
        path = self.folder / part.file
        if _digest(path) != part.digest:
            raise MalformedCollection(f"{path} is not the file that the manifest is about: its digest differs")
        return path

    def verify(self, entry: Entry) -> bool:
        """Prove the optima of an instance from its files with :mod:`~mailopt_solvers.benchmark.optimum_checker`.

        Returns
        -------
        Whether all its programs come with proofs.

        Raises
        ------
        MalformedCollection
            A file is not the one that the manifest is about, or a proof does not prove what the manifest says.
        """
        for part in entry.programs:
            path = self._path(part)
            if part.proof is not None:
                _require_proof(entry.name, path, self.folder / part.proof, part.optimum)
        return all(part.proof is not None for part in entry.programs)


def write_collection(folder: str | Path, name: str, instances: Iterable[Instance], about: str = "") -> Collection:
    """Write instances and their manifest, and prove from the files what has a proof.

    Parameters
    ----------
    folder
        A folder to make, or one without a manifest.
    name
        Name of the collection.
    instances
        What to write; they are taken one by one.
    about
        Text of its README file.

    Raises
    ------
    MalformedCollection
        There is a collection already; two instances have one name; or a proof fails.
    OSError
        A file cannot be written.
    """
    target = Path(folder)
    manifest = target / "manifest.json"
    if manifest.exists():
        raise MalformedCollection(f"{manifest} exists; export to another folder, or delete that one first")
    target.mkdir(parents=True, exist_ok=True)
    items: list[dict[str, Any]] = []
    for instance in instances:
        if any(item["name"] == instance.name for item in items):
            raise MalformedCollection(f"two instances are called {instance.name!r}")
        items.append(_written(target, instance))
    content = {**_FORMAT, "name": name, "instances": items}
    if about:
        _write(target / "README.md", about.encode())
    _write(manifest, json.dumps(content, indent=1).encode())
    return Collection.load(target)


def _written(folder: Path, instance: Instance) -> dict[str, Any]:
    """Write the files of an instance, and return its part of the manifest."""
    programs = []
    for k, (program, optimum, proof) in enumerate(
        zip(instance.programs, instance.optima, instance.proofs, strict=True)
    ):
        stem = instance.name if len(instance.programs) == 1 else f"{instance.name}.round{k:03d}"
        path = folder / f"{stem}.mps.gz"
        write_mps(program, path)
        methods = optimum.methods
        proof_name = None
        if proof is not None:
            proof_name = f"{stem}.proof.json.gz"
            _write(folder / proof_name, gzip.compress(json.dumps(_proof(program, proof)).encode(), mtime=0))
            _require_proof(instance.name, path, folder / proof_name, optimum)
            methods = (*methods, _ON_FILE)
        exact = optimum.lower == optimum.upper
        programs.append(
            {
                "file": path.name,
                "proof": proof_name,
                "sense": program.sense,
                "rows": program.num_rows,
                "columns": program.num_variables,
                "nonzeros": int(np.count_nonzero(program.matrix.data)),
                "optimum": str(optimum.lower) if exact else [str(optimum.lower), str(optimum.upper)],
                "optimum_as_double": float(optimum.lower + optimum.upper) / 2,
                "scale": optimum.scale,
                "methods": list(methods),
                "sha256": _digest(path),
            }
        )
    about = {"name": instance.name, "family": instance.family, "size": instance.size, "seed": instance.seed}
    return {**about, "programs": programs}


def _proof(program: LinearProgram, proof: ExactSolution) -> dict[str, Any]:
    """Content of a proof file: what is not 0, by name."""

    def named(names: Sequence[str], values: Sequence[Fraction]) -> dict[str, str]:
        return {name: str(value) for name, value in zip(names, values, strict=True) if value}

    columns, rows = member_names(program)
    return {
        "format": "mailopt.optimum",
        "version": 1,
        "optimum": str(proof.objective),
        "x": named(columns, proof.x),
        "row_duals": named(rows, proof.row_duals),
    }


def _require_proof(name: str, path: Path, proof: Path, optimum: KnownOptimum) -> None:
    """Require that a proof proves from its file what is given of the optimum."""
    try:
        proved, largest = optimum_checker.check(path, proof)
    except optimum_checker.NotProved as error:
        raise MalformedCollection(f"{name}: {error}") from None
    if not optimum.lower == proved == optimum.upper or optimum.scale != scale_of(proved, largest):
        raise MalformedCollection(f"{name}: proved {proved}, but given as {optimum}")


def _entry(item: Mapping[str, Any]) -> Entry:
    programs = []
    for part in item["programs"]:
        given = part["optimum"]
        lower, upper = (Fraction(end) for end in ([given, given] if isinstance(given, str) else given))
        scale = float(part["scale"])
        if lower > upper or not 0 < scale < math.inf:
            raise ValueError(f"{item['name']} has an optimum between {lower} and {upper} and scale {scale}")
        optimum = KnownOptimum(lower, upper, tuple(part["methods"]), scale)
        rows, columns, nonzeros = (int(part[key]) for key in ("rows", "columns", "nonzeros"))
        file, digest = str(part["file"]), str(part["sha256"])
        programs.append(ProgramFile(file, part["proof"], rows, columns, nonzeros, optimum, digest))
    if not programs:
        raise ValueError(f"{item['name']} has no programs")
    return Entry(str(item["name"]), str(item["family"]), int(item["size"]), int(item["seed"]), tuple(programs))


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise MalformedCollection(f"{path} is damaged: {error}") from None


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)
