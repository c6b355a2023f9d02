"""What proves something about a linear program of fractions, without tolerances.

Nothing here solves anything. The proofs (of an optimum, of infeasibility, of unboundedness) are functions of the
program and of numbers that somebody found, no matter how. Two programs that always have an optimum yield the last two.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from mailopt_solvers.exact.program import ExactProgram, RationalMatrix, dot, text
from mailopt_solvers.program import member

_ZERO = Fraction(0)


def why_not_feasible(program: ExactProgram, x: Sequence[Fraction]) -> str | None:
    """Say which row or bound x violates, or None if it violates none."""
    for values, lower, upper, blocks, kind in (
        (x, program.lower, program.upper, program.variables, "variable"),
        (program.matrix.times(x), program.row_lower, program.row_upper, program.rows, "row"),
    ):
        for k, (value, low, high) in enumerate(zip(values, lower, upper, strict=True)):
            for bound, excess in ((low, low is not None and low - value), (high, high is not None and value - high)):
                if bound is not None and excess > 0:
                    return f"{kind} {member(blocks, k)} = {text(value)} leaves its bound {text(bound)}"
    return None


def why_not_optimal(program: ExactProgram, x: Sequence[Fraction], row_duals: Sequence[Fraction]) -> str | None:
    """Say why x and y are no proof of an optimum, or None if they are one.

    They are one if x is feasible, every price (a row dual y_i or a reduced cost d_j of d = c - A'y) has the sign of a
    bound that exists, and the primal objective equals the dual objective, the sum of prices times these bounds. By
    weak duality no feasible point is better than the dual objective, whatever found x and y.
    """
    if len(x) != program.num_variables or len(row_duals) != program.num_rows:
        return f"{len(x)} values and {len(row_duals)} row duals do not fit {program!r}"
    reason = why_not_feasible(program, x)
    if reason is not None:
        return reason
    dual = []
    for prices, lower, upper, blocks, kind in (
        (row_duals, program.row_lower, program.row_upper, program.rows, "row"),
        (program.reduced_costs(row_duals), program.lower, program.upper, program.variables, "variable"),
    ):
        for k, price in enumerate(prices):
            if not price:
                continue
            bound = lower[k] if (price > 0) == (program.sense == "min") else upper[k]
            if bound is None:
                return f"price {text(price)} of {kind} {member(blocks, k)} calls for a bound that does not exist"
            dual.append((price, bound))
    gap = program.objective(x) - program.offset - dot(dual)
    return None if gap == 0 else f"primal and dual objective differ by {text(abs(gap))}"


def why_not_farkas(program: ExactProgram, ray: Sequence[Fraction]) -> str | None:
    """Say why multipliers y do not prove a program infeasible, or None if they do.

    They do if sum_i min(y_i rl_i, y_i ru_i), the least value that the rows allow for y'A x, exceeds the largest value
    that the box of the variables allows for it.
    """
    needed, offered = [], []
    for y, low, high in zip(ray, program.row_lower, program.row_upper, strict=True):
        side = low if y > 0 else high
        if y and side is None:
            return "a Farkas multiplier has the sign of a missing bound"
        needed.append((y, side or _ZERO))
    for pull, low, high in zip(program.matrix.priced(ray), program.lower, program.upper, strict=True):
        reach = high if pull > 0 else low
        if pull and reach is None:
            return "the Farkas multipliers pull at a variable without a bound"
        offered.append((pull, reach or _ZERO))
    margin = dot(needed) - dot(offered)
    return None if margin > 0 else f"the margin of the Farkas multipliers is {text(margin)}"


def why_not_direction(program: ExactProgram, ray: Sequence[Fraction]) -> str | None:
    """Say why r is no direction of unbounded improvement from a feasible point, or None if it is.

    It is one if c r improves the objective and neither A r nor r runs against an existing bound.
    """
    gain = dot(zip(program.costs, ray, strict=True)) * (-1 if program.sense == "min" else 1)
    if gain <= 0:
        return f"along the direction the objective improves by {text(gain)}"
    for moves, lower, upper in (
        (ray, program.lower, program.upper),
        (program.matrix.times(ray), program.row_lower, program.row_upper),
    ):
        for move, low, high in zip(moves, lower, upper, strict=True):
            if (move < 0 and low is not None) or (move > 0 and high is not None):
                return f"the direction leaves a bound at a rate of {text(abs(move))}"
    return None


def violation_program(program: ExactProgram) -> ExactProgram:
    """Least total violation of the rows, see :mod:`mailopt_solvers.rays`: always feasible and bounded."""
    n, m = program.num_variables, program.num_rows
    unit = [(i, n + k * m + i, Fraction(1 - 2 * k)) for k in range(2) for i in range(m)]
    return ExactProgram(
        [_ZERO] * n + [Fraction(1)] * (2 * m),
        RationalMatrix.gathered((m, n + 2 * m), [*program.matrix.entries(), *unit]),
        program.row_lower,
        program.row_upper,
        program.lower + (_ZERO,) * (2 * m),
        program.upper + (None,) * (2 * m),
    )


def direction_program(program: ExactProgram) -> ExactProgram:
    """Best direction of the recession cone of the constraints within -1 <= r <= 1: always feasible and bounded.

    If r = 0 is the best, the row duals of the optimum are feasible row duals of the program itself.
    """
    return ExactProgram(
        program.costs,
        program.matrix,
        [None if b is None else _ZERO for b in program.row_lower],
        [None if b is None else _ZERO for b in program.row_upper],
        [Fraction(-1) if b is None else _ZERO for b in program.lower],
        [Fraction(1) if b is None else _ZERO for b in program.upper],
        program.sense,
    )
