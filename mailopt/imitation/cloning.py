"""Behaviour cloning: imitate where the expert goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mailopt.deviations import DeviationClass, Swap, check_deviations
from mailopt.errors import InvalidOption, InvalidPolicyClass
from mailopt.evaluation.rounding import SLACK, Enclosure, gamma
from mailopt.evaluation.stages import distributions
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation.bounds import class_error, least_loss
from mailopt.imitation.checks import check_demonstrations
from mailopt.imitation.completion import Completion, check_completion, completed, wanted
from mailopt.imitation.demonstrations import Demonstrations
from mailopt.imitation.dynamics import Known
from mailopt.imitation.results import Imitation, provenance
from mailopt.imitation.scores import Scorer
from mailopt.imitation.target import Target, layout_for, target_of
from mailopt.programs.imitation import Master
from mailopt.programs.layout import Layout
from mailopt.programs.policy_classes import PolicyClass, Tabular, check_policy_class
from mailopt_solvers import Solution


@dataclass(frozen=True, eq=False)
class Cloned:
    """Parameters (R, W) nearest to the data, the distance, and the program and its answer if one was needed."""

    x: FloatArray
    objective: float
    solution: Solution | None = None
    rounding: float = 0.0
    master: Master | None = None


def behavior_cloning(
    game: MarkovGame,
    demonstrations: Demonstrations,
    *,
    policy_class: PolicyClass = Tabular(),  # noqa: B008 - a frozen object without state
    method: str = "tv",
    completion: Completion = "uniform",
    expert: CorrelatedPolicy | None = None,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
) -> Imitation:
    """Behaviour cloning (J-BC): the policy of a class nearest to the expert where the expert goes.

    minimise sum_h E over s ~ d_{E,h} of TV(sigma_h(s), sigma_{E,h}(s)), a linear program
    (:func:`mailopt.programs.imitation` with the expert's visits as the one weighting). Where the class holds the data as
    they are, they are returned without one.

    Parameters
    ----------
    game
        The game.
    demonstrations
        What is known of the expert.
    policy_class
        Policies to choose from: see :mod:`mailopt.policy_classes`.
    method
        ``"tv"``: as above. ``"counting"``: maximum likelihood, the frequencies of each row; for classes whose rows choose
        joint actions, without constraints.
    completion
        What to do in rows that no data reach: ``"uniform"``, a policy to follow, or ``"least_regret"`` with the game's
        rewards.
    expert, deviations
        Only for the loss and the gaps that are reported: the whole expert (by default that of
        ``Demonstrations.from_policy``), and the class of deviations.

    Returns
    -------
    Imitation
        ``.policy``, and one round of history whose ``objective`` is the distance, with bounds.

    Raises
    ------
    InvalidPolicyClass, InfeasibleClass, InvalidDemonstrations, InvalidOption, InvalidDeviation
        Something does not fit.
    SolverError
        The program could not be solved.

    Notes
    -----
    Source: Tang et al., *Multi-Agent Imitation Learning: Value is Easy, Regret is Hard*, NeurIPS 2024.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> shown = mo.sample_demonstrations(chain.game, chain.expert, 10, seed=0)
    >>> found = mo.behavior_cloning(chain.game, shown, completion=chain.learner)
    >>> mo.value_gap(chain.game, found.policy, chain.expert).value, mo.regret_gap(chain.game, found.policy, chain.expert).value
    (0.0, 3.0)
    """  # noqa: E501 - an example
    options = {name: value for name, value in locals().items() if name not in ("game", "demonstrations")}
    check_game(game)
    check_deviations(deviations, game)
    check_demonstrations(demonstrations, game)
    scorer = Scorer(game, demonstrations.expert if expert is None else expert, deviations)
    if method not in ("tv", "counting"):
        raise InvalidOption(f"method is {method!r}; it must be 'tv' or 'counting'")
    target = target_of(demonstrations)
    layout = layout_for(check_policy_class(policy_class).layout(game), len(target.known))
    check_completion(completion, layout)
    data = layout.with_data(target.known)
    if method == "tv":
        ties = wanted(layout, target, completion, game, deviations)
        found = cloned(layout, target, demonstrations.visits, ties)
    else:
        found = _counted(layout, target, demonstrations.visits)
    x = found.x if layout.constraints else completed(layout, found.x, data, completion, game, deviations)
    policy = layout.policy(x)
    assessed = Known(game, deviations).assess(policy, target.distance(policy), target.support)
    steps = game.horizon or 1
    mass = steps + demonstrations.error
    lower = None if method == "counting" else 0.0
    if found.master is not None:
        lower = max(0.0, least_loss(found.master, target, mass, demonstrations.error))
    attained = float((demonstrations.visits * target.distance(policy)).sum())
    roundings = 4 * max(target.support, policy.support) + demonstrations.visits.size + 16
    off = demonstrations.error + mass * (gamma(roundings) + class_error(layout))
    bounds = lower, Enclosure.around(attained, off * SLACK).upper
    return marked(
        game,
        Imitation(
            algorithm="J-BC",
            policy=policy,
            loss=assessed.loss,
            completed=~data[layout.rows],
            history=(scorer.round(0, policy, assessed, found.objective, found.solution, bounds=bounds),),
            stopped="solved",
            options=options,
            rounding=found.rounding,
            **provenance(found.solution),
            elapsed=scorer.elapsed,
        ),
    )


def cloned(layout: Layout, target: Target, visits: FloatArray, ties: FloatArray | None = None) -> Cloned:
    """Parameters of the class nearest to the target, weighted by the expert's visits (T, S).

    Rows without data stay open; with ``ties``, (T, S, A), they come near to these.
    """
    x = layout.reproducing(target.known, target.rows)
    if x is not None:
        return Cloned(x, 0.0)
    master = Master(layout)
    master.add_cells(target.known, target.rows)
    master.add_cut(visits)
    if ties is not None:
        master.add_ties(~layout.with_data(target.known)[layout.rows], ties)
    solution = master.solve()
    x = distributions(solution["x"], layout.allowed)
    return Cloned(x, float(solution["theta"][0]), solution, float(np.abs(x - solution["x"]).max()), master)


def _counted(layout: Layout, target: Target, visits: FloatArray) -> Cloned:
    """Frequencies of each row."""
    if layout.atoms is not None or layout.constraints:
        raise InvalidPolicyClass(
            "counting is for classes whose rows choose joint actions freely: Tabular, Stationary or Aggregated without "
            "constraints; use method='tv'"
        )
    weights = layout.pulled_back(visits[..., None] * target.rows)
    bad = np.argwhere((weights > 0) & ~layout.allowed)
    if bad.size:
        row, action = (int(k) for k in bad[0])
        raise InvalidPolicyClass(
            f"{layout.game.joint_action(action)} is demonstrated in row {row} of the class, but illegal in another "
            f"state that shares it; use method='tv'"
        )
    sums = weights.sum(axis=1, keepdims=True)
    x = weights / np.where(sums > 0, sums, 1.0)
    return Cloned(x, float((visits * target.distance(layout.policy(np.where(sums > 0, x, layout.uniform())))).sum()))
