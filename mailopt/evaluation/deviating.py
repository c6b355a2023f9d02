"""The best deviation of one agent: by dynamic programming, and by the deviation occupancy program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mailopt.deviations import Deviation, DeviationClass, Swap, check_deviations
from mailopt.evaluation.discounted import discounted_values, fixed_point
from mailopt.evaluation.occupancy import state_distributions
from mailopt.evaluation.stages import (
    Method,
    action_values,
    backward,
    by_stage,
    obedient_backup,
    overflow_is_checked,
    require_finite,
    resolve,
    stage_gains,
)
from mailopt.evaluation.values import Values, values
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray, FloatArray, IntArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.programs import deviation as deviation_program
from mailopt_solvers import HighsSession, Solution


@dataclass(frozen=True, eq=False, repr=False)
class BestDeviation:
    """Best deviation of one agent against a correlated policy.

    Attributes
    ----------
    agent, deviations
        Whose deviation, and the class it is best in.
    value
        max over phi of J_i(phi∘sigma).
    gain
        value - J_i(sigma); signed.
    deviation
        A deviation that attains it. Deterministic.
    occupancy
        z_h(s, a, b) = D_h(s) phi_h(b|s, a), shape (H, S, n, n): the state is s, and if told a the agent would play b.
        Discounted (S, n, n), or (T, S, n, n) for a policy of T steps; D has total mass 1 then.
    state_occupancy
        D_h(s), the state distribution of the deviated game, shape (H, S); discounted (S,) or (T, S).
    state_values
        V_h(s), value of deviating optimally from s on, shape (H, S); discounted (S,) or (T, S). From the program
        these are its dual values, which need be tight only at states that D reaches.
    completed
        True where the program says nothing (D_h(s) = 0) and the deviation was completed by obeying, or by the first
        action that the class allows if obeying is not in it; shape of ``state_occupancy``. All False for ``"dp"``.
    method
        ``"dp"`` or ``"lp"``.
    truncation_error
        Bound on the error of ``gain`` that stopping an infinite recursion caused; 0 for a finite horizon. Rounding
        is not in it.
    solution
        The solver's answer if the method is ``"lp"``.
    """

    agent: int
    deviations: DeviationClass
    value: float
    gain: float
    deviation: Deviation
    occupancy: FloatArray
    state_occupancy: FloatArray
    state_values: FloatArray
    completed: BoolArray
    method: str
    truncation_error: float
    solution: Solution | None = None

    def __repr__(self) -> str:
        """Agent, class and gain in one line."""
        return (
            f"BestDeviation(agent {self.agent}, {self.deviations!r}, gain {self.gain:.6g}, value {self.value:.6g}, "
            f"{self.method})"
        )

    def departures(self, game: MarkovGame, policy: CorrelatedPolicy) -> list[Departure]:
        """Where the deviation disobeys with positive probability, by step, likeliest first.

        The probability of being told a in s at step h and playing b instead is sigma_{i,h}(a|s) z_h(s, a, b).
        """
        z = self.occupancy if self.occupancy.ndim == 4 else self.occupancy[None]
        found = []
        for step, visits in enumerate(z):
            told = game.unfold(policy.at(step), self.agent).sum(axis=2)
            mass = told[:, :, None] * visits
            mass[:, np.arange(mass.shape[1]), np.arange(mass.shape[1])] = 0.0
            found += [
                Departure(step, int(s), int(a), int(b), float(mass[s, a, b])) for s, a, b in np.argwhere(mass > 0)
            ]
        return sorted(found, key=lambda d: (d.step, -d.probability))


@dataclass(frozen=True)
class Departure:
    """One place where a deviation disobeys.

    Attributes
    ----------
    step, state
        Where; the step is the stage of a discounted game.
    recommended, played
        What the agent was told and what it plays instead.
    probability
        Probability that this happens at this step; discounted, (1 - gamma) times its discounted number of times.
    """

    step: int
    state: int
    recommended: int
    played: int
    probability: float


def best_deviation(
    game: MarkovGame,
    policy: CorrelatedPolicy,
    agent: int,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    *,
    method: Method = "auto",
) -> BestDeviation:
    """Best deviation of one agent while the others obey: max over phi in Phi_i of J_i(phi∘sigma).

    Parameters
    ----------
    game, policy
        The game and the policy that everybody else obeys.
    agent
        The deviating agent.
    deviations
        The class of deviations.
    method
        ``"dp"`` (or ``"auto"``): V_h(s) = sum_a max_b C_h(s, a, b) for swap deviations, max_b sum_a C_h for external
        ones, with C = U + K V_{h+1}; discounted, policy iteration with a stated error. ``"lp"``: the program of
        :func:`mailopt.programs.deviation`, solved by HiGHS, with J_i(sigma) from the flow program.

    Returns
    -------
    BestDeviation
        ``.value`` and ``.gain``, a deviation that attains them, its occupancy, and the value function.

    Raises
    ------
    InvalidPolicy, UnknownAgent, InvalidDeviation
        The policy or agent does not fit the game; ``deviations`` is no deviation class.
    InvalidNumber
        The numbers overflow.
    NotConverged, SolverError
        The evaluation failed.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(4)
    >>> best = mo.best_deviation(chain.game, chain.learner, agent=0)
    >>> best.gain
    3.0
    >>> best.state_occupancy[:, :4]
    array([[1., 0., 0., 0.],
           [0., 1., 0., 0.],
           [0., 0., 0., 1.],
           [0., 0., 0., 0.]])
    """
    obedience = values(game, policy, method=method)
    game.check_agent(agent)
    check_deviations(deviations, game)
    if resolve(method) == "lp":
        return by_program(game, policy, agent, deviations, obedience)
    return by_recursion(game, policy, [agent], deviations)[0].describe(game, policy, obedience)


@dataclass(frozen=True, eq=False, repr=False)
class Recursion:
    """Outcome of the dynamic program for one agent, before anything is derived from it."""

    agent: int
    deviations: DeviationClass
    state_values: FloatArray  # (T, S)
    choices: IntArray  # (T, S, n)
    truncation_error: float

    def value(self, game: MarkovGame) -> float:
        """Value of the best deviation from the start."""
        return float(require_finite(np.asarray(self.state_values[0] @ game.initial_distribution)))

    def describe(self, game: MarkovGame, policy: CorrelatedPolicy, obedience: Values) -> BestDeviation:
        """Push the deviation forward and gather the result."""
        deviation = Deviation.deterministic(self.agent, by_stage(game, self.choices))
        states = state_distributions(game, lambda h: deviation.apply_at(game, policy.at(h), h), len(self.state_values))
        occupancy = np.stack([d[:, None, None] * deviation.at(h) for h, d in enumerate(states)])
        value = self.value(game)
        return BestDeviation(
            agent=self.agent,
            deviations=self.deviations,
            value=value,
            gain=value - float(obedience.value[self.agent]),
            deviation=deviation,
            occupancy=by_stage(game, occupancy),
            state_occupancy=by_stage(game, states),
            state_values=by_stage(game, self.state_values),
            completed=np.zeros(by_stage(game, states).shape, dtype=bool),
            method="dp",
            truncation_error=self.truncation_error + obedience.truncation_error,
        )


def by_recursion(
    game: MarkovGame, policy: CorrelatedPolicy, agents: Sequence[int], deviations: DeviationClass
) -> list[Recursion]:
    """Run the dynamic program for several agents in one backward pass."""
    stages = game.num_stages(policy.num_steps)
    tracked = list(agents)
    choices = [np.empty((stages, game.num_states, game.actions[i]), dtype=np.int64) for i in tracked]

    def tail(last: int) -> tuple[FloatArray, FloatArray]:
        found, errors = np.empty((len(tracked), game.num_states)), np.empty(len(tracked))
        for k, agent in enumerate(tracked):
            found[k], choices[k][last], errors[k] = _stationary(game, policy.at(last), agent, deviations, last)
        return found, errors

    def backup(h: int, following: FloatArray | None) -> FloatArray:
        q = action_values(game, h, following, tracked)
        found = np.empty((len(tracked), game.num_states))
        for k, agent in enumerate(tracked):
            gains = stage_gains(game, policy.at(h), q[k], agent)
            found[k], choices[k][h] = deviations.best_response(game, agent, h, gains)
        return found

    with overflow_is_checked():
        state_values, errors = backward(game, stages, len(tracked), tail, backup)
    return [
        Recursion(agent, deviations, state_values[:, k], choices[k], float(errors[k]))
        for k, agent in enumerate(tracked)
    ]


def _stationary(
    game: MarkovGame, sigma: FloatArray, agent: int, deviations: DeviationClass, step: int
) -> tuple[FloatArray, IntArray, float]:
    """V(s) and choices of the best deviation from a policy repeated for ever in a discounted game, and the error."""
    discount = float(game.discount or 0.0)

    def backup(current: FloatArray) -> tuple[FloatArray, IntArray]:
        q = action_values(game, 0, current, [agent])
        best, choices = deviations.best_response(game, agent, step, stage_gains(game, sigma, q[0], agent))
        return best[None], choices

    def evaluate(choices: IntArray | None, guess: FloatArray) -> FloatArray:
        assert choices is not None
        joint = Deviation.deterministic(agent, choices).apply_at(game, sigma, 0)
        rewards = obedient_backup(joint, game.reward(0)[agent : agent + 1])
        return discounted_values(game.kernel(0).state_matrix(joint), rewards, discount, guess)

    start = obedient_backup(sigma, game.reward(0)[agent : agent + 1])
    found, choices, error = fixed_point(backup, evaluate, start, discount)
    assert choices is not None
    return found[0], choices, error


def by_program(
    game: MarkovGame, policy: CorrelatedPolicy, agent: int, deviations: DeviationClass, obedience: Values
) -> BestDeviation:
    """Solve the deviation occupancy program and read the deviation off its occupancy."""
    solution = HighsSession(deviation_program(game, policy, agent, deviations)).solve().require_optimal()
    atoms = deviations.atoms(game.actions[agent], agent)
    masses = solution["z"].reshape(*solution["D"].shape, -1)
    picked = [deviations.pick(game, agent, h, mass)[1] for h, mass in enumerate(masses)]
    states = solution["D"]
    deviation = Deviation.deterministic(agent, by_stage(game, np.stack(picked)))
    z = (masses @ atoms.table()).reshape(*masses.shape[:2], game.actions[agent], -1)
    if not game.legal[agent].all():  # what is illegal is never recommended, and the program does not care
        played = np.stack([d[:, None, None] * deviation.at(h) for h, d in enumerate(states)])
        z = np.where(game.legal[agent][:, :, None], z, played)
    completed = ~(masses.max(axis=2) > 0)
    value = float(require_finite(np.asarray(solution.objective)))
    return BestDeviation(
        agent=agent,
        deviations=deviations,
        value=value,
        gain=value - float(obedience.value[agent]),
        deviation=deviation,
        occupancy=by_stage(game, z),
        state_occupancy=by_stage(game, states),
        state_values=by_stage(game, game.occupancy_mass * solution.duals("flow")),
        completed=by_stage(game, completed),
        method="lp",
        truncation_error=0.0,
        solution=solution,
    )
