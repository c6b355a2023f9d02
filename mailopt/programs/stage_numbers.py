"""The numbers of equilibrium programs: many stage games of one pattern, in the units of the solver.

Solvers of doubles work with absolute tolerances, so everything is brought to a range of 1 by powers of two, which round
nothing: each agent's incentive rows, the objective, and of an egalitarian objective each agent's floor.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mailopt.errors import InvalidNumber
from mailopt.games.numbers import FloatArray, IntArray
from mailopt.programs.objectives import Egalitarian, LeastRegret, Linear, Nearest
from mailopt_solvers import ExactProgram, LinearProgram

if TYPE_CHECKING:
    from mailopt.programs.equilibrium import StageProgram

Numbers = npt.NDArray[Any]  # doubles, or objects that are fractions
Epsilon = float | Fraction
_LARGEST_EXPONENT = 1000
_LARGEST = 1e300
_PLENTY = 2  # times the largest difference of an agent's payoffs
_UNNOTICED = 1e-12  # of the largest coefficient of an agent


class StageNumbers:
    """The numbers of K equilibrium programs, in the units of the solver, and how to get back to those of the game.

    Parameters
    ----------
    stage
        The pattern.
    step, states
        Where, (K,).
    q
        Action values (K, m, A), doubles or fractions.
    epsilon
        Regret that is allowed.
    scaled
        False: keep the units of the game.

    Attributes
    ----------
    coefficients, row_lower, row_upper, lower, upper
        Parts of the programs, each with K in front; minus and plus infinity where there is no bound.
    costs
        For each objective its costs, (K, n), in the solver's units.
    scales
        Factor of each agent's rows, (K, m); powers of two.
    cost_scales
        Factor of each objective, (K,).
    offsets
        What the solver's objective leaves out, in the units of the game, for each objective (K,).
    unnoticed
        Whether numbers were left out because they are too small for a solver of doubles.

    Raises
    ------
    InvalidNumber
        Payoffs or weights so large that their differences might overflow.
    """

    def __init__(
        self,
        stage: StageProgram,
        step: int,
        states: IntArray,
        q: Numbers,
        epsilon: Epsilon,
        *,
        scaled: bool = True,
    ) -> None:
        self.stage, self.step, self.states = stage, step, states
        pattern, game, count = stage.pattern, stage.game, len(q)
        self.exact, self._scaled, self.unnoticed = q.dtype == object, scaled, False
        self.legal = game.joint_legal[states]
        self.q = np.where(self.legal[:, None], q, self._zero)
        if not self.exact:
            require_range(self.q)
        self.coefficients = self._spread(pattern.matrix.data)
        self.row_lower, self.row_upper = self._spread(pattern.row_lower), self._spread(pattern.row_upper)
        self.lower, self.upper = self._spread(pattern.lower), self._spread(pattern.upper)
        self.upper[:, pattern.variables["sigma"].slice] = np.where(self.legal, np.inf, self._zero)
        self.scales = np.empty((count, game.num_agents), dtype=self._kind)
        for i in range(game.num_agents):
            self._tempt(i, Fraction(epsilon) if self.exact else float(epsilon))
        self._common = self._largest_unit()
        if "e" in pattern.variables:
            for i in range(game.num_agents):
                share = self._kept((self._common / self.scales[:, i])[:, None])
                self.coefficients[:, stage.positions(f"worst {i}")] = share
        self.costs: list[Numbers] = []
        self.cost_scales: list[Numbers] = []
        self.offsets: list[Numbers] = []
        for j in range(len(stage.objectives)):
            self._price(j)

    @property
    def _zero(self) -> Any:
        return Fraction(0) if self.exact else 0.0

    @property
    def _kind(self) -> Any:
        return object if self.exact else np.float64

    def _spread(self, values: FloatArray) -> Numbers:
        """One copy for each program."""
        return np.tile(_exactly(values) if self.exact else values, (len(self.q), 1))

    def _powers(self, values: Numbers) -> Numbers:
        return powers(values) if self._scaled else np.full(len(values), self._zero + 1, dtype=self._kind)

    def _kept(self, scaled: Numbers) -> Numbers:
        """Drop what no solver of doubles would take notice of, and remember that."""
        if self.exact or not self._scaled:
            return scaled
        kept = np.where(np.abs(scaled) < _UNNOTICED, 0.0, scaled)
        self.unnoticed |= bool((kept != scaled).any())
        return kept

    def _tempt(self, agent: int, epsilon: Epsilon) -> None:
        """Fill in an agent's incentive rows, and what it may gain."""
        stage, pattern = self.stage, self.stage.pattern
        _, obeyed, deviated = stage.incentives(agent)
        found = self.q[:, agent, deviated] - self.q[:, agent, obeyed]
        found = np.where(self.legal[:, obeyed] & self.legal[:, deviated], found, self._zero)
        self.scales[:, agent] = self._powers(found)
        scale = self.scales[:, agent, None]
        self.coefficients[:, stage.positions(f"incentive {agent}")] = self._kept(found * scale)
        rows = pattern.rows[f"incentive {agent}"].slice
        bounded = rows if stage.simple[agent] else pattern.rows[f"slack {agent}"].slice
        afforded = scale * epsilon
        if self._scaled:  # no regret exceeds 1, and a number without meaning may be too large for the solver
            afforded = np.where(afforded > _PLENTY, self._zero + _PLENTY, afforded)
        self.row_upper[:, bounded] = self._kept(afforded)
        allowed = stage.stagewise.allowed_atoms(stage.game, agent, self.step)
        if allowed is not None:
            self.row_upper[:, rows] = np.where(allowed[self.states], self.row_upper[:, rows], np.inf)

    def _largest_unit(self) -> Numbers:
        """Factor of the agent with the largest differences, (K,); agents without any do not count."""
        found = np.full(len(self.q), np.inf, dtype=self._kind)
        for i in range(self.stage.game.num_agents):
            differs = (self.coefficients[:, self.stage.positions(f"incentive {i}")] != 0).any(axis=1)
            found = np.where(differs, np.minimum(found, self.scales[:, i]), found)
        return np.where(found == np.inf, self._zero + 1, found)

    def _price(self, j: int) -> None:
        """Fill in the costs of objective j, and the row that keeps it."""
        pattern, objective = self.stage.pattern, self.stage.objectives[j]
        here = self.stage.measured(j).slice
        one, none = (np.full(len(self.q), self._zero + k, dtype=self._kind) for k in (1, 0))
        costs = np.full((len(self.q), pattern.num_variables), self._zero, dtype=self._kind)
        if isinstance(objective, Linear):
            costs[:, here], scale, offset = self._linear(objective)
        elif isinstance(objective, Egalitarian):
            costs[:, here], (scale, offset) = one[:, None], self._floors(j)
        elif isinstance(objective, LeastRegret):
            costs[:, here], scale, offset = -one[:, None], self._common, none
        elif isinstance(objective, Nearest):
            rows = pattern.rows[f"distance {j}"].slice
            target = target_rows(objective, self.step, self.states, self.exact)
            self.row_lower[:, rows] = self.row_upper[:, rows] = target
            costs[:, here], scale, offset = -one[:, None], one, none
        if f"kept {j}" in pattern.rows:
            self.coefficients[:, self.stage.positions(f"kept {j}")] = costs[:, here]
        self.costs.append(costs)
        self.cost_scales.append(scale)
        self.offsets.append(offset)

    def _linear(self, objective: Linear) -> tuple[Numbers, Numbers, Numbers]:
        """Costs of sigma, their factor and their offset."""
        weights = np.where(self.legal, objective.weights(self.q, self.states), self._zero)
        if not self.exact and not np.abs(weights).max() <= _LARGEST:
            raise InvalidNumber("the weights of the objective are too large; scale them, or the rewards, down")
        if not self._scaled:
            return weights, self._powers(weights), np.zeros(len(weights))
        offset = _below(weights, self.legal)
        apart = np.where(self.legal, weights - offset[:, None], self._zero)
        scale = powers(apart)
        return apart * scale[:, None], scale, offset

    def _floors(self, j: int) -> tuple[Numbers, Numbers]:
        """Fill in the rows v <= sum_a Q_i(a) sigma(a): the unit of v, and where it is measured from.

        v cannot exceed the most that the poorest agent can get, and is measured in that agent's range below it. Each
        row is brought to a range of 1 by itself.
        """
        q, legal, stage = self.q, self.legal, self.stage
        agents, here = range(q.shape[1]), np.arange(len(q))
        if self._scaled:
            below = np.stack([_below(q[:, i], legal) for i in agents], axis=1)  # 2 low - high
            top = np.stack([np.where(legal, q[:, i], below[:, i, None]).max(axis=1) for i in agents], axis=1)
            ranges = (top - below) / 2
            poorest = top.argmin(axis=1)
            span = np.where(ranges[here, poorest] > 0, ranges[here, poorest], ranges.max(axis=1))
            unit, offset = powers(2 * span[:, None]), top[here, poorest] - 2 * span
        else:
            unit, offset = np.ones(len(q)), np.zeros(len(q))
        apart = np.where(legal[:, None], q - offset[:, None, None], self._zero)
        scale = np.stack([self._powers(apart[:, i]) for i in agents], axis=1)
        self.coefficients[:, stage.positions(f"floor {j}")] = (apart * scale[..., None]).reshape(len(q), -1)
        self.coefficients[:, stage.positions(f"least {j}")] = -self._kept(scale / unit[:, None])
        return unit, offset

    def keep(self, j: int, optimum: Numbers) -> None:
        """Keep objective j, in the solver's units, at its optimum."""
        self.row_lower[:, self.stage.pattern.rows[f"kept {j}"].slice] = optimum[:, None]

    def parts(self, j: int) -> dict[str, Numbers]:
        """Return everything that varies, with the costs of objective j."""
        return {
            "costs": self.costs[j] if self.costs else np.tile(self.stage.pattern.costs, (len(self.q), 1)),
            "coefficients": self.coefficients,
            "row_lower": self.row_lower,
            "row_upper": self.row_upper,
            "lower": self.lower,
            "upper": self.upper,
        }

    def program(self, k: int, j: int = 0) -> LinearProgram:
        """Return the k-th program with the costs of objective j, in doubles."""
        return self.stage.pattern.changed(**{name: values[k] for name, values in self.parts(j).items()})

    def exact_program(self, k: int, j: int = 0) -> ExactProgram:
        """Return the k-th program in fractions."""
        pattern = self.stage.pattern
        parts = {name: values[k] for name, values in self.parts(j).items()}
        places = zip(pattern.matrix.indices.tolist(), pattern.entry_columns.tolist(), strict=True)
        return ExactProgram(
            list(parts["costs"]),
            dict(zip(places, parts["coefficients"].tolist(), strict=True)),
            list(parts["row_lower"]),
            list(parts["row_upper"]),
            list(parts["lower"]),
            list(parts["upper"]),
            "max",
            0,
            pattern.variables,
            pattern.rows,
        )


def require_range(q: FloatArray) -> None:
    """Raise InvalidNumber unless sums and differences of action values (.., m, A or m, S, A) are far from overflow."""
    if not float(np.abs(q).max(initial=0.0)) <= _LARGEST:
        raise InvalidNumber(f"payoffs, or values, above {_LARGEST:.0e} may overflow; scale the rewards down")


def target_rows(objective: Nearest, step: int, states: IntArray, exact: bool) -> Numbers:
    """Rows of the target at some states, normalised, (K, A)."""
    target = objective.target
    if not exact:
        return target.at(step)[states]
    fractions = target.fractions()
    rows = fractions if fractions.ndim == 2 else fractions[min(step, len(fractions) - 1)]
    return np.asarray(rows[states])


def powers(values: Numbers) -> Numbers:
    """Power of two that brings the largest of some numbers between 1/2 and 1, (K, N) to (K,); 1 if all are 0."""
    if values.dtype == object:
        largest = [max((abs(v) for v in row), default=Fraction(0)) for row in values]
        found = np.empty(len(largest), dtype=object)
        for k, v in enumerate(largest):
            found[k] = Fraction(1) if not v else Fraction(2) ** (v.denominator.bit_length() - v.numerator.bit_length())
        return found
    largest = np.abs(values).max(axis=1, initial=0.0)
    exponents = np.clip(np.frexp(largest)[1], -_LARGEST_EXPONENT, _LARGEST_EXPONENT)
    return np.where(largest > 0, np.ldexp(1.0, -exponents), 1.0)


def _below(values: Numbers, legal: npt.NDArray[np.bool_]) -> Numbers:
    """Take the least legal entry of each row less the row's range.

    Objectives measured from there are between once and twice their range: no cost is noise around 0.
    """
    if values.dtype == object:
        rows = [[v for v, good in zip(row, mask, strict=True) if good] for row, mask in zip(values, legal, strict=True)]
        found = np.empty(len(rows), dtype=object)
        for k, row in enumerate(rows):
            found[k] = 2 * min(row) - max(row)
        return found
    low, high = np.where(legal, values, np.inf).min(axis=1), np.where(legal, values, -np.inf).max(axis=1)
    return np.asarray(low - (high - low))


def _exactly(values: FloatArray) -> Numbers:
    found = np.empty(values.shape, dtype=object)
    for k, value in enumerate(values):
        found[k] = Fraction(value) if np.isfinite(value) else float(value)
    return found
