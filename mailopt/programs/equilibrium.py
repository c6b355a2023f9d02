"""The equilibrium program: distributions of recommendations that no agent gains from disobeying.

For a stage with action values Q_i(a) (payoffs of a normal form) and a class of deviations whose atoms w fall into
groups g of recommendations (one group for each recommendation under swap deviations, one for all under external ones),
what agent i gains by picking w is

    G_i(w) = sum over a with a_i in g(w) of sigma(a) [Q_i(w(a_i), a_-i) - Q_i(a)],

its regret is sum_g max_{w in g} G_i(w), and the program is

    optimise    the objective
    subject to  one:          sum_a sigma(a) = 1,  sigma >= 0
                incentive i:  G_i(w) <= t_i(g)                for every atom w of agent i
                slack i:      sum_g t_i(g) <= epsilon.

With a single group, or where epsilon = 0 and every group contains obedience, the t_i are not needed. Bounding each
G_i(w) by epsilon instead would allow a swap regret of several epsilon.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import sparse

from mailopt.deviations import DeviationClass, Stagewise, Swap, check_deviations
from mailopt.errors import InvalidDeviation, InvalidGame, InvalidOption
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.numbers import IntArray
from mailopt.programs.objectives import (
    Convex,
    Egalitarian,
    LeastRegret,
    Nearest,
    Objective,
    sequence,
)
from mailopt.programs.stage_numbers import Epsilon, Numbers, StageNumbers
from mailopt_solvers import Block, LinearProgram, ProgramBuilder


def equilibrium(
    game: MarkovGame,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    *,
    objective: Objective | str = "welfare",
    epsilon: Epsilon = 0,
) -> LinearProgram:
    """Linear program over the (coarse) correlated equilibria of a normal form::

        maximise    the objective, welfare: sum_i sum_a u_i(a) sigma(a)
        subject to  one:          sum_a sigma(a) = 1,  sigma >= 0
                    incentive i:  G_i(w) <= t_i(g)       for every atom w of agent i, in the order of the class
                    slack i:      sum_g t_i(g) <= epsilon

    G_i(w) is what agent i gains by atom w of the class: for swap deviations w = (told a, plays b) and G_i(w) = sum_k
    sigma(a, k) [u_i(b, k) - u_i(a, k)]. The t_i are left out where they are not needed.

    Parameters
    ----------
    game
        A game with one state and horizon 1.
    deviations
        Swap (correlated equilibria), External (coarse ones), Coarse, Internal, Partition or Restricted.
    objective
        A name or an object of ``mo.objectives`` with a linear program; of a lexicographic one the first is taken.
    epsilon
        Regret that is allowed.

    Returns
    -------
    A maximisation, in units of reward, of minus the regret or the distance where less is better. Besides ``sigma`` (A,)
    and ``t i`` (groups,) there are ``least 0`` (egalitarian), ``e`` (least regret), or ``over 0`` and ``under 0``
    (nearest: sigma - over + under is the target). ``correlated_equilibrium`` scales its programs.

    Raises
    ------
    InvalidGame, InvalidDeviation, InvalidOption, UnknownAgent, InvalidPolicy
        No normal form; a class without such a program; no such objective or epsilon; an objective that does not fit.

    Examples
    --------
    >>> import mailopt as mo
    >>> from mailopt_solvers import solve
    >>> chicken = mo.scenarios.chicken()
    >>> solve(mo.programs.equilibrium(chicken))["sigma"].round(12)
    array([0.  , 0.25, 0.25, 0.5 ])
    """  # noqa: D400 - the program ends the first line
    check_game(game)
    if not game.is_normal_form:
        raise InvalidGame(
            f"{game!r} is no normal form; its equilibria are those of a program for each stage, see "
            f"correlated_equilibrium"
        )
    first = sequence(objective)[0]
    if isinstance(first, Convex):
        raise InvalidOption(f"{first!r} has no linear program; put it on the constraints of mo.cvx.obedience")
    stage = StageProgram(game, deviations, [first], tight=check_epsilon(epsilon) == 0)
    origin, payoffs = np.zeros(1, dtype=np.int64), np.moveaxis(game.reward(0), 1, 0)
    return StageNumbers(stage, 0, origin, payoffs, float(epsilon), scaled=False).program(0)


def check_epsilon(epsilon: object) -> Epsilon:
    """Require a finite number."""
    if isinstance(epsilon, int | float | Fraction | np.integer | np.floating) and not isinstance(epsilon, bool):
        exact = Fraction(int(epsilon)) if isinstance(epsilon, int | np.integer) else epsilon
        with suppress(OverflowError):
            if np.isfinite(float(exact)):
                return exact if isinstance(exact, Fraction) else float(exact)
    raise InvalidOption(f"epsilon is {epsilon!r}; give a finite number, in units of reward")


class StageProgram:
    """The pattern of the equilibrium programs of all stages of a game, and the numbers of any of them.

    Parameters
    ----------
    game, deviations
        The game and the class of deviations.
    objectives
        What to optimise, one after the other; a convex one at the end is not part of the pattern.
    tight
        Whether epsilon is 0, so that classes of which every group contains obedience need no t.

    Attributes
    ----------
    pattern
        A program of the right shape, without its numbers.
    """

    def __init__(
        self, game: MarkovGame, deviations: DeviationClass, objectives: Sequence[Objective], *, tight: bool
    ) -> None:
        check_deviations(deviations, game)
        if not isinstance(deviations, Stagewise):
            raise InvalidDeviation(
                f"{deviations!r} has no equilibrium program; give Swap() (correlated equilibria), External() (coarse "
                f"ones), Coarse(), Internal(), Partition(..) or Restricted(..)"
            )
        for objective in objectives:
            objective.check(game)
        self.game, self.stagewise = game, deviations
        self.objectives = tuple(o for o in objectives if not isinstance(o, Convex))
        self._count = len(objectives)
        self.atoms = [deviations.atoms(n, i) for i, n in enumerate(game.actions)]
        self.simple = [
            atoms.num_groups == 1 or (tight and all(atom is not None for atom in atoms.obeying)) for atoms in self.atoms
        ]
        if any(isinstance(o, LeastRegret) for o in self.objectives):
            self.simple = [False] * game.num_agents
        self._entries: dict[str, tuple[Block, Block, IntArray, IntArray]] = {}
        self.pattern = self._assembled()
        keys = self.pattern.entry_columns * self.pattern.num_rows + self.pattern.matrix.indices
        self._positions = {
            name: np.searchsorted(keys, (columns + variables.start) * self.pattern.num_rows + rows + block.start)
            for name, (block, variables, rows, columns) in self._entries.items()
        }

    def _assembled(self) -> LinearProgram:
        game, builder = self.game, ProgramBuilder("max")
        size = game.num_joint_actions
        sigma = builder.add_variables("sigma", (size,))
        builder.add_rows("one", (1,), {sigma: np.ones((1, size))}, lower=1.0, upper=1.0)
        least = None
        if any(isinstance(o, LeastRegret) for o in self.objectives):
            least = builder.add_variables("e", (1,), lower=-np.inf)
        self._told = []
        for i, atoms in enumerate(self.atoms):
            count = len(atoms.plays)
            atom, told = np.nonzero((atoms.plays >= 0) & (atoms.plays != np.arange(game.actions[i])))
            grid = game.unfold(np.arange(size), i)  # (n, K)
            obeyed, deviated = grid[told], grid[atoms.plays[atom, told]]
            self._told.append((obeyed.ravel(), deviated.ravel()))
            rows, columns = np.repeat(atom, grid.shape[1]), obeyed.ravel()
            name = f"incentive {i}"
            terms: dict[Block, Any] = {sigma: _ones(rows, columns, (count, size))}
            if self.simple[i]:
                self._note(name, builder.add_rows(name, atoms.shape, terms, upper=0.0), sigma, rows, columns)
                continue
            excess = builder.add_variables(f"t {i}", (atoms.num_groups,), lower=-np.inf)
            terms[excess] = -_ones(np.arange(count), atoms.group, (count, atoms.num_groups))
            self._note(name, builder.add_rows(name, atoms.shape, terms, upper=0.0), sigma, rows, columns)
            ones = np.ones((1, atoms.num_groups))
            builder.add_rows(f"slack {i}", (1,), {excess: ones}, upper=0.0)
            if least is not None:
                every = np.arange(atoms.num_groups)
                terms = {excess: _ones(every * 0, every, ones.shape), least: -np.ones((1, 1))}
                self._note(
                    f"worst {i}", builder.add_rows(f"worst {i}", (1,), terms, upper=0.0), excess, every * 0, every
                )
        for j, objective in enumerate(self.objectives):
            self._add_objective(builder, j, objective, sigma, least)
        return builder.build()

    def _note(self, name: str, block: Block, variables: Block, rows: IntArray, columns: IntArray) -> None:
        """Remember where numbers that vary will stand."""
        self._entries[name] = block, variables, rows, columns

    def _add_objective(
        self, builder: ProgramBuilder, j: int, objective: Objective, sigma: Block, least: Block | None
    ) -> None:
        """Add what an objective needs, and a row that keeps it at its optimum if another one follows."""
        size, last = sigma.size, j == self._count - 1
        measured, width = sigma, size
        if isinstance(objective, Egalitarian):
            agents = self.game.num_agents
            measured, width = builder.add_variables(f"least {j}", (1,), lower=-np.inf), 1
            terms = {sigma: np.ones((agents, size)), measured: -np.ones((agents, 1))}
            block = builder.add_rows(f"floor {j}", (agents,), terms, lower=0.0)
            rows, columns = np.divmod(np.arange(agents * size), size)
            self._note(f"floor {j}", block, sigma, rows, columns)
            self._note(f"least {j}", block, measured, np.arange(agents), np.zeros(agents, dtype=np.int64))
        elif isinstance(objective, LeastRegret):
            assert least is not None
            measured, width = least, 1
        elif isinstance(objective, Nearest):
            measured, width = builder.add_variables(f"over {j}", (size,)), size
            under = builder.add_variables(f"under {j}", (size,))
            eye = sparse.eye_array(size)
            builder.add_rows(f"distance {j}", (size,), {sigma: eye, measured: -eye, under: eye}, lower=0.0, upper=0.0)
        if not last:
            every = np.arange(width)
            block = builder.add_rows(f"kept {j}", (1,), {measured: np.ones((1, width))})
            self._note(f"kept {j}", block, measured, every * 0, every)

    def measured(self, j: int) -> Block:
        """Return the variables that objective j is a sum of."""
        objective = self.objectives[j]
        if isinstance(objective, Egalitarian):
            return self.pattern.variables[f"least {j}"]
        if isinstance(objective, LeastRegret):
            return self.pattern.variables["e"]
        return self.pattern.variables[f"over {j}" if isinstance(objective, Nearest) else "sigma"]

    def numbers(self, step: int, states: IntArray, q: Numbers, epsilon: Epsilon) -> StageNumbers:
        """Numbers of the programs at some states.

        Parameters
        ----------
        step, states
            Where, (K,).
        q
            Action values (K, m, A), doubles or fractions.
        epsilon
            Regret that is allowed at each stage.
        """
        return StageNumbers(self, step, states, q, epsilon)

    def incentives(self, agent: int) -> tuple[IntArray, IntArray, IntArray]:
        """For each entry of an agent's incentive rows its atom, the joint action obeyed and the one played instead."""
        return (self._entries[f"incentive {agent}"][2], *self._told[agent])

    def gains(self, agent: int, payoffs: Numbers) -> Numbers:
        """Compute what atoms gain at joint actions of a normal form, (W, A), from payoffs (A,); 0 where illegal."""
        picked, obeyed, deviated = self.incentives(agent)
        legal, zero = self.game.joint_legal[0], payoffs[0] * 0
        found = np.full((len(self.atoms[agent].plays), payoffs.size), zero, dtype=payoffs.dtype)
        playable = legal[obeyed] & legal[deviated]
        found[picked, obeyed] = np.where(playable, payoffs[deviated] - payoffs[obeyed], zero)
        return found

    def laid_out(self, multipliers: Sequence[Sequence[Numbers]]) -> tuple[Numbers, ...]:
        """Lay out prices of T stages, (S, W) for each agent, as the atoms: (T, S, ..); for a normal form just (..)."""
        lead = () if self.game.is_normal_form else (len(multipliers), self.game.num_states)
        return tuple(
            np.stack([stage[i] for stage in multipliers]).reshape(*lead, *atoms.shape)
            for i, atoms in enumerate(self.atoms)
        )

    def positions(self, name: str) -> IntArray:
        """Where the numbers of this name stand among the stored entries of A."""
        return self._positions[name]


def _ones(rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> sparse.coo_array:
    return sparse.coo_array((np.ones(rows.size), (rows, columns)), shape=shape)
