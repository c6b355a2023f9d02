"""Value functions as the integers that a certificate holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from mailopt.certificates.witnesses import Values, Witness
from mailopt.errors import NotCertifiable

_BITS = 61  # of the largest value, and of the largest cost, if the witnesses are doubles
_MAX_BITS = 13_000  # of an integer in a file: below the 4000 digits that the checker reads


class Tables:
    """Value functions in a common unit 1 / D, each listed once.

    Parameters
    ----------
    exact
        Whether the witnesses are fractions: then D is their common denominator, else a power of two.
    found
        The witnesses that are going to be numbered.

    Attributes
    ----------
    unit
        D.
    rows
        The tables: for each stage a list of integers, or one integer where all states have the same.

    Raises
    ------
    NotCertifiable
        The integers outgrow what a file can hold.
    """

    def __init__(self, exact: bool, found: Sequence[Witness]) -> None:
        parts = [part for w in found for part in w.parts]
        worths = [values for w in found for values in (w.obey, *w.best)] + [part.value for part in parts]
        costs = [part.cost for part in parts if part.cost is not None]
        self._exact, self.rows = exact, list[list[Any]]()
        self._numbers: dict[str, int] = {}
        if exact:
            numbers = [Fraction(w.price) for w in found] + [
                v for values in (*worths, *costs) for row in values for v in row
            ]
            self.unit = math.lcm(*{v.denominator for v in numbers})
            bits = max((abs(v.numerator).bit_length() for v in numbers), default=0) + self.unit.bit_length()
            if bits > _MAX_BITS:
                raise NotCertifiable(
                    f"the exact values take integers of {bits} bits, more than a file can hold ({_MAX_BITS}): use "
                    f"exact=False, whose intervals are as wide as rounding"
                )
        else:
            largest = [max(float(np.abs(values).max()) for values in group) for group in (worths, costs) if group]
            self.unit = 2 ** max(0, *(_BITS - math.frexp(size)[1] for size in largest))

    def numbered(self, witness: Witness, kind: str) -> dict[str, Any]:
        """Return what a certificate says of one agent; of several deviations for a budget the first has all weight."""
        obey, best = self._number(witness.obey), [self._number(values) for values in witness.best]
        if kind == "stagewise":
            return {"obey": obey, "deviate": best[0]}
        if kind in ("limited", "finite"):
            return {"obey": obey, "deviate" if kind == "limited" else "follow": best}
        mixture = [
            {
                "weight": "0" if k else "1",
                "departures": part.departures,
                "value": self._number(part.value),
                "cost": None if part.cost is None else self._number(part.cost),
            }
            for k, part in enumerate(witness.parts)
        ]
        return {
            "obey": obey,
            "charged": best[0],
            "price": round(Fraction(witness.price) * self.unit),
            "mixture": mixture,
        }

    def _number(self, values: Values) -> int:
        rows = [self._row(row) for row in values]
        key = repr(rows)
        if key not in self._numbers:
            self._numbers[key] = len(self.rows)
            self.rows.append(rows)
        return self._numbers[key]

    def _row(self, row: Sequence[Any]) -> list[int] | int:
        if self._exact:
            numbers = [int(value * self.unit) for value in row]
        else:
            ratios = (float(value).as_integer_ratio() for value in row)
            numbers = [(2 * n * self.unit + d) // (2 * d) for n, d in ratios]  # to the nearest
        return numbers[0] if len(set(numbers)) == 1 else numbers
