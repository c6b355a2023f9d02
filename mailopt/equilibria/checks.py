"""What every function here asks of its arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from mailopt.deviations import DeviationClass
from mailopt.errors import InvalidOption, NoEquilibrium
from mailopt.games.game import MarkovGame
from mailopt.programs.equilibrium import check_epsilon
from mailopt.programs.stage_numbers import Epsilon
from mailopt_solvers import Highs, Solver, solver_named


def check_tolerance(tolerance: Any) -> None:
    """Require a number in (0, 1)."""
    good = isinstance(tolerance, int | float | np.floating) and not isinstance(tolerance, bool)
    if not good or not 0 < tolerance < 1:
        raise InvalidOption(f"tolerance is {tolerance!r}; give a number between 0 and 1")


def allowed_regret(epsilon: object, deviations: DeviationClass) -> Epsilon:
    """Require a finite number that is not negative where obedience is in the class."""
    allowed = check_epsilon(epsilon)
    if allowed < 0 and deviations.contains_obedience:
        raise NoEquilibrium(
            f"epsilon is {epsilon}, but obedience is in {deviations!r}, so that no regret is negative; give at least 0"
        )
    return allowed


def too_little(
    game: MarkovGame, deviations: DeviationClass, step: int, state: int, epsilon: float, least: str
) -> NoEquilibrium:
    """Say where less regret was asked for than there can be."""
    where = ""
    if not game.is_normal_form:
        where = f" at step {step} in {game.state_name(state)} (each stage has its share of epsilon)"
    return NoEquilibrium(
        f"no recommendations have a regret of at most {epsilon:.6g} for {deviations!r}{where}; the least is {least}. "
        f"Raise epsilon"
    )


def highs_solver(solver: str | Solver) -> Highs | None:
    """Return the HiGHS object to use, None for the default."""
    if solver == "auto":
        return None
    found = solver_named(solver) if isinstance(solver, str) else solver
    if not isinstance(found, Highs):
        raise InvalidOption(
            f"solver is {solver!r}; stage games are solved by HiGHS: give 'auto', 'highs' or a Highs object"
        )
    return found
