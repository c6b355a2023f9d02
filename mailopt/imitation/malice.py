"""MALICE: demonstrations reweighted by where deviations from the learned policy lead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mailopt.deviations import DeviationClass, Swap, check_deviations
from mailopt.errors import CoverageError, InvalidOption
from mailopt.evaluation.rounding import Enclosure
from mailopt.games.marks import marked
from mailopt.games.numbers import BoolArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation.bounds import class_error, least_loss, visits_error
from mailopt.imitation.checks import check_demonstrations, counted, require_amount, require_count
from mailopt.imitation.cloning import cloned
from mailopt.imitation.completion import Completion, check_completion, completed, wanted
from mailopt.imitation.demonstrations import Demonstrations
from mailopt.imitation.dynamics import Assessment, Dynamics, Environment, dynamics_of
from mailopt.imitation.results import Imitation, Round, provenance
from mailopt.imitation.scores import Scorer
from mailopt.imitation.target import Target, layout_for, target_of
from mailopt.imitation.updates import RULES, CuttingPlane, Step, update_of
from mailopt.programs.layout import Layout
from mailopt.programs.policy_classes import PolicyClass, Tabular, check_policy_class
from mailopt.progress import shown
from mailopt_solvers import QuadraticSolution, Solution

_BETTER = 1e-12  # a loss that is lower by less is not


def malice(
    environment: Environment,
    demonstrations: Demonstrations,
    *,
    policy_class: PolicyClass = Tabular(),  # noqa: B008 - a frozen object without state
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    rule: str = "cutting_plane",
    rounds: int = 100,
    uncovered: str = "error",
    completion: Completion = "uniform",
    expert: CorrelatedPolicy | None = None,
    tolerance: float = 1e-7,
    patience: int = 20,
    step_size: float | None = None,
    episodes: int | None = None,
    seed: int | None = None,
    progress: bool = False,
) -> Imitation:
    """MALICE: imitate where deviations from the learned policy lead, by reweighting demonstrations.

    The goal is a small deviation-weighted loss L(sigma) = max over i and phi in Phi_i of sum_h E over s ~ d_h of
    phi∘sigma of TV(sigma_h(s), sigma_{E,h}(s)), which bounds the regret gap for every reward
    (:func:`mailopt.regret_gap_bound`). Round n finds each agent's worst deviation from sigma_n, whose visits are the
    expert's visits times importance weights d_h(s) / d_{E,h}(s), and adds the loss that they define to those that the
    next policy minimises, by one of these rules:

    - ``"cutting_plane"``: minimise the largest of all losses so far (a linear program);
    - ``"follow_the_leader"``: minimise the sum over rounds of the round's largest loss over agents (a linear program);
    - ``"follow_the_regularised_leader"``: the same plus a proximal quadratic (a quadratic program);
    - ``"hedge"``: multiplicative weights on each row of parameters, in closed form;
    - ``"expert_occupancy"``: cutting planes where deviations from the *expert* lead, for which the whole expert must be
      known. That loss is convex, and its minimax is found exactly, see :attr:`Imitation.minimax`. Its distances are
      from the demonstrations, as for every rule: those of ``from_policy`` show the expert only where it goes.

    The first policy is that of behaviour cloning. The policy of least exact loss is returned, iterate or, for the
    no-regret rules, running average (for ``"expert_occupancy"``: of least loss under deviations from the expert). The
    weights depend on the policy, so L is not convex and the optimum of a program is no lower bound on the least L.

    Parameters
    ----------
    environment
        The game; or a :class:`~mailopt.Simulator`, in which deviations are planned on counted roll-outs and their
        visits estimated.
    demonstrations
        What is known of the expert.
    policy_class
        Policies to choose from: see :mod:`mailopt.policy_classes`.
    deviations
        The class of deviations.
    rule
        One of the rules above.
    rounds
        Most rounds.
    uncovered
        What to do if a deviation reaches a step and state that the demonstrations do not show: ``"error"``, or
        ``"charge"`` a distance of 1 there.
    completion
        What to do in rows that no data reach: ``"uniform"``, a policy to follow, or ``"least_regret"`` with the game's
        rewards.
    expert
        The whole expert, for the gaps in the history; by default that of ``Demonstrations.from_policy``. Only the rule
        ``"expert_occupancy"`` learns from it.
    tolerance
        Stop once the loss is at most this, or (cutting planes) at most this above the optimum of the program that made
        the policy, so that its own deviations teach nothing new.
    patience
        Stop after so many rounds without a better policy.
    step_size
        Regularisation: the factor of the quadratic, or of the rates of ``"hedge"``; by default 1.
    episodes, seed
        For a simulator: episodes for each question, and the seed.
    progress
        Show a progress bar.

    Returns
    -------
    Imitation
        ``.policy``, its exact ``.loss`` with bounds, and the history of all rounds.

    Raises
    ------
    CoverageError
        A deviation reaches what the demonstrations do not show; the message names the places.
    InvalidPolicyClass, InfeasibleClass, InvalidDemonstrations, InvalidDeviation, InvalidOption
        Something does not fit.
    SimulatorFailed, SolverError, NotConverged
        The computation failed.

    Notes
    -----
    Source: Tang et al., *Multi-Agent Imitation Learning: Value is Easy, Regret is Hard*, NeurIPS 2024.

    Examples
    --------
    A class of policies that cannot tell the states of two chains apart: behaviour cloning follows the more frequent
    one, MALICE balances.

    >>> import mailopt as mo
    >>> chain = mo.scenarios.aliased_chain(6, coverage=0.1)
    >>> shown = mo.Demonstrations.from_policy(chain.game, chain.expert)
    >>> aliased = mo.policy_classes.Aggregated(chain.labels)
    >>> cloned = mo.behavior_cloning(chain.game, shown, policy_class=aliased)
    >>> learned = mo.malice(chain.game, shown, policy_class=aliased)
    >>> [round(mo.regret_gap(chain.game, found.policy, chain.expert).value, 6) for found in (cloned, learned)]
    [4.5, 2.25]
    >>> round(learned.loss.value, 6)
    2.5
    """
    options = {name: value for name, value in locals().items() if name not in ("environment", "demonstrations")}
    check_malice_options(rule, uncovered, rounds, tolerance, patience, step_size)
    dynamics = dynamics_of(environment, deviations, episodes, seed)
    check_deviations(deviations, dynamics.game)
    check_demonstrations(demonstrations, dynamics.game)
    target = target_of(demonstrations)
    layout = layout_for(check_policy_class(policy_class).layout(dynamics.game), len(target.known))
    check_completion(completion, layout)
    whole = demonstrations.expert if expert is None else expert
    if rule == "expert_occupancy" and (whole is None or not dynamics.known):
        raise InvalidOption(
            "rule 'expert_occupancy' follows deviations from the expert: give expert=, or Demonstrations.from_policy, "
            "and a game instead of a simulator"
        )
    scorer = Scorer(dynamics.game if dynamics.known else None, whole, deviations)
    data = layout.with_data(target.known)
    ties = wanted(layout, target, completion, dynamics.game, deviations)
    first = cloned(layout, target, demonstrations.visits, ties)
    x = first.x
    if not layout.constraints:
        x = completed(layout, x, data, completion, dynamics.game, deviations)
    update = update_of(rule, layout, target, x, ties, 1.0 if step_size is None else step_size)
    run = _Run(dynamics, layout, target, scorer, whole if rule == "expert_occupancy" else None, uncovered)
    step, filled, total = Step(x, first.objective, first.solution, first.rounding), x, np.zeros_like(x)
    stopped = f"the limit of {counted(rounds, 'round')}"
    with shown(progress, "MALICE", rounds) as advance:
        for index in range(rounds):
            tried = run.assess(step, index, "iterate")
            total += step.x
            if update.averages and index:
                run.assess(Step(total / (index + 1)), index, "average")
            advance(1)
            if run.best_loss <= tolerance:
                stopped = f"the loss{'' if dynamics.known else ' in roll-outs'} is at most {tolerance:g}"
                break
            program = isinstance(update, CuttingPlane) and not update.averages and index > 0
            if program and step.objective is not None and tried.value <= step.objective + tolerance:
                stopped = "the worst deviations from the policy teach nothing new"
                break
            if index - run.best_index >= patience:
                stopped = f"no better policy in {counted(patience, 'round')}"
                break
            if index + 1 < rounds:
                step = update.next(tried.visits, step.x)
                if not layout.constraints:
                    step = Step(np.where(data[:, None], step.x, filled), step.objective, step.solution, step.rounding)
    minimax = None
    if run.whole is not None and isinstance(update, CuttingPlane):
        mass = (dynamics.game.horizon or 1) / dynamics.game.occupancy_mass + run.error
        lower = max(0.0, least_loss(update.master, target, mass, run.error))
        minimax = (lower, Enclosure.around(run.best_upper, mass * class_error(layout)).upper)
    return marked(environment, run.result("MALICE", stopped, options, data, minimax))


def check_malice_options(
    rule: str, uncovered: str, rounds: int, tolerance: float, patience: int, step_size: float | None
) -> None:
    """Require options that make sense."""
    if rule not in RULES:
        raise InvalidOption(f"rule is {rule!r}; it must be one of {', '.join(map(repr, RULES))}")
    if uncovered not in ("error", "charge"):
        raise InvalidOption(f"uncovered is {uncovered!r}; it must be 'error' or 'charge'")
    require_count("rounds", rounds)
    require_count("patience", patience)
    require_amount("tolerance", tolerance)
    if step_size is not None:
        require_amount("step_size", step_size, positive=True)


@dataclass
class _Best:
    policy: CorrelatedPolicy
    assessment: Assessment
    rounding: float


class _Run:
    """Policies that were tried, and the best of them."""

    def __init__(
        self,
        dynamics: Dynamics,
        layout: Layout,
        target: Target,
        scorer: Scorer,
        whole: CorrelatedPolicy | None,
        uncovered: str,
    ) -> None:
        self.dynamics, self.layout, self.target, self.scorer = dynamics, layout, target, scorer
        self.whole, self.uncovered = whole, uncovered
        self.history: list[Round] = []
        self.best: _Best | None = None
        self.best_loss, self.best_upper, self.best_index = np.inf, np.inf, 0
        self.error = 0.0  # of the visits of deviations from the whole expert
        self.solutions: list[Solution | QuadraticSolution | None] = []

    def assess(self, step: Step, index: int, kind: str) -> Assessment:
        """Assess a policy and remember it; returns what the rule is to learn from."""
        policy = self.layout.policy(step.x)
        distance = self.target.distance(policy)
        found = self.dynamics.assess(policy, distance, self.target.support)
        self._require_coverage(policy if self.whole is None else self.whole)
        learned = found
        if self.whole is not None:
            learned = self.dynamics.assess(self.whole, distance, max(self.target.support, policy.support))
            game, class_ = self.dynamics.game, self.scorer.deviations
            self.error = max(self.error, *(visits_error(game, one, class_) for one in learned.found))
        if learned.value < self.best_loss - _BETTER:
            self.best, self.best_index = _Best(policy, found, step.rounding), index
            self.best_loss, self.best_upper = learned.value, learned.upper
        self.solutions.append(step.solution)
        surrogate = None if self.whole is None else learned.value
        scored = self.scorer.round(index, policy, found, step.objective, step.solution, kind=kind, surrogate=surrogate)
        self.history.append(scored)
        return learned

    def _require_coverage(self, policy: CorrelatedPolicy) -> None:
        if self.uncovered == "charge" or self.target.known.all():
            return
        wandered = np.where(self.target.known, 0.0, self.dynamics.wandered(policy, len(self.target.known)))
        places = np.argwhere(wandered > 0)
        if not len(places):
            return
        ranked = places[np.argsort(-wandered[tuple(places.T)], kind="stable")]
        named = ", ".join(f"(step {h}, state {s})" for h, s in ranked[:5]) + ", .." * (len(ranked) > 5)
        raise CoverageError(
            f"deviations reach {len(ranked)} places that the demonstrations do not show: {named}. Demonstrate them, "
            f"charge a distance of 1 there with uncovered='charge', or ask the expert with blades"
        )

    def result(
        self,
        algorithm: str,
        stopped: str,
        options: dict[str, object],
        data: BoolArray,
        minimax: tuple[float, float] | None,
    ) -> Imitation:
        """Gather what is returned."""
        assert self.best is not None
        return Imitation(
            algorithm=algorithm,
            policy=self.best.policy,
            loss=self.best.assessment.loss,
            estimate=None if self.dynamics.known else self.best.assessment.value,
            completed=~data[self.layout.rows],
            history=tuple(self.history),
            stopped=stopped,
            options=options,
            rounding=self.best.rounding,
            minimax=minimax,
            **provenance(*self.solutions),
            elapsed=self.scorer.elapsed,
        )
