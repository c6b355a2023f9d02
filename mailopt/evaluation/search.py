"""The best deviation of a class for any rewards: one entry for every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mailopt.deviations import Budget, Deviation, DeviationClass, Finite, Stationary
from mailopt.deviations.base import Recursive
from mailopt.errors import InvalidDeviation, InvalidOption
from mailopt.evaluation.frontier import Frontier
from mailopt.evaluation.recursion import Outcome, recursion
from mailopt.evaluation.rounding import Enclosure, highest
from mailopt.evaluation.rules import Deviate, Deviating, Follow, Problem
from mailopt.evaluation.stages import by_stage
from mailopt.evaluation.stationary import best_stationary
from mailopt.games.numbers import FloatArray


@dataclass(frozen=True, eq=False)
class Found:
    """The best deviation of one agent: outcomes of deviations, of which each is played with its weight.

    Attributes
    ----------
    agent
        Whose deviation.
    value, enclosure
        Value of the best deviation from the start, and what encloses the true one.
    parts
        Weights that sum to one, and outcomes. A random choice between deviations at the start is as good as one
        deviation that draws what to play at each state from the mixed occupancy.
    method
        How it was found.
    """

    agent: int
    value: float
    enclosure: Enclosure
    parts: list[tuple[float, Outcome]]
    method: str = "dp"

    def occupancy(self) -> FloatArray:
        """Return z_h(s, a, b), shape (T, S, n, n), summed over layers."""
        total = None
        for weight, outcome in self.parts:
            rule = outcome.rule
            assert isinstance(rule, Deviating)
            visits = outcome.visits()
            phis = [rule.plays(outcome.problem, h) for h in range(len(visits))]
            z = weight * np.stack([np.einsum("js,jsab->sab", d, phi) for d, phi in zip(visits, phis, strict=True)])
            total = z if total is None else total + z
        assert total is not None
        return total

    def deviation(self, occupancy: FloatArray) -> Deviation:
        """Return a deviation that attains the value, given its occupancy."""
        _, outcome = self.parts[0]
        game = outcome.problem.game
        if len(self.parts) > 1:
            return read_deviation(self.agent, by_stage(game, occupancy), Deviation.identity(game, self.agent))
        assert isinstance(outcome.rule, Deviating)
        return outcome.rule.deviation(game)


def read_deviation(agent: int, occupancy: FloatArray, completion: Deviation) -> Deviation:
    """Turn z(.., s, a, b) into phi(b | s, a) = z(.., s, a, b) / sum_b z(.., s, a, b), completed where that sum is 0.

    Masses below 0, by a solver's tolerance, count as 0.
    """
    occupancy = np.maximum(occupancy, 0.0)
    mass = occupancy.sum(axis=-1, keepdims=True)
    phi = np.where(mass > 0, occupancy / np.where(mass > 0, mass, 1.0), completion.at(0))
    return Deviation(agent, phi)


def resolve_method(deviations: DeviationClass, method: str) -> str:
    """Turn ``"auto"`` into the first exact method of a class; raise if it does not have the method asked for."""
    if method == "auto":
        return deviations.methods[0]
    if method not in deviations.methods:
        offered = ", ".join(repr(m) for m in ("auto", *deviations.methods))
        raise InvalidOption(f"method is {method!r}; for {deviations!r} it must be one of {offered}")
    return method


def search(problem: Problem, agents: Sequence[int], deviations: DeviationClass) -> list[Found | None]:
    """Find each agent's best deviation; None for one that has none."""
    if isinstance(deviations, Recursive):
        outcomes = recursion(problem, [Deviate(problem, agent, deviations) for agent in agents])
        return [_single(outcome) for outcome in outcomes]
    if isinstance(deviations, Budget):
        return [_mixed(Frontier(problem, agent), deviations.kappa) for agent in agents]
    if isinstance(deviations, Finite):
        return [_listed(problem, deviations.of(agent)) for agent in agents]
    if isinstance(deviations, Stationary):
        return [_fixed(problem, agent) for agent in agents]
    raise InvalidDeviation(f"no exact method is known for {deviations!r}")


def _single(outcome: Outcome, method: str = "dp") -> Found:
    return Found(outcome.rule.agents[0], outcome.value(), outcome.enclosure(), [(1.0, outcome)], method)


def _listed(problem: Problem, members: Sequence[Deviation]) -> Found | None:
    if not members:
        return None
    outcomes = recursion(problem, [Follow(phi) for phi in members])
    best = max(outcomes, key=Outcome.value)
    enclosure = highest(outcome.enclosure() for outcome in outcomes)
    return Found(best.rule.agents[0], best.value(), enclosure, [(1.0, best)], "enumeration")


def _fixed(problem: Problem, agent: int) -> Found:
    outcome, enclosure = best_stationary(problem, agent)
    return Found(agent, outcome.value(), enclosure, [(1.0, outcome)], "mip")


def _mixed(frontier: Frontier, kappa: float) -> Found:
    frontier.refine(kappa)
    parts = frontier.mixture(kappa)
    value = sum(weight * point.outcome.value() for weight, point in parts)
    found = [(weight, point.outcome) for weight, point in parts]
    return Found(frontier.agent, value, frontier.enclosure(kappa), found)
