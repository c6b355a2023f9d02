"""The best deviation of one agent: by dynamic programming, and by the deviation occupancy program."""

from __future__ import annotations

from mailopt.deviations import DeviationClass, Limited, Swap, check_deviations
from mailopt.errors import InvalidDeviation
from mailopt.evaluation.best import BestDeviation, gathered
from mailopt.evaluation.by_program import by_program
from mailopt.evaluation.recursion import recursion
from mailopt.evaluation.rules import Follow, Problem
from mailopt.evaluation.search import Found, resolve_method, search
from mailopt.evaluation.stages import Method
from mailopt.evaluation.values import Values, values
from mailopt.games.game import MarkovGame
from mailopt.games.marks import marked
from mailopt.games.policy import CorrelatedPolicy, check_policy


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
        ones, with C = U + K V_{h+1}; discounted, policy iteration. ``"lp"``: the program of
        :func:`mailopt.programs.deviation`, solved by HiGHS, with J_i(sigma) from the flow program; its bounds are
        those that the deviation read off the optimum and its dual values prove. ``"auto"`` enumerates Finite lists
        and solves a 0-1 program for Stationary.

    Returns
    -------
    BestDeviation
        ``.value`` and ``.gain``, a deviation that attains them, its occupancy, and the value function.

    Raises
    ------
    InvalidPolicy, UnknownAgent, InvalidDeviation, InvalidOption
        The policy or agent does not fit the game; ``deviations`` is no deviation class, or holds nothing for the agent;
        the method is not one of the class.
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
    check_policy(game, policy)
    game.check_agent(agent)
    check_deviations(deviations, game)
    chosen = resolve_method(deviations, method)
    obedience = values(game, policy, method="lp" if chosen == "lp" else "dp")
    if chosen == "lp":
        return marked(game, by_program(game, policy, agent, deviations, obedience))
    found = search(problem_of(game, policy, deviations), [agent], deviations)[0]
    if found is None:
        raise InvalidDeviation(f"{deviations!r} has no deviation of agent {agent}; add one, or ask for another agent")
    return marked(game, describe(found, deviations, obedience))


def problem_of(game: MarkovGame, policy: CorrelatedPolicy, deviations: DeviationClass) -> Problem:
    """Evaluate with the game's rewards, over stages enough for the class."""
    return Problem(game, policy, steps=deviations.num_steps)


def describe(found: Found, deviations: DeviationClass, obedience: Values) -> BestDeviation:
    """Push the deviation forward and gather the result."""
    game, outcome = found.parts[0][1].problem.game, found.parts[0][1]
    occupancy = found.occupancy()
    states = occupancy[:, :, 0].sum(axis=-1)
    deviation = found.deviation(occupancy)
    if len(found.parts) > 1:
        outcome = recursion(outcome.problem, [Follow(deviation)])[0]
    values = outcome.state_values[:, 0] if isinstance(deviations, Limited) else outcome.state_values[:, 0, 0]
    return gathered(
        game,
        found.agent,
        deviations,
        obedience,
        value=found.value,
        enclosure=found.enclosure,
        deviation=deviation,
        occupancy=occupancy,
        states=states,
        state_values=values,
        completed=(states <= 0) & (len(found.parts) > 1),
        method=found.method,
    )
