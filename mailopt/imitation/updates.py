"""How the next policy follows from what deviations of the earlier ones found: the update rules of MALICE.

In round n each agent's worst deviation from sigma_n leads to visits w (T, S), its importance weights times the expert's
own visits; the loss of a policy sigma that they define is the convex function sum_{h,s} w_h(s) TV(sigma_h(s),
sigma_{E,h}(s)). A rule turns the losses of all rounds into the next parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mailopt.errors import InvalidPolicyClass
from mailopt.evaluation.stages import distributions
from mailopt.games.numbers import FloatArray
from mailopt.imitation.target import Target
from mailopt.programs.imitation import Master
from mailopt.programs.layout import Layout
from mailopt_solvers import QuadraticSolution, Solution, solve_quadratic

RULES = ("cutting_plane", "follow_the_leader", "follow_the_regularised_leader", "hedge", "expert_occupancy")


@dataclass(frozen=True, eq=False)
class Step:
    """What a rule found: parameters (R, W), the optimum of its program, and the solver's answer, if it has one."""

    x: FloatArray
    objective: float | None = None
    solution: Solution | QuadraticSolution | None = None
    rounding: float = 0.0


class Update(ABC):
    """A rule; ``averages`` says whether the running average of its iterates is what its guarantee is about."""

    averages: bool = True

    @abstractmethod
    def next(self, visits: Sequence[FloatArray], x: FloatArray) -> Step:
        """Take the visits of a round, worst first, and the parameters that they belong to."""


class CuttingPlane(Update):
    """Minimise the largest loss of all rounds and agents: a linear program."""

    averages = False

    def __init__(self, master: Master) -> None:
        self.master = master

    def next(self, visits: Sequence[FloatArray], x: FloatArray) -> Step:
        """See :class:`Update`."""
        self.master.add_cuts(visits)
        return self.solved()

    def solved(self) -> Step:
        """Solve the program as it stands."""
        solution = self.master.solve()
        x = distributions(solution["x"], self.master.layout.allowed)
        thetas = [name for name in solution.program.variables if name.startswith("theta")]
        objective = float(sum(solution[name].sum() for name in thetas))
        return Step(x, objective, solution, float(np.abs(x - solution["x"]).max()))


class FollowTheLeader(CuttingPlane):
    """Minimise the sum over rounds of that round's largest loss over agents: a linear program."""

    averages = True


class FollowTheRegularisedLeader(Update):
    """The same sum, and ``strength`` sqrt(n) / 2 times the squared distance from the first parameters."""

    def __init__(self, master: Master, start: FloatArray, strength: float) -> None:
        self.master, self.start, self.strength, self.round = master, start, strength, 0

    def next(self, visits: Sequence[FloatArray], x: FloatArray) -> Step:
        """See :class:`Update`."""
        self.master.add_cuts(visits)
        self.round += 1
        program = self.master.session.program
        block = program.variables["x"]
        weights, centre = np.zeros((2, program.num_variables))
        weights[block.slice] = self.strength * np.sqrt(self.round)
        centre[block.slice] = self.start.ravel()
        solution = solve_quadratic(program, weights, centre).require_optimal()
        found = distributions(solution["x"], self.master.layout.allowed)
        return Step(found, solution.objective, solution, float(np.abs(found - solution["x"]).max()))


class Hedge(Update):
    """Multiplicative weights on every row of parameters, in closed form.

    x_{n+1} is proportional to x_1 exp(-eta_n G), with G the sum of the subgradients so far of the worst agent's loss.
    The loss is a sum over rows, so each row runs for itself, with eta_n = strength sqrt(log W / sum of squared ranges).
    """

    def __init__(self, layout: Layout, target: Target, start: FloatArray, strength: float) -> None:
        if layout.constraints:
            raise InvalidPolicyClass(
                "hedge needs a class that is a product of simplices; take rule='cutting_plane' for one with constraints"
            )
        self.layout, self.target, self.strength = layout, target, strength
        counts = layout.allowed.sum(axis=1, keepdims=True)
        smoothed = 0.5 * start + 0.5 * layout.uniform()  # what has no chance at first never gets one
        self.logarithms = np.log(np.where(layout.allowed, smoothed, 1.0))
        self.scale = np.log(np.maximum(counts, 2))
        self.total, self.squares = np.zeros_like(start), np.zeros(counts.shape)

    def next(self, visits: Sequence[FloatArray], x: FloatArray) -> Step:
        """See :class:`Update`."""
        gradient = self.gradient(visits[0], x)
        low = np.where(self.layout.allowed, gradient, np.inf).min(axis=1, keepdims=True)
        high = np.where(self.layout.allowed, gradient, -np.inf).max(axis=1, keepdims=True)
        self.total += gradient
        self.squares += (high - low) ** 2
        eta = self.strength * np.sqrt(self.scale / np.where(self.squares > 0, self.squares, 1.0))
        exponents = np.where(self.layout.allowed, self.logarithms - eta * self.total, -np.inf)
        weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
        return Step(weights / weights.sum(axis=1, keepdims=True))

    def gradient(self, weights: FloatArray, x: FloatArray) -> FloatArray:
        """Subgradient (R, W) of sum w TV at x: half the signs of sigma - sigma_E, through the map from x to sigma."""
        apart = np.where(self.target.known[..., None], np.sign(self.layout.sigma(x) - self.target.rows), 0.0)
        slopes = 0.5 * weights[..., None] * apart
        return self.layout.pulled_back(slopes)


def update_of(
    rule: str, layout: Layout, target: Target, start: FloatArray, ties: FloatArray | None, strength: float
) -> Update:
    """Make the update of a rule; ``start`` are the first parameters, ``ties`` rows to come near to without data."""
    if rule == "hedge":
        return Hedge(layout, target, start, strength)
    regularised = rule == "follow_the_regularised_leader"
    per_round = regularised or rule == "follow_the_leader"
    master = Master(layout, anchored=not regularised, per_round=per_round)
    master.add_cells(target.known, target.rows)
    if ties is not None:
        master.add_ties(~layout.with_data(target.known)[layout.rows], ties)
    if regularised:
        return FollowTheRegularisedLeader(master, start, strength)
    return FollowTheLeader(master) if per_round else CuttingPlane(master)
