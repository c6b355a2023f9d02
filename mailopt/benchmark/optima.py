"""Optima in fractions, by routes that do not know the solvers under test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.certificates import checker
from mailopt.certificates.content import class_content
from mailopt.certificates.exact import ExactWitnesses
from mailopt.deviations import Swap
from mailopt.games.files import game_content, policy_content
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt_solvers import ExactSolution, LinearProgram, WrongAnswer, solve_exact
from mailopt_solvers.benchmark import KnownOptimum, scale_of

IN_FRACTIONS = "simplex basis in fractions"
BY_RECURSION = "dynamic program in fractions"
ON_PAYOFFS = "deviations and multipliers enumerated on the payoffs"
BY_REWARD = "worst reward, and a dynamic program in fractions"
SCALED = "optimum of the program before scaling"
LARGEST_PAYOFF = "largest payoff"


def values_of(game: MarkovGame, policy: CorrelatedPolicy, agent: int) -> tuple[Fraction, Fraction]:
    """Values of obeying and of the best swap deviation, by a backward recursion (discounted: policy iteration)."""
    read, names = checker.read_game(game_content(game))
    theirs = checker.read_policy(policy_content(policy, game), read, names)
    witness = ExactWitnesses(read, theirs, checker.read_class(class_content(Swap(), game), read, names)).of(agent)
    initial = list(zip(read.initial.places, read.initial.weights, strict=True))
    obey, best = (
        sum((Fraction(weight) * values[state] for state, weight in initial), Fraction(0)) / read.initial.total
        for values in (witness.obey[0], witness.best[0][0])
    )
    return obey, best


def on_payoffs(game: MarkovGame, solution: ExactSolution, weights: Sequence[int], *, swap: bool) -> Fraction:
    """Largest weighted sum of payoffs in a (coarse) correlated equilibrium, proved without its program.

    The point is shown to be an equilibrium by enumerating deviations on the payoffs; with the multipliers l of the
    incentives, no equilibrium has more than max_a [u(a) - sum_w l_w gain_w(a)], u being the weighted sum of payoffs and
    gain_w(a) what deviation w gains when the joint action is a.

    Raises
    ------
    WrongAnswer
        It is no equilibrium, or the two differ.
    """
    payoffs = _fractions(game.reward(0)[:, 0, :])
    sigma = solution["sigma"].ravel()
    played = np.flatnonzero(sigma)
    joint = np.indices(game.actions).reshape(len(game.actions), -1)
    total = np.asarray(weights, dtype=object) @ payoffs
    most = total.copy()
    if (sigma < 0).any() or sigma.sum() != 1:
        raise WrongAnswer("the point is no distribution over joint actions")
    for agent, n in enumerate(game.actions):
        multipliers = iter(solution.duals(f"incentive_{agent}").ravel())
        for told in range(n) if swap else [None]:
            for plays in range(n):
                changed = joint.copy()
                changed[agent] = plays if told is None else np.where(joint[agent] == told, plays, joint[agent])
                instead = np.asarray(np.ravel_multi_index(tuple(changed), game.actions))
                if (payoffs[agent, instead[played]] - payoffs[agent, played]) @ sigma[played] > 0:
                    raise WrongAnswer(f"agent {agent} gains by playing {plays} instead of {told}")
                multiplier = next(multipliers)
                if multiplier < 0:
                    raise WrongAnswer("a multiplier has the wrong sign")
                if multiplier:
                    others = np.flatnonzero(instead != np.arange(instead.size))
                    most[others] -= multiplier * (payoffs[agent, instead[others]] - payoffs[agent, others])
    value = Fraction(total @ sigma)
    if value != most.max():
        raise WrongAnswer(f"the point is worth {value}, the multipliers prove {most.max()}")
    return value


def least_distance(game: MarkovGame, expected: FloatArray, solution: ExactSolution) -> Fraction:
    """Least of max_f <f, mu_E - mu> over occupancies, for rewards |f| <= 1: what the worst reward proves.

    The worst reward comes from the program's multipliers; no occupancy is nearer than <f, mu_E> - max_mu <f, mu>, and
    that maximum is a backward recursion in fractions.

    Raises
    ------
    WrongAnswer
        The multipliers are no such reward.
    """
    stages, size, joint = expected.shape
    worst = solution.duals("apart").reshape(stages, size, joint)
    if any(abs(f) > 1 for f in worst.ravel()):
        raise WrongAnswer("the multipliers are beyond the bounds of rewards")
    after = np.full(size, Fraction(0), dtype=object)
    for stage in reversed(range(stages)):
        rows = game.kernels[min(stage, len(game.kernels) - 1)].rows().tocsr()
        follows = [
            sum((Fraction(p) * after[t] for p, t in zip(rows.data[part], rows.indices[part], strict=True)), Fraction(0))
            for part in (slice(*rows.indptr[k : k + 2]) for k in range(size * joint))
        ]
        total = worst[stage] + np.array(follows, dtype=object).reshape(size, joint)
        after = np.array([total[s, legal].max() for s, legal in enumerate(game.joint_legal)], dtype=object)
    best = sum((Fraction(p) * value for p, value in zip(game.initial, after, strict=True)), Fraction(0))
    return Fraction((worst * _fractions(expected)).sum() - best)


def _fractions(values: FloatArray) -> npt.NDArray[Any]:
    """Doubles as fractions; as integers, which are faster, if all are."""
    if (values == np.rint(values)).all():
        return np.asarray(np.vectorize(int, otypes=[object])(values))
    return np.asarray(np.vectorize(Fraction, otypes=[object])(values))


def known(
    program: LinearProgram,
    routes: Mapping[str, Fraction],
    proofs: Mapping[str, Callable[[ExactSolution], Fraction]],
) -> tuple[KnownOptimum, ExactSolution]:
    """Solve a program in fractions, and hold all routes to its optimum together.

    Parameters
    ----------
    program
        The program.
    routes
        Its optimum by other routes, by their names.
    proofs
        Routes that start from the exact solution.

    Raises
    ------
    WrongAnswer
        Two routes differ.
    SolverError
        The program could not be solved.
    """
    solution = solve_exact(program).require_optimal()
    optimum = solution.objective
    others = {**routes, **{name: proof(solution) for name, proof in proofs.items()}}
    for route, value in others.items():
        if value != optimum:
            raise WrongAnswer(f"{program!r}: {route} has {value}, {IN_FRACTIONS} has {optimum}")
    largest = max(abs(Fraction(cost) * x) for cost, x in zip(program.costs.tolist(), solution.x, strict=True))
    return KnownOptimum(optimum, optimum, (IN_FRACTIONS, *others), scale_of(optimum, largest)), solution
