"""Which constraints of a class exclude each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mailopt.errors import InfeasibleClass
from mailopt_solvers import LinearProgram, Termination, solve

_MOST = 60  # constraint rows that are tried one by one


def require_feasible(program: LinearProgram, names: Sequence[str], what: str) -> None:
    """Raise unless a program has a point; name rows of its constraints of which none can be spared.

    Parameters
    ----------
    program
        A program whose row blocks ``constraint0``, ``constraint1``, .. come from the constraints of a class.
    names
        Names of these constraints.
    what
        What the points of the program are.

    Raises
    ------
    InfeasibleClass
        There is none.
    """
    answer = solve(program)
    if answer.termination is not Termination.INFEASIBLE:
        return
    owner: dict[int, str] = {}
    for k, name in enumerate(names):
        block = program.rows[f"constraint{k}"]
        several = block.size > 1
        owner |= {block.start + j: f"{name}, row {j}" if several else name for j in range(block.size)}
    ray = answer.dual_ray
    suspects = [row for row in owner if ray is None or ray[row] != 0] or list(owner)
    minimal = ""
    if len(suspects) <= _MOST:
        for row in list(suspects):
            rest = [other for other in suspects if other != row]
            if _with_only(program, owner, rest) is Termination.INFEASIBLE:
                suspects = rest
        minimal = ", of which none can be spared"
    listed = "; ".join(owner[row] for row in suspects[:10]) + ("; .." if len(suspects) > 10 else "")
    if len(suspects) == 1:
        raise InfeasibleClass(f"no {what} satisfies the constraint {listed} of the class. Relax it")
    raise InfeasibleClass(
        f"no {what} satisfies the constraints of the class: {listed} exclude each other{minimal}. Relax one of them"
    )


def _with_only(program: LinearProgram, constraints: dict[int, str], kept: Sequence[int]) -> Termination:
    """Solve with some of the constraint rows alone."""
    lower, upper = np.array(program.row_lower), np.array(program.row_upper)
    dropped = [row for row in constraints if row not in kept]
    lower[dropped], upper[dropped] = -np.inf, np.inf
    return solve(program.changed(row_lower=lower, row_upper=upper)).termination
