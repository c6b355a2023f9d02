"""What demonstrations show, in a few lines."""

from __future__ import annotations

import numpy as np

from mailopt.deviations import DeviationClass, check_deviations
from mailopt.evaluation.reach import support_of, wandering
from mailopt.evaluation.rules import Problem
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import BoolArray
from mailopt.games.policy import CorrelatedPolicy
from mailopt.imitation.demonstrations import Demonstrations

_NAMED = 3  # unseen places that are named


def summary(demonstrations: Demonstrations, game: MarkovGame, deviations: DeviationClass | None) -> str:
    """See :meth:`mailopt.Demonstrations.summary`."""
    demonstrations.check(game)
    seen, stages = demonstrations.seen, demonstrations.num_stages
    recorded = demonstrations.trajectories
    steps = stages if recorded is None else recorded.states.shape[1]
    length = f"{steps} step{'s' * (steps > 1)}"
    played, legal = np.count_nonzero(demonstrations.occupancy), stages * np.count_nonzero(game.joint_legal)
    lines = [
        f"{demonstrations.source}, {length}" + (f", discount {game.discount:g}" if game.discount is not None else ""),
        f"seen: {int(seen.sum())} of {seen.size} (step, state) pairs, {played} of {legal} with a joint action",
    ]
    if deviations is not None:
        reached = _reached(demonstrations, game, deviations)
        unseen = np.argwhere(reached & ~seen).tolist()
        named = ", ".join(f"({h}, {s})" for h, s in unseen[:_NAMED]) + (", .." if len(unseen) > _NAMED else "")
        source = "what was seen" if demonstrations.expert is None else "the expert"
        lines.append(
            f"{deviations!r} from {source} reaches {int(reached.sum())} pairs, {len(unseen)} of them unseen"
            + (f": {named}" if unseen else "")
        )
    return "\n".join(lines)


def _reached(demonstrations: Demonstrations, game: MarkovGame, deviations: DeviationClass) -> BoolArray:
    """Where deviations lead, (T, S)."""
    check_deviations(deviations, game)
    policy = demonstrations.expert
    if policy is None:
        anything = game.joint_legal / game.joint_legal.sum(axis=1, keepdims=True)
        policy = CorrelatedPolicy(np.where(demonstrations.seen[:, :, None], demonstrations.rows, anything))
    problem = Problem(game, policy, steps=max(demonstrations.num_stages, deviations.num_steps or 1))
    reached = np.zeros(demonstrations.seen.shape, dtype=bool)
    for agent in range(game.num_agents):
        for rule in wandering(problem, agent, deviations):
            for h, here in enumerate(support_of(problem, rule)):
                reached[min(h, len(reached) - 1)] |= here
    return reached
