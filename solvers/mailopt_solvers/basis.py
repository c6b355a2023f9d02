"""A simplex basis: which variables and rows sit at which of their bounds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from mailopt_solvers.errors import InvalidProgram
from mailopt_solvers.program import LinearProgram

StatusArray = npt.NDArray[np.int8]


class BasisStatus(IntEnum):
    """Where a variable, or the activity of a row, stands in a basic solution."""

    LOWER = 0
    BASIC = 1
    UPPER = 2
    FREE = 3


@dataclass(frozen=True, eq=False)
class Basis:
    """Statuses of a basic solution; as many are ``BASIC`` as the program has rows.

    Attributes
    ----------
    variables
        :class:`BasisStatus` of each variable, shape (n,).
    rows
        :class:`BasisStatus` of each row, shape (m,). A row at ``LOWER`` has its activity at its lower bound.

    Raises
    ------
    InvalidProgram
        A status that does not exist.
    """

    variables: StatusArray
    rows: StatusArray

    def __post_init__(self) -> None:
        """Copy, validate and freeze."""
        for name in ("variables", "rows"):
            given = np.asarray(getattr(self, name))
            if given.ndim != 1 or (given.size and (given.dtype.kind not in "iu" or not np.isin(given, range(4)).all())):
                raise InvalidProgram(f"basis: {name} must be a flat array of statuses 0 to 3 (see BasisStatus)")
            array = given.astype(np.int8)
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def require_fit(self, program: LinearProgram) -> Basis:
        """Return self if it is a basis of a program of this size.

        Raises
        ------
        InvalidProgram
            Wrong numbers of variables, rows or basic members.
        """
        sizes = (self.variables.size, self.rows.size)
        if sizes != (program.num_variables, program.num_rows):
            raise InvalidProgram(f"basis of {sizes[0]} variables and {sizes[1]} rows does not fit {program!r}")
        basic = int((self.variables == BasisStatus.BASIC).sum() + (self.rows == BasisStatus.BASIC).sum())
        if basic != program.num_rows:
            raise InvalidProgram(f"basis has {basic} basic members, but {program!r} needs {program.num_rows}")
        return self

    def continued(self, program: LinearProgram) -> Basis:
        """Extend to a program of which this one's is the beginning: new rows are basic, new variables at a bound.

        Raises
        ------
        InvalidProgram
            The program has fewer variables or rows.
        """
        if self.variables.size > program.num_variables or self.rows.size > program.num_rows:
            raise InvalidProgram(f"{self!r} is no beginning of one of {program!r}")
        variables = np.full(program.num_variables, BasisStatus.LOWER, dtype=np.int8)
        variables[np.isinf(program.lower)] = BasisStatus.UPPER
        variables[np.isinf(program.lower) & np.isinf(program.upper)] = BasisStatus.FREE
        variables[: self.variables.size] = self.variables
        rows = np.full(program.num_rows, BasisStatus.BASIC, dtype=np.int8)
        rows[: self.rows.size] = self.rows
        return Basis(variables, rows)

    def __repr__(self) -> str:
        """Sizes in one line."""
        return f"Basis({self.variables.size} variables, {self.rows.size} rows)"
