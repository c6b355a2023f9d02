"""Proves the optimum of an MPS file from a point and row duals in fractions, with Python's standard library alone.

By weak duality: whatever the row duals y, no feasible point of a minimisation has an objective below
sum_i (y_i times the side of row i that its sign calls for) + sum_j (d_j times the bound of variable j that its sign
calls for) + offset, where d = c - A'y. A feasible point that attains this is optimal; nothing else needs to be trusted.
Numbers of the MPS file stand for their nearest doubles, which are what solvers read; everything is computed in
fractions.

MPS has dialects, and solvers read what they do not know in different ways. So this reads only the plain form that
:func:`mailopt_solvers.write_mps` writes, word by word, and refuses everything else.

    python optimum_checker.py PROGRAM.mps.gz PROOF.json.gz
"""

from __future__ import annotations

import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, NoReturn

Side = Fraction | None
_ZERO = Fraction(0)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]{1,3})?")
_FRACTION = re.compile(r"-?[0-9]+(/[1-9][0-9]*)?")
_PRINTABLE = re.compile(r"[ -~]*")
_LARGE, _INFINITE = 1e15, 1e20  # coefficients and bounds from which on solvers differ
_SECTIONS = ("ROWS", "COLUMNS", "RHS", "RANGES", "BOUNDS", "ENDATA")
_OBJECTIVE = "objective"


class NotProved(ValueError):
    """The files cannot be read, or the proof does not prove an optimum; the message says why."""


class Proved(NamedTuple):
    """A proved optimum, and the largest term |c_j x_j| of the objective at the point that proves it."""

    optimum: Fraction
    largest_term: Fraction


@dataclass
class Program:
    """What an MPS file says: minimise or maximise c x + offset, rows and variables between bounds."""

    sense: str = "min"
    offset: Fraction = _ZERO
    costs: dict[str, Fraction] = field(default_factory=dict)
    columns: dict[str, dict[str, Fraction]] = field(default_factory=dict)
    rows: dict[str, tuple[Side, Side]] = field(default_factory=dict)
    bounds: dict[str, tuple[Side, Side]] = field(default_factory=dict)


def read_program(path: str | Path) -> Program:
    """Read an MPS file as :func:`mailopt_solvers.write_mps` writes them.

    Raises
    ------
    NotProved
        It is anything else.
    """
    reader = _Reader()
    number, line = 1, ""
    try:
        for line in _lines(path):
            reader.take(line)
            number += 1
    except (ValueError, KeyError, IndexError) as error:
        raise NotProved(f"{path}, line {number}: cannot read {line!r:.80}: {error}") from None
    if reader.section != "ENDATA":
        raise NotProved(f"{path} has no ENDATA: it is cut off")
    return reader.program()


class _Reader:
    """A file as far as it was read."""

    def __init__(self) -> None:
        self.section = ""
        self._head: list[str] = []
        self._found = Program()
        self._kinds: dict[str, str] = {}
        self._sides: dict[str, float] = {}
        self._ranges: dict[str, float] = {}
        self._bounds: dict[str, list[str]] = {}

    def take(self, line: str) -> None:
        """Read the next line."""
        if self.section == "ENDATA":
            _refuse("something follows ENDATA")
        if not self.section and len(self._head) < 3:
            self._head.append(line)
            return
        if not line.startswith(" "):
            following = _SECTIONS[_SECTIONS.index(self.section) + 1] if self.section else _SECTIONS[0]
            if line != following:
                _refuse(f"expected {following}")
            self._start(following)
            return
        words = line[1:].split(" ")
        if not all(words):
            _refuse("expected words with one space before each")
        {"ROWS": self._row, "COLUMNS": self._entry, "RHS": self._side, "RANGES": self._range, "BOUNDS": self._bound}[
            self.section
        ](words)

    def _start(self, section: str) -> None:
        senses = {"    MIN": "min", "    MAX": "max"}
        if section == "ROWS":
            name, sense, which = self._head
            if not re.fullmatch(r"NAME [!-~]+ FREE", name) or sense != "OBJSENSE" or which not in senses:
                _refuse("before ROWS there must be NAME .. FREE, OBJSENSE, and MIN or MAX")
            self._found.sense = senses[which]
        self.section = section

    def _row(self, words: list[str]) -> None:
        kind, name = words
        if not self._kinds:
            if (kind, name) != ("N", _OBJECTIVE):
                _refuse(f"the first row must be N {_OBJECTIVE}")
        elif kind not in ("E", "G", "L"):
            _refuse("expected E, G or L")
        _new(name, self._kinds)
        self._kinds[name] = kind

    def _entry(self, words: list[str]) -> None:
        column, row, value = words
        columns = self._found.columns
        if row == _OBJECTIVE:
            _new(column, columns)
            self._found.costs[column] = Fraction(_double(value, _INFINITE))
            columns[column] = {}
            return
        if not columns or column != next(reversed(columns)):
            _refuse(f"each column must begin with its entry in {_OBJECTIVE}, and be in one piece")
        self._known(row)
        _new(row, columns[column])
        columns[column][row] = Fraction(_double(value, _LARGE))

    def _side(self, words: list[str]) -> None:
        label, row, value = words
        if label != "RHS":
            _refuse("expected RHS")
        _new(row, self._sides)
        if row != _OBJECTIVE:
            self._known(row)
        self._sides[row] = _double(value, _INFINITE)

    def _range(self, words: list[str]) -> None:
        label, row, value = words
        self._known(row)
        _new(row, self._ranges)
        self._ranges[row] = _double(value, _INFINITE)
        if label != "RANGE" or self._kinds[row] == "E" or self._ranges[row] <= 0:
            _refuse("expected RANGE, a row of kind G or L, and a positive number")

    def _bound(self, words: list[str]) -> None:
        kind, label, column, *value = words
        before = self._bounds.setdefault(column, [])
        if label != "BOUND" or column not in self._found.columns or kind in before:
            _refuse("expected BOUND, and a column with no such bound so far")
        if before not in ([], ["MI"], ["LO"]) or (before and kind != "UP"):
            _refuse("after a lower bound only an upper one may come")
        before.append(kind)
        low, high = self._found.bounds.get(column, (_ZERO, None))
        if kind in ("FR", "MI"):
            if value:
                _refuse(f"{kind} has no number")
            self._found.bounds[column] = None, None
            return
        (text,) = value
        number = Fraction(_double(text, _INFINITE))
        if kind == "UP" and not before[:-1] and number < 0:
            _refuse("a negative upper bound without a lower one means different things")
        self._found.bounds[column] = {"LO": (number, high), "UP": (low, number), "FX": (number, number)}[kind]

    def _known(self, row: str) -> None:
        if row not in self._kinds or row == _OBJECTIVE:
            _refuse(f"there is no row {row}")

    def program(self) -> Program:
        """Put it together."""
        for row, kind in self._kinds.items():
            side = self._sides.get(row, 0.0)
            if row == _OBJECTIVE:
                self._found.offset = -Fraction(side)
                continue
            low: Side = None if kind == "L" else Fraction(side)
            high: Side = None if kind == "G" else Fraction(side)
            if row in self._ranges:  # added in doubles, as those who read a file do
                low = Fraction(side - self._ranges[row]) if low is None else low
                high = Fraction(side + self._ranges[row]) if high is None else high
            self._found.rows[row] = low, high
        return self._found


def _lines(path: str | Path) -> Iterator[str]:
    """Yield the lines, each of which ends in a line feed and has printable characters alone."""
    *lines, rest = _text(path).split("\n")
    if rest:
        raise NotProved(f"{path} has no ENDATA: it is cut off")
    for line in lines:
        if not _PRINTABLE.fullmatch(line):
            raise ValueError("a character that is not printable")
        yield line


def _text(path: str | Path) -> str:
    try:
        content = Path(path).read_bytes()
        return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("ascii")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise NotProved(f"cannot read {path}: {error}") from None


def _double(text: str, most: float) -> float:
    if not _NUMBER.fullmatch(text):
        _refuse(f"{text} is no number")
    value = float(text)
    if abs(value) >= most:
        _refuse(f"{text} is too large: solvers differ on what it means")
    return value


def _new(name: str, known: Iterable[str]) -> None:
    if name in known:
        _refuse(f"{name} is there twice")


def _refuse(why: str) -> NoReturn:
    raise ValueError(why)


def proved_optimum(program: Program, x: dict[str, Fraction], row_duals: dict[str, Fraction]) -> Proved:
    """Return the optimum, proved by a point and row duals; what is not named is 0.

    Raises
    ------
    NotProved
        The point is not feasible, or the duals do not prove that no point is better.
    """
    for given, known in ((x, program.columns), (row_duals, program.rows)):
        strange = next((name for name in given if name not in known), None)
        if strange is not None:
            raise NotProved(f"the program has no {strange}")
    activities, sign = dict.fromkeys(program.rows, _ZERO), 1 if program.sense == "min" else -1
    value, bound, largest = program.offset, program.offset, _ZERO
    for column, entries in program.columns.items():
        at, price = x.get(column, _ZERO), program.costs[column]
        low, high = program.bounds.get(column, (_ZERO, None))
        _require_within(column, at, low, high)
        value += price * at
        largest = max(largest, abs(price * at))
        for row, coefficient in entries.items():
            if at:
                activities[row] += coefficient * at
            if row in row_duals:
                price -= coefficient * row_duals[row]
        bound += _priced(column, sign * price, low, high) * sign
    for row, (low, high) in program.rows.items():
        _require_within(row, activities[row], low, high)
        bound += _priced(row, sign * row_duals.get(row, _ZERO), low, high) * sign
    if value != bound:
        raise NotProved(f"the point has objective {_shown(value)}, the duals prove no more than {_shown(bound)}")
    return Proved(value, largest)


def _require_within(name: str, value: Fraction, low: Side, high: Side) -> None:
    if (low is not None and value < low) or (high is not None and value > high):
        raise NotProved(f"the point is not feasible: {name} is {_shown(value)}")


def _priced(name: str, price: Fraction, low: Side, high: Side) -> Fraction:
    """Multiply a price, as of a minimisation, by the bound that its sign calls for."""
    if not price:
        return _ZERO
    side = low if price > 0 else high
    if side is None:
        raise NotProved(f"the dual of {name} calls for a bound that does not exist")
    return price * side


def check(program_path: str | Path, proof_path: str | Path) -> Proved:
    """Return the optimum of a program file that a proof file proves.

    Raises
    ------
    NotProved
        It proves nothing, or another optimum than it says.
    """
    text = _text(proof_path)
    try:
        proof = json.loads(text)
        if (proof["format"], proof["version"]) != ("mailopt.optimum", 1):
            raise ValueError("it is no proof of an optimum, version 1")
        optimum = _fraction(proof["optimum"])
        x, row_duals = ({name: _fraction(v) for name, v in proof[part].items()} for part in ("x", "row_duals"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotProved(f"cannot read {proof_path}: {error}") from None
    found = proved_optimum(read_program(program_path), x, row_duals)
    if found.optimum != optimum:
        raise NotProved(f"{proof_path} says {_shown(optimum)} and proves {_shown(found.optimum)}")
    return found


def _fraction(text: str) -> Fraction:
    if not _FRACTION.fullmatch(text):
        raise ValueError(f"{text:.40} is no fraction")
    return Fraction(text)


def _shown(value: Fraction) -> str:
    try:
        return repr(float(value))
    except OverflowError:
        return "a number beyond doubles"


def main(arguments: list[str]) -> int:
    """Print the proved optimum; 0 if there is one, 1 if not, 2 for a wrong call."""
    if len(arguments) != 2:
        print("usage: optimum_checker.py PROGRAM.mps.gz PROOF.json.gz", file=sys.stderr)
        return 2
    try:
        optimum = check(*arguments).optimum
    except NotProved as error:
        print(f"not proved: {error}")
        return 1
    print(f"proved: the optimum is {optimum} = {_shown(optimum)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
