"""Proves the optimum of an MPS file from a point and row duals in fractions, with Python's standard library alone.

By weak duality: whatever the row duals y, no feasible point of a minimisation has an objective below
sum_i (y_i times the side of row i that its sign calls for) + sum_j (d_j times the bound of variable j that its sign
calls for) + offset, where d = c - A'y. A feasible point that attains this is optimal; nothing else needs to be trusted.
Numbers of the MPS file stand for their nearest doubles, which are what solvers read; everything is computed in
fractions.

    python optimum_checker.py PROGRAM.mps.gz PROOF.json.gz
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

Side = Fraction | None
_ZERO = Fraction(0)


class NotProved(ValueError):
    """The files cannot be read, or the proof does not prove an optimum; the message says why."""


@dataclass
class Program:
    """What an MPS file says: minimise or maximise c x + offset, rows and variables between bounds."""

    sense: str = "min"
    offset: Fraction = _ZERO
    costs: dict[str, Fraction] = field(default_factory=dict)
    columns: dict[str, list[tuple[str, Fraction]]] = field(default_factory=dict)
    rows: dict[str, tuple[Side, Side]] = field(default_factory=dict)
    bounds: dict[str, tuple[Side, Side]] = field(default_factory=dict)


def read_program(path: str | Path) -> Program:
    """Read an MPS file in free format, as :func:`mailopt_solvers.write_mps` writes them."""
    program = Program()
    kinds: dict[str, str] = {}
    sides: dict[str, float] = {}
    objective = ""
    for line, section, words in _lines(path):
        try:
            if section == "OBJSENSE":
                program.sense = {"MIN": "min", "MAX": "max"}[words[0]]
            elif section == "ROWS":
                kind, name = words
                if kind == "N" and not objective:
                    objective = name
                elif kind in ("E", "G", "L") and name not in kinds:
                    kinds[name] = kind
                else:
                    raise ValueError
            elif section == "COLUMNS":
                column, row, value = words
                entries = program.columns.setdefault(column, [])
                if row == objective:
                    program.costs[column] = Fraction(float(value))
                else:
                    entries.append((row if row in kinds else _unknown(row), _exact(value)))
            elif section == "RHS":
                _, row, value = words
                if row == objective:
                    program.offset = -_exact(value)
                else:
                    sides[row if row in kinds else _unknown(row)] = float(value)
            elif section == "RANGES":
                _, row, value = words
                low_or_high = sides.get(row, 0.0)
                if kinds[row] == "G":
                    program.rows[row] = Fraction(low_or_high), Fraction(low_or_high + float(value))
                elif kinds[row] == "L":
                    program.rows[row] = Fraction(low_or_high - float(value)), Fraction(low_or_high)
                else:
                    raise ValueError
            elif section == "BOUNDS":
                kind, _, column, *numbers = words
                low, high = program.bounds.get(column if column in program.columns else _unknown(column), (_ZERO, None))
                program.bounds[column] = _bound(kind, low, high, numbers)
            else:
                raise ValueError
        except (ValueError, KeyError, OverflowError):
            raise NotProved(f"{path}, line {line}: cannot read {' '.join(words)!r} in section {section}") from None
    for row, kind in kinds.items():
        side = Fraction(sides.get(row, 0.0))
        program.rows.setdefault(row, (None if kind == "L" else side, None if kind == "G" else side))
    return program


def _lines(path: str | Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the data lines: number, section and words."""
    section = ""
    try:
        lines = _text(path).splitlines()
    except (OSError, ValueError, EOFError) as error:
        raise NotProved(f"cannot read {path}: {error}") from None
    for number, line in enumerate(lines, start=1):
        if line.startswith("ENDATA"):
            return
        if line[:1].strip():
            section = line.split()[0]
        elif line.strip():
            yield number, section, line.split()
    raise NotProved(f"{path} has no ENDATA: it is cut off")


def _text(path: str | Path) -> str:
    content = Path(path).read_bytes()
    return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("ascii")


def _exact(text: str) -> Fraction:
    return Fraction(float(text))


def _unknown(name: str) -> str:
    raise KeyError(name)


def _bound(kind: str, low: Side, high: Side, value: list[str]) -> tuple[Side, Side]:
    if kind == "FR":
        return None, None
    if kind == "MI":
        return None, high
    number = _exact(value[0])
    return {"LO": (number, high), "UP": (low, number), "FX": (number, number)}[kind]


def proved_optimum(program: Program, x: dict[str, Fraction], row_duals: dict[str, Fraction]) -> Fraction:
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
    value, bound = program.offset, program.offset
    for column, entries in program.columns.items():
        at, price = x.get(column, _ZERO), program.costs.get(column, _ZERO)
        low, high = program.bounds.get(column, (_ZERO, None))
        _require_within(column, at, low, high)
        value += price * at
        for row, coefficient in entries:
            if at:
                activities[row] += coefficient * at
            if row in row_duals:
                price -= coefficient * row_duals[row]
        bound += _priced(column, sign * price, low, high) * sign
    for row, (low, high) in program.rows.items():
        _require_within(row, activities[row], low, high)
        bound += _priced(row, sign * row_duals.get(row, _ZERO), low, high) * sign
    if value != bound:
        raise NotProved(f"the point has objective {float(value)!r}, the duals prove no more than {float(bound)!r}")
    return value


def _require_within(name: str, value: Fraction, low: Side, high: Side) -> None:
    if (low is not None and value < low) or (high is not None and value > high):
        raise NotProved(f"the point is not feasible: {name} is {float(value)!r}")


def _priced(name: str, price: Fraction, low: Side, high: Side) -> Fraction:
    """Multiply a price, as of a minimisation, by the bound that its sign calls for."""
    if not price:
        return _ZERO
    side = low if price > 0 else high
    if side is None:
        raise NotProved(f"the dual of {name} calls for a bound that does not exist")
    return price * side


def check(program_path: str | Path, proof_path: str | Path) -> Fraction:
    """Return the optimum of a program file that a proof file proves.

    Raises
    ------
    NotProved
        It proves nothing, or another optimum than it says.
    """
    try:
        proof = json.loads(_text(proof_path))
        if (proof["format"], proof["version"]) != ("mailopt.optimum", 1):
            raise ValueError("it is no proof of an optimum, version 1")
        optimum = Fraction(proof["optimum"])
        x, row_duals = ({name: Fraction(v) for name, v in proof[part].items()} for part in ("x", "row_duals"))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise NotProved(f"cannot read {proof_path}: {error}") from None
    found = proved_optimum(read_program(program_path), x, row_duals)
    if found != optimum:
        raise NotProved(f"{proof_path} says {float(optimum)!r} and proves {float(found)!r}")
    return found


def main(arguments: list[str]) -> int:
    """Print the proved optimum; 0 if there is one, 1 if not, 2 for a wrong call."""
    if len(arguments) != 2:
        print("usage: optimum_checker.py PROGRAM.mps.gz PROOF.json.gz", file=sys.stderr)
        return 2
    try:
        optimum = check(*arguments)
    except NotProved as error:
        print(f"not proved: {error}")
        return 1
    print(f"proved: the optimum is {optimum} = {float(optimum)!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
