"""The best deviation by the deviation occupancy program, with bounds that its own optimum and duals prove."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mailopt.deviations import Budget, Deviation, DeviationClass, Limited, Stagewise, Swap
from mailopt.deviations.base import Recursive
from mailopt.deviations.deviation import legal_choices
from mailopt.evaluation.best import BestDeviation, gathered
from mailopt.evaluation.recursion import Outcome, recursion, witnessed
from mailopt.evaluation.rounding import Enclosure
from mailopt.evaluation.rules import Deviate, Deviating, Follow, Obey, Play, Problem, counting
from mailopt.evaluation.search import read_deviation
from mailopt.evaluation.stages import by_stage, require_finite
from mailopt.evaluation.values import Values
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.programs import deviation as deviation_program
from mailopt_solvers import HighsSession, Solution


def by_program(
    game: MarkovGame, policy: CorrelatedPolicy, agent: int, deviations: DeviationClass, obedience: Values
) -> BestDeviation:
    """Solve the program and read the deviation off its occupancy.

    The value of that deviation, evaluated, is a lower bound; the dual values of the flow rows are a value function
    whose residuals prove an upper one.
    """
    solution = HighsSession(deviation_program(game, policy, agent, deviations)).solve().require_optimal()
    problem, occupied = Problem(game, policy, steps=deviations.num_steps), solution["D"]
    witness = game.occupancy_mass * solution.duals("flow")
    if isinstance(deviations, Budget):
        obey = Deviation.identity(game, agent)
        z = _told(game, agent, solution["z"], occupied[..., None, None] * obey.at(0))
        rule: Deviating = Follow(read_deviation(agent, by_stage(game, z), obey))
        followed = recursion(problem, [rule])[0]
        values, lower = followed.state_values[:, 0, 0], _affordable(followed, deviations.kappa)
        price = game.occupancy_mass * abs(float(solution.duals("budget")[0]))
        charged = replace(problem, toll=price)
        above = witnessed(charged, Deviate(charged, agent, Swap()), witness[:, None])
        upper = (above + Enclosure(price, price) * deviations.kappa).upper
    else:
        assert isinstance(deviations, Recursive)
        limited = isinstance(deviations, Limited)
        choices = _choices(game, agent, deviations, solution)
        rule = Play(agent, choices)
        layered = occupied if limited else occupied[:, None]
        z = np.stack([np.einsum("js,jsab->sab", d, rule.plays(problem, h)) for h, d in enumerate(layered)])
        if isinstance(deviations, Stagewise):
            masses = solution["z"].reshape(*occupied.shape, -1) @ deviations.atoms(game.actions[agent], agent).table()
            z = _told(game, agent, masses.reshape(z.shape), z)
        values, occupied = witness, layered.sum(axis=1)
        lower = recursion(problem, [rule])[0].enclosure().lower
        upper = witnessed(problem, Deviate(problem, agent, deviations), witness if limited else witness[:, None]).upper
    return gathered(
        game,
        agent,
        deviations,
        obedience,
        value=float(require_finite(np.asarray(solution.objective))),
        enclosure=Enclosure(lower, upper),
        deviation=rule.deviation(game),
        occupancy=z,
        states=occupied,
        state_values=values,
        completed=~(z.max(axis=(2, 3)) > 0),
        method="lp",
        solution=solution,
    )


def _told(game: MarkovGame, agent: int, z: FloatArray, otherwise: FloatArray) -> FloatArray:
    """Keep z where an action can be recommended; what is illegal never is, and the program does not care there."""
    return np.asarray(np.where(game.legal[agent][:, :, None], z, otherwise))


def _affordable(followed: Outcome, kappa: float) -> float:
    """Lower bound on the best value at a budget: what was followed, mixed with obedience if it may cost more."""
    problem, rule, found = followed.problem, followed.rule, followed.enclosure()
    cost = recursion(counting(problem), [rule])[0].enclosure()
    if cost.upper <= kappa:
        return found.lower
    obedient = recursion(problem, [Obey(rule.agents)])[0].enclosure()
    share = kappa / cost.upper * (1.0 - 2.0**-50)
    rounding = 2.0**-50 * max(abs(found.lower), abs(obedient.lower))
    return (found * share + obedient * (1.0 - share)).lower - rounding


def _choices(game: MarkovGame, agent: int, deviations: Recursive, solution: Solution) -> IntArray:
    """Read what is played, (T, L, S, n), off the masses: the atom with most of it, or obedience."""
    if isinstance(deviations, Stagewise):
        masses = solution["z"].reshape(*solution["D"].shape, -1)
        return np.stack([deviations.pick(game, agent, h, mass)[1] for h, mass in enumerate(masses)])[:, None]
    assert isinstance(deviations, Limited)
    obeying, occupied = solution["o"], solution["D"]
    n = game.actions[agent]
    choices = np.tile(np.arange(n), (*occupied.shape, 1))
    if occupied.shape[1] > 1:
        masses = solution["z"].reshape(len(occupied), occupied.shape[1] - 1, game.num_states, -1)
        picked = np.stack([deviations.inner.pick(game, agent, h, mass)[1] for h, mass in enumerate(masses)])
        obeys = 2 * obeying[:, 1:] >= occupied[:, 1:]
        choices[:, 1:] = np.where(obeys[..., None], choices[:, 1:], picked)
    return legal_choices(game, agent, choices)
