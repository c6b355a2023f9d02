"""Coverage and deviation concentrability: how much of what deviations reach the expert's demonstrations show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mailopt.deviations import DeviationClass, Finite, Swap, check_deviations
from mailopt.errors import InvalidDeviation
from mailopt.evaluation.reach import chances, free_class, most_likely, support_of, wandering
from mailopt.evaluation.rules import Follow, Obey, Problem
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.numbers import BoolArray, FloatArray
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.progress import Progress, shown


@dataclass(frozen=True, eq=False, repr=False)
class Coverage:
    """How often the expert visits what deviations can reach.

    Attributes
    ----------
    value
        beta, the least of d_h(s) over the (h, s) that some deviation reaches; 0 if one of them is never visited.
    lower, upper
        lower <= true beta <= upper.
    step, state
        Where the least is; discounted, step is None.
    reachable
        Which (h, s) some deviation of some agent reaches, (H, S); discounted (S,).
    expert
        d_h(s) of the expert, (H, S); discounted, (1 - gamma) sum_t gamma^t Pr(s_t = s), (S,).
    uncovered
        Pairs (step, state) that a deviation reaches and the expert never does. The worst first: those where an agent
        is likeliest to be that picks at random among all that its class lets it play.
    """

    value: float
    lower: float
    upper: float
    step: int | None
    state: int
    reachable: BoolArray
    expert: FloatArray
    uncovered: list[tuple[int | None, int]]

    def __repr__(self) -> str:
        """Coverage and the number of uncovered places in one line."""
        return f"Coverage({self.value:.6g}, {len(self.uncovered)} of {int(self.reachable.sum())} reachable uncovered)"


@dataclass(frozen=True, eq=False, repr=False)
class Concentrability:
    """How much likelier deviations can make a state than the expert does.

    Attributes
    ----------
    value
        C, the largest of reach_h(s) / d_h(s); infinite if something reachable is uncovered.
    lower, upper
        lower <= true C <= upper.
    agent, step, state
        Where it is attained; discounted, step is None.
    reach
        max over agents and deviations of Pr(s_h = s), (H, S); discounted, of the normalised discounted visits, (S,).
    expert
        d_h(s) of the expert, of the same shape.
    ratios
        reach / expert, infinite where only a deviation goes, 0 where nobody goes.
    """

    value: float
    lower: float
    upper: float
    agent: int
    step: int | None
    state: int
    reach: FloatArray
    expert: FloatArray
    ratios: FloatArray

    def __repr__(self) -> str:
        """Concentrability and where it is attained in one line."""
        where = "" if self.step is None else f"step {self.step}, "
        return f"Concentrability({self.value:.6g}, agent {self.agent}, {where}state {self.state})"

    def worst(self, count: int = 10) -> list[tuple[int | None, int, float]]:
        """Return (step, state, ratio), the largest ratios first; equal ratios by how much of the deviation is there."""
        ratios, reach = np.atleast_2d(self.ratios), np.atleast_2d(self.reach)
        order = np.lexsort((-reach.ravel(), -ratios.ravel()))[:count]
        places = [(_place(i, ratios.shape), float(ratios.flat[i])) for i in order]
        return [(None if self.step is None else step, state, ratio) for (step, state), ratio in places]


def coverage(
    game: MarkovGame,
    expert: CorrelatedPolicy,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
) -> Coverage:
    """Coverage beta: min of d_h(s) under the expert over all (h, s) that some deviation from the expert reaches.

    Parameters
    ----------
    game, expert
        The game and the expert's policy.
    deviations
        The class of deviations; all but Stationary.

    Raises
    ------
    InvalidPolicy, InvalidDeviation
        The expert or the class does not fit the game; what the class reaches is not known.

    Notes
    -----
    Source: Tang et al., *Multi-Agent Imitation Learning: Value is Easy, Regret is Hard*, NeurIPS 2024.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(3)
    >>> found = mo.coverage(chain.game, chain.expert)
    >>> found, found.uncovered
    (Coverage(0, 2 of 5 reachable uncovered), [(1, 1), (2, 3)])
    >>> chain = mo.scenarios.covered_chain(3, coverage=0.25, error=0.125)
    >>> mo.coverage(chain.game, chain.expert).value
    0.25
    """
    problem = _checked(game, expert, deviations)
    obey = Obey(range(game.num_agents))
    d, error = chances(problem, obey)
    visited = _whole(game, support_of(problem, obey))
    reachable, likely = np.zeros(d.shape, dtype=bool), np.zeros(d.shape)
    for agent in range(game.num_agents):
        for rule in wandering(problem, agent, deviations):
            reachable |= _whole(game, support_of(problem, rule))
            likely = np.maximum(likely, chances(problem, rule)[0])
    uncovered = [(int(h), int(s)) for h, s in np.argwhere(reachable & ~visited)]
    uncovered.sort(key=lambda place: (-likely[place], place))
    shown = np.where(visited, d, 0.0)
    step, state = uncovered[0] if uncovered else _place(np.where(reachable, shown, np.inf).argmin(), d.shape)
    finite = game.horizon is not None
    return marked(
        game,
        Coverage(
            value=float(shown[step, state]),
            lower=0.0 if uncovered else max(0.0, float((d - error)[reachable].min())),
            upper=0.0 if uncovered else float((d + error)[reachable].min()),
            step=step if finite else None,
            state=state,
            reachable=reachable if finite else reachable[0],
            expert=shown if finite else shown[0],
            uncovered=[(h if finite else None, s) for h, s in uncovered],
        ),
    )


def concentrability(
    game: MarkovGame,
    expert: CorrelatedPolicy,
    deviations: DeviationClass = Swap(),  # noqa: B008 - a frozen object without state
    *,
    progress: bool = False,
) -> Concentrability:
    """Deviation concentrability C: max over agents, deviations, h and s of d_h(s) deviated / d_h(s) of the expert.

    Every entry max over phi of Pr(s_h = s) is a dynamic program of its own; all targets s of a step share one backward
    sweep, and one sweep serves all steps if neither the game, nor the expert, nor the class depends on the step.

    Parameters
    ----------
    game, expert
        The game and the expert's policy.
    deviations
        The class of deviations; all but Budget and Stationary.
    progress
        Show a progress bar.

    Raises
    ------
    InvalidPolicy, InvalidDeviation
        The expert or the class does not fit the game; the class has no such dynamic program.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.covered_chain(3, coverage=0.25, error=0.125)
    >>> found = mo.concentrability(chain.game, chain.expert)
    >>> found.value, found.worst(1)
    (4.0, [(1, 1, 4.0)])
    """
    problem = _checked(game, expert, deviations)
    obey = Obey(range(game.num_agents))
    d, d_error = chances(problem, obey)
    visited = _whole(game, support_of(problem, obey))
    reach, error, who = np.zeros(d.shape), np.zeros(d.shape), np.zeros(d.shape, dtype=np.int64)
    possible = np.zeros(d.shape, dtype=bool)
    agents = range(game.num_agents)
    for agent in agents:
        for rule in wandering(problem, agent, deviations):
            possible |= _whole(game, support_of(problem, rule))
    with shown(progress, "concentrability", d.size * game.num_agents) as advance:
        for agent in agents:
            for found, off in _reaches(problem, agent, deviations, advance):
                better = found > reach
                who[better] = agent
                reach, error = np.maximum(reach, found), np.maximum(error, off)
    reach = np.where(possible, reach, 0.0)
    divisor = np.where(visited & (d > 0), d, 1.0)
    ratios = np.where(visited & (d > 0), reach / divisor, np.where(possible, np.inf, 0.0))
    step, state = _place(np.lexsort((-reach.ravel(), -ratios.ravel()))[0], d.shape)
    low = np.where(visited, (reach - error) / (d + d_error), np.where(possible, np.inf, 0.0)) * (1 - 2.0**-50)
    certain = d > d_error
    high = np.where(certain, (reach + error) / np.where(certain, d - d_error, 1.0), np.where(possible, np.inf, 0.0))
    finite = game.horizon is not None
    return marked(
        game,
        Concentrability(
            value=float(ratios[step, state]),
            lower=float(low.max()),
            upper=float((high * (1 + 2.0**-50)).max()),
            agent=int(who[step, state]),
            step=step if finite else None,
            state=state,
            reach=reach if finite else reach[0],
            expert=np.where(visited, d, 0.0) if finite else np.where(visited, d, 0.0)[0],
            ratios=ratios if finite else ratios[0],
        ),
    )


def _checked(game: MarkovGame, expert: CorrelatedPolicy, deviations: DeviationClass) -> Problem:
    check_policy(game, expert)
    check_deviations(deviations, game)
    return Problem(game, expert, steps=deviations.num_steps)


def _reaches(
    problem: Problem, agent: int, deviations: DeviationClass, advance: Progress
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Probabilities of each (h, s), and bounds on their errors, whose maximum is that over the class."""
    if isinstance(deviations, Finite):
        for phi in deviations.of(agent):
            yield chances(problem, Follow(phi))
        return
    free = free_class(deviations)
    if free is not deviations:
        raise InvalidDeviation(f"concentrability has no dynamic program for {deviations!r}; use Swap() or Limited(k)")
    yield most_likely(problem, agent, free, advance)


def _whole(game: MarkovGame, reached: BoolArray) -> BoolArray:
    """Merge the stages of a discounted game."""
    return reached if game.horizon is not None else np.asarray(reached.any(axis=0, keepdims=True))


def _place(index: np.intp, shape: tuple[int, ...]) -> tuple[int, int]:
    step, state = np.unravel_index(index, shape)
    return int(step), int(state)
