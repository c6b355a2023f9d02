"""Inverse reinforcement learning: match the expert's occupancy against the worst reward of a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mailopt.deviations import DeviationClass, Swap, check_deviations
from mailopt.errors import InvalidPolicyClass
from mailopt.evaluation.reach import occupancy_error
from mailopt.evaluation.reward_free import total_occupancy
from mailopt.evaluation.rounding import SLACK, gamma
from mailopt.evaluation.rules import Obey, Problem
from mailopt.evaluation.stages import by_stage, distributions
from mailopt.games.game import MarkovGame, check_game
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation.bounds import Measure, apart, least_apart
from mailopt.imitation.checks import check_demonstrations
from mailopt.imitation.completion import Completion, check_completion, completed
from mailopt.imitation.demonstrations import Demonstrations
from mailopt.imitation.dynamics import Known
from mailopt.imitation.results import MomentMatching, provenance
from mailopt.imitation.scores import Scorer
from mailopt.imitation.target import target_of
from mailopt.programs.feasibility import require_feasible
from mailopt.programs.flow import flow
from mailopt.programs.moment_matching import Rewards, moment_matching
from mailopt.programs.policy_classes import EpisodeMixture, Occupancies, PolicyClass, Tabular, check_policy_class
from mailopt_solvers import HighsSession, Solution

_NOISE = 1e-12  # occupancies whose flow is off by less are those of a policy
_VISITED = 1e-9  # a solver's mass below this is 0


def inverse_reinforcement_learning(
    game: MarkovGame,
    demonstrations: Demonstrations,
    *,
    features: npt.ArrayLike | None = None,
    norm: str = "linf",
    policy_class: PolicyClass = Tabular(),  # noqa: B008 - a frozen object without state
    completion: Completion = "uniform",
    expert: CorrelatedPolicy | None = None,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
) -> MomentMatching:
    """Inverse reinforcement learning by moment matching (J-IRL): no reward of a class should tell learner and expert apart.

    minimise over occupancies mu in the flow polytope   max over f in F of <f, mu_E - mu>

    With F the unit box, |f| <= 1, this is the L1 distance of the occupancies. With features, f = sum_k w_k feature_k and

    - ``norm="linf"``: |w_k| <= 1, the sum over features of the differences |<feature_k, mu_E - mu>|;
    - ``norm="l1"``: sum_k |w_k| <= 1, the largest difference;
    - ``norm="simplex"``: w >= 0, sum_k w_k = 1, the largest shortfall: the apprenticeship program of Syed, Bowling and
      Schapire, in which the learner may do better than the expert and the distance may be negative.

    The policy is read off mu; where mu goes nowhere, mu says nothing and the completion rule decides.

    Parameters
    ----------
    game
        The game; its rewards play no part. Discounted: mu is that of a stationary policy.
    demonstrations
        What is known of the expert: its occupancy mu_E.
    features
        Rewards that make up f, (K, S, A) or (K, T, S, A). None: the unit box.
    norm
        How the weights of the features are bounded.
    policy_class
        ``Tabular()``; ``Occupancies()`` with linear constraints on mu; or ``EpisodeMixture(policies)``.
    completion
        What to do where the policy does not go: ``"uniform"``, a policy to follow, or ``"least_regret"`` with the
        game's rewards.
    expert, deviations
        Only for the loss and the gaps that are reported: the whole expert (by default that of
        ``Demonstrations.from_policy``), and the class of deviations.

    Returns
    -------
    MomentMatching
        ``.policy``, ``.occupancy``, ``.worst_reward`` and ``.distance`` with its bounds.

    Raises
    ------
    InvalidPolicyClass
        Another class: other policies make no polytope of occupancies.
    InfeasibleClass
        No occupancy satisfies the constraints.
    InvalidDemonstrations, InvalidOption, InvalidDeviation, WrongShape, InvalidNumber
        Something else does not fit.
    SolverError
        The program could not be solved.

    Notes
    -----
    Sources: Tang et al., *Multi-Agent Imitation Learning: Value is Easy, Regret is Hard*, NeurIPS 2024; Syed, Bowling and
    Schapire, *Apprenticeship learning using linear programming*, ICML 2008.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> shown = mo.Demonstrations.from_policy(chain.game, chain.expert)
    >>> found = mo.inverse_reinforcement_learning(chain.game, shown, completion=chain.learner)
    >>> found.distance, mo.regret_gap(chain.game, found.policy, chain.expert).value
    (0.0, 3.0)
    """  # noqa: E501 - an example
    options = {name: value for name, value in locals().items() if name not in ("game", "demonstrations")}
    check_game(game)
    check_deviations(deviations, game)
    check_demonstrations(demonstrations, game)
    scorer = Scorer(game, demonstrations.expert if expert is None else expert, deviations)
    expected = demonstrations.occupancy
    if game.horizon is None:
        expected = expected.sum(axis=0, keepdims=True)
    rewards = Rewards.read(features, norm, expected.shape)
    layout = Tabular().layout(game)
    check_completion(completion, layout)
    theirs = Measure(expected, demonstrations.error + float(gamma(demonstrations.num_stages)))
    matched = _matched(game, theirs, rewards, check_policy_class(policy_class))
    visits = matched.occupancy.sum(axis=2)
    goes = visits > (_VISITED if matched.solution is not None else 0.0)
    rows = matched.occupancy / np.where(goes, visits, 1.0)[..., None]
    target = target_of(demonstrations)
    if matched.solution is None and target.rows.shape == rows.shape:  # the expert's own occupancy: its rows as shown
        rows = target.rows
    x = np.where(goes[..., None], rows, 0.0).reshape(layout.allowed.shape)
    policy = layout.policy(completed(layout, x, goes.ravel(), completion, game, deviations))
    ours = _occupancy(game, policy)
    mu, distance_upper = ours.occupancy, apart(theirs, ours, rewards).upper
    if matched.mixture is not None:  # the policy is in the class up to rounding
        distance_upper = max(distance_upper, apart(theirs, matched.mixture, rewards).upper)
    bounds = matched.lower, distance_upper
    assessed = Known(game, deviations).assess(policy, target.distance(policy), target.support)
    return marked(
        game,
        MomentMatching(
            algorithm="J-IRL",
            policy=policy,
            loss=assessed.loss,
            completed=~goes,
            history=(scorer.round(0, policy, assessed, matched.distance, matched.solution, bounds=bounds),),
            stopped="solved",
            options=options,
            rounding=float(np.abs(mu - matched.occupancy).max()),
            **provenance(matched.solution),
            elapsed=scorer.elapsed,
            occupancy=by_stage(game, mu),
            worst_reward=by_stage(game, matched.reward),
            distance=rewards.distance(expected - mu),
            distance_lower=matched.lower,
            distance_upper=distance_upper,
        ),
    )


@dataclass(frozen=True, eq=False)
class _Matched:
    occupancy: FloatArray
    reward: FloatArray
    distance: float
    lower: float
    solution: Solution | None = None
    mixture: Measure | None = None


def _matched(game: MarkovGame, theirs: Measure, rewards: Rewards, policy_class: PolicyClass) -> _Matched:
    expected = theirs.occupancy
    free = isinstance(policy_class, Tabular) and policy_class.steps is None and not policy_class.constraints
    if not free and not isinstance(policy_class, Occupancies | EpisodeMixture):
        raise InvalidPolicyClass(
            f"the occupancies of {policy_class!r} are no polytope; use Tabular() without constraints, "
            f"Occupancies() with constraints on mu, or EpisodeMixture(policies)"
        )
    if free and rewards.norm != "simplex" and _flows(game, expected):
        return _Matched(expected, np.zeros(expected.shape), 0.0, 0.0)
    members = policy_class.members(game) if isinstance(policy_class, EpisodeMixture) else None
    measures = [_occupancy(game, policy) for policy in members or ()]
    table = np.stack([measure.occupancy for measure in measures]) if measures else None
    program = moment_matching(game, expected, rewards, policy_class.constraints, table)
    if policy_class.constraints:
        require_feasible(program, [constraint.name for constraint in policy_class.constraints], "occupancy")
    solution = HighsSession(program).solve().require_optimal()
    mixture = None
    if table is None:
        mu = np.maximum(solution["mu"], 0.0)
    else:
        shares = distributions(solution["weights"][None], np.ones(len(measures), dtype=bool))[0]
        mu = np.tensordot(shares, table, axes=1)
        error = max(measure.error for measure in measures) + gamma(3 * len(shares) + 4) * len(mu)
        mixture = Measure(mu, float(error) * SLACK)
    weights = solution.duals("apart")
    if rewards.norm == "l1":
        weights = weights - solution.duals("behind")
    worst = weights.reshape(mu.shape) if rewards.features is None else np.tensordot(weights, rewards.features, axes=1)
    prices = [(c, solution.duals(f"constraint{k}")) for k, c in enumerate(policy_class.constraints)]
    lower = least_apart(game, theirs, rewards, weights, prices, members)
    return _Matched(mu, worst, solution.objective, lower, solution, mixture)


def _occupancy(game: MarkovGame, policy: CorrelatedPolicy) -> Measure:
    """Occupancy (T, S, A), of one stage for a discounted game."""
    problem, obey = Problem(game, policy), Obey(range(game.num_agents))
    return Measure(total_occupancy(problem, obey), occupancy_error(problem, obey))


def _flows(game: MarkovGame, mu: FloatArray) -> bool:
    """Whether an occupancy is one of the game's, up to rounding."""
    program = flow(game)
    rows = program.rows["flow"].slice
    off = np.abs((program.matrix @ mu.ravel())[rows] - program.row_lower[rows]).max()
    return bool(off <= _NOISE) and not mu[:, ~game.joint_legal].any()
