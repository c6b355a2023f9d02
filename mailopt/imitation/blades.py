"""BLADES: ask the expert where deviations from the learned policy lead."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mailopt.deviations import DeviationClass, Swap, check_deviations
from mailopt.games.marks import marked
from mailopt.games.numbers import FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation.checks import counted, require_amount, require_count
from mailopt.imitation.completion import Completion, check_completion, completed, wanted
from mailopt.imitation.dynamics import Assessment, Dynamics, Environment, dynamics_of
from mailopt.imitation.queries import Answers, Expert
from mailopt.imitation.results import Blades, Round, provenance
from mailopt.imitation.scores import Scorer
from mailopt.imitation.target import Target, layout_for
from mailopt.imitation.updates import CuttingPlane, Step
from mailopt.programs.imitation import Master
from mailopt.programs.layout import Layout
from mailopt.programs.policy_classes import PolicyClass, Tabular, check_policy_class
from mailopt.progress import shown
from mailopt_solvers import QuadraticSolution, Solution

_STEADY = 1e-9  # refitting that improves the loss by less does not count
_PATIENCE = 10  # rounds of refitting without improvement


def blades(
    environment: Environment,
    expert: CorrelatedPolicy | Expert,
    *,
    policy_class: PolicyClass = Tabular(),  # noqa: B008 - a frozen object without state
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    epsilon: float = 0.0,
    per_round: int = 10,
    budget: int | None = None,
    stationary: bool = False,
    completion: Completion = "uniform",
    answers: str | Path | None = None,
    rounds: int = 1000,
    reference: CorrelatedPolicy | None = None,
    episodes: int | None = None,
    seed: int | None = None,
    progress: bool = False,
) -> Blades:
    """BLADES: imitate an expert who can be asked, and ask where deviations lead.

    The distance is TV(sigma_h(s), sigma_{E,h}(s)) where the expert was asked and 1 elsewhere, so that the largest
    expected sum of distances that a deviation finds is at all times a certified upper bound on the deviation-weighted
    loss L of the policy. Each round finds each agent's worst deviation for that distance, asks the expert where it
    first meets what was not asked for (what lies behind depends on the answer), likeliest first, and fits the policy to
    all answers: as they are where the class holds them, else by the linear program of
    :func:`mailopt.programs.imitation` over the visits of all rounds. If the worst deviation meets nothing new, the
    other agents' do the asking, then any deviation.

    It stops when the bound is at most ``epsilon``; or when no deviation reaches a place that was not asked for and
    fitting no longer helps, so that the bound is L itself (of a restricted class it may exceed epsilon); or when the
    budget or the rounds are spent.

    Parameters
    ----------
    environment
        The game; or a :class:`~mailopt.Simulator`, in which deviations are planned on counted roll-outs and the bound
        is an estimate.
    expert
        A policy, or any object with ``query(step, state)`` that returns probabilities of joint actions, flat (A,) or
        shaped (n_0, .., n_{m-1}).
    policy_class
        Policies to choose from: see :mod:`mailopt.policy_classes`.
    deviations
        The class of deviations.
    epsilon
        Loss that is good enough.
    per_round
        Most questions a round.
    budget
        Most questions in all; None: no limit. Answers from the file count.
    stationary
        Whether the expert is known not to depend on the step, so that one answer holds at all steps. A discounted game
        has one step, or those of the policy that is its expert.
    completion
        What to do where no answer tells: ``"uniform"``, a policy to follow, or ``"least_regret"`` with the game's
        rewards.
    answers
        A ``.json`` file in which answers are kept as they come in (from a thousand on at most once a second), whatever
        happens later; answers that are in it are not asked for again. A run that was cut off goes on by repeating the
        call. The file belongs to one expert: answers that contradict an expert who is a policy are refused, but those
        of an object are believed.
    rounds
        Most rounds.
    reference
        The whole expert, for the gaps in the history; plays no part in learning. By default the expert if it is a
        policy.
    episodes, seed
        For a simulator: episodes for each question, and the seed.
    progress
        Show a progress bar.

    Returns
    -------
    Blades
        ``.policy``, the certified ``.bound``, the answers, and the history of all rounds.

    Raises
    ------
    ExpertFailed
        The expert raised an error.
    PolicyShape, PolicyNumber, PolicyDistribution, IllegalAction
        The expert's answer is no distribution over legal joint actions; the message names the place.
    InvalidPolicyClass, InfeasibleClass, InvalidDeviation, InvalidOption, InvalidFile
        Something else does not fit.
    SimulatorFailed, SolverError, NotConverged
        The computation failed.

    Notes
    -----
    Source: Tang et al., *Multi-Agent Imitation Learning: Value is Easy, Regret is Hard*, NeurIPS 2024.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(6)
    >>> found = mo.blades(chain.game, chain.expert)
    >>> found.bound < 1e-12, found.exact, found.queries, found.reachable
    (True, True, 11, 11)
    >>> mo.regret_gap(chain.game, found.policy, chain.expert).value
    0.0
    """
    options = {name: value for name, value in locals().items() if name not in ("environment", "expert")}
    _check_options(epsilon, per_round, budget, rounds)
    dynamics = dynamics_of(environment, deviations, episodes, seed)
    game = dynamics.game
    check_deviations(deviations, game)
    steps = expert.num_steps if isinstance(expert, CorrelatedPolicy) else None
    stages = game.horizon or (1 if stationary else steps) or 1
    asked = Answers(game, expert, stages=stages, stationary=stationary, path=answers)
    layout = layout_for(check_policy_class(policy_class).layout(game), stages)
    check_completion(completion, layout)
    whole = expert if reference is None and isinstance(expert, CorrelatedPolicy) else reference
    scorer = Scorer(game if dynamics.known else None, whole, deviations)
    fit = _Fit(layout, stages)
    fit.ties = wanted(layout, fit.target, completion, game, deviations)
    run = _Run(dynamics, fit, asked, scorer, completion, deviations)
    stopped = f"the limit of {counted(rounds, 'round')}"
    try:
        with shown(progress, "BLADES", rounds) as advance:
            for index in range(rounds):
                found = run.assess(index)
                advance(1)
                if run.bound(found) <= epsilon:
                    stopped = f"the {'bound' if dynamics.known else 'loss in roll-outs'} is at most {epsilon:g}"
                    break
                places = run.open_places(found)
                left = per_round if budget is None else min(per_round, budget - len(asked.used))
                if not len(places) and run.settled(found):
                    stopped = "deviations reach nothing that was not asked for, and fitting no longer helps"
                    break
                if len(places) and left <= 0:
                    stopped = f"the budget of {counted(budget or 0, 'question')} is spent"
                    break
                if index + 1 < rounds:
                    run.learn(places[: max(left, 0)], found)
    finally:
        asked.save()
    return marked(environment, run.result(stopped, options))


def _check_options(epsilon: float, per_round: int, budget: int | None, rounds: int) -> None:
    require_amount("epsilon", epsilon)
    require_count("per_round", per_round)
    require_count("rounds", rounds)
    if budget is not None:
        require_count("budget", budget, least=0)


def _ranked(visits: list[FloatArray]) -> IntArray:
    """Places (step, state) with visits, of the first in the list that has any, then of the next; heaviest first."""
    found: dict[tuple[int, int], None] = {}
    for of_agent in visits:
        places = np.argwhere(of_agent > 0)
        order = np.argsort(-of_agent[tuple(places.T)], kind="stable")
        found.update(dict.fromkeys(map(tuple, places[order].tolist())))
    return np.array(list(found), dtype=np.int64).reshape(-1, 2)


class _Run:
    """Policies that were tried, what is known of the expert, and the best policy."""

    def __init__(
        self,
        dynamics: Dynamics,
        fit: _Fit,
        asked: Answers,
        scorer: Scorer,
        completion: Completion,
        deviations: DeviationClass,
    ) -> None:
        self.dynamics, self.fit, self.asked, self.scorer = dynamics, fit, asked, scorer
        self.completion, self.deviations = completion, deviations
        self.history: list[Round] = []
        self.solutions: list[Solution | QuadraticSolution | None] = []
        self.step = fit.first()
        self.best: tuple[CorrelatedPolicy, Assessment] | None = None
        self.last: tuple[CorrelatedPolicy, Assessment] | None = None
        self.still = 0

    def assess(self, index: int) -> Assessment:
        """Assess the policy of a round and remember it."""
        layout, x = self.fit.layout, self.step.x
        if not layout.constraints:
            data = layout.with_data(self.fit.target.known)
            x = completed(layout, x, data, self.completion, self.dynamics.game, self.deviations)
        policy = layout.policy(x)
        found = self._assessed(policy)
        self.solutions.append(self.step.solution)
        queries = len(self.asked.used)
        scored = self.scorer.round(index, policy, found, self.step.objective, self.step.solution, queries=queries)
        self.history.append(scored)
        self.still = 0 if self.best is None or found.value < self.best[1].value - _STEADY else self.still + 1
        self.last = policy, found
        if self.best is None or found.value <= self.best[1].value:
            self.best = self.last
        return found

    def _assessed(self, policy: CorrelatedPolicy) -> Assessment:
        target = self.fit.target
        return self.dynamics.assess(policy, target.distance(policy), target.support, target.known)

    def bound(self, found: Assessment) -> float:
        """Return the certified bound on the loss; from roll-outs its estimate."""
        return found.upper if self.dynamics.known else found.value

    def open_places(self, found: Assessment) -> IntArray:
        """Places to ask for: where the worst deviations first meet what was not asked for, else where any does."""
        known = self.fit.target.known
        places = _ranked(found.frontier)
        if len(places) or self.last is None:
            return places
        return _ranked([self.dynamics.wandered(self.last[0], len(known), known)])

    def settled(self, found: Assessment) -> bool:
        """Whether fitting no longer helps."""
        objective = self.step.objective
        program = objective is not None and found.value <= objective + _STEADY
        return program or found.value <= _STEADY or self.still >= _PATIENCE

    def learn(self, places: IntArray, found: Assessment) -> None:
        """Ask at places, and fit."""
        self.fit.add(self.asked, places)
        self.asked.save()
        self.step = self.fit.next(found.visits)

    def result(self, stopped: str, options: dict[str, object]) -> Blades:
        """Gather what is returned: the last policy, or the best of before if that has the smaller bound today."""
        assert self.best is not None
        assert self.last is not None
        tried = [self.last] if self.best is self.last else [self.last, self.best]
        if self.dynamics.known:  # with all answers; roll-outs would only give other estimates
            tried = [(policy, self._assessed(policy)) for policy, _ in tried]
        policy, found = min(tried, key=lambda pair: pair[1].value)
        known, layout = self.fit.target.known, self.fit.layout
        reached = self.dynamics.wandered(policy, len(known)) > 0
        return Blades(
            algorithm="BLADES",
            policy=policy,
            loss=found.loss,
            completed=~layout.with_data(known)[layout.rows],
            history=tuple(self.history),
            stopped=stopped,
            options=options,
            rounding=self.step.rounding,
            **provenance(*self.solutions),
            elapsed=self.scorer.elapsed,
            estimate=None if self.dynamics.known else found.value,
            answers=self.asked.listed(),
            bound=self.bound(found),
            exact=self.dynamics.known and not (reached & ~known).any(),
            reachable=int(reached.sum()) if self.dynamics.known else None,
        )


class _Fit:
    """The answers so far, and the policy of the class that is fitted to them."""

    def __init__(self, layout: Layout, stages: int) -> None:
        self.layout = layout
        shape = (stages, layout.game.num_states)
        self.target = Target(np.zeros(shape, dtype=bool), np.zeros((*shape, layout.game.num_joint_actions)))
        self.ties: FloatArray | None = None  # rows to come near to where nothing is known, for a class with constraints
        self._cuts: list[list[FloatArray]] = []
        self._master: Master | None = None
        self._in_master = np.zeros(shape, dtype=bool)

    def first(self) -> Step:
        """Fit without an answer."""
        if self.layout.constraints:
            self._master = Master(self.layout, anchored=True)
            if self.ties is not None:
                self._master.add_ties(np.ones(self.target.known.shape, dtype=bool), self.ties)
            return self._solved(self._master)
        return Step(np.zeros(self.layout.allowed.shape))

    def add(self, asked: Answers, places: IntArray) -> None:
        """Ask at places (step, state); an answer of a stationary expert holds at all steps."""
        known, rows = self.target.known.copy(), self.target.rows.copy()
        for step, state in places.tolist():
            if known[step, state]:
                continue
            steps = slice(None) if asked.stationary else step
            rows[steps, state] = asked.ask(step, state)
            known[steps, state] = True
        self.target = Target(known, rows)

    def next(self, visits: list[FloatArray]) -> Step:
        """Fit to all answers, given where deviations of this round led."""
        self._cuts.append(visits)
        x = self.layout.reproducing(self.target.known, self.target.rows)
        if x is not None and self._master is None:
            return Step(x)
        if self._master is None:
            self._master = Master(self.layout, anchored=True)
        new = self.target.known & ~self._in_master
        self._master.add_cells(new, self.target.rows)
        self._in_master |= new
        for of_round in self._cuts:
            self._master.add_cuts(of_round)
        self._cuts.clear()
        return self._solved(self._master)

    def _solved(self, master: Master) -> Step:
        return CuttingPlane(master).solved()
