"""Random games and policies of every shape that the evaluation has to handle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from scipy import sparse

import mailopt as mo

LAYOUTS = ("dense", "sparse", "deterministic")


@dataclass(frozen=True)
class Case:
    """A game with a policy, and the scale of its values."""

    game: mo.MarkovGame
    policy: mo.CorrelatedPolicy
    scale: float


def random_case(seed: int) -> Case:
    """Draw a game of 1 to 4 agents with a policy; the seed decides everything.

    Unequal action counts, illegal actions, zero-probability recommendations, unreachable states, all three kernel
    layouts, stationary or per step, horizons 1 to 12, discounts 0 to 0.99, policies of several steps.
    """
    rng = np.random.default_rng(seed)
    agents = int(rng.integers(1, 5))
    actions = tuple(int(n) for n in rng.integers(1, 4, agents))
    states, joint = int(rng.integers(1, 6)), math.prod(actions)
    discount = None if seed % 2 else float(rng.choice([0.0, 0.3, 0.9, 0.99]))
    horizon = int(rng.integers(1, 13)) if discount is None else None
    per_step = horizon is not None and rng.random() < 0.4
    layout = LAYOUTS[int(rng.integers(3))]
    legal = [rng.random((states, n)) < 0.75 for n in actions]
    for mask in legal:
        mask[np.arange(states), rng.integers(0, mask.shape[1], states)] = True
    kernels = [_kernel(rng, layout, states, joint) for _ in range((horizon or 1) if per_step else 1)]
    one_step = (agents, states, joint)
    game = mo.MarkovGame(
        kernels if per_step else kernels[0],
        rng.normal(size=(horizon, *one_step) if per_step and horizon else one_step),
        rng.dirichlet(np.ones(states)),
        actions,
        horizon=horizon,
        discount=discount,
        legal=legal,
    )
    steps = None if rng.random() < 0.5 else (horizon or int(rng.integers(1, 4)))
    length = horizon if horizon is not None else 1.0 / float(1 - Fraction(discount or 0.0))
    return Case(game, random_policy(rng, game, steps), length * max(1.0, float(np.abs(game.rewards).max())))


def random_policy(rng: np.random.Generator, game: mo.MarkovGame, steps: int | None = None) -> mo.CorrelatedPolicy:
    """Draw a correlated policy in which about half of the legal joint actions are never recommended."""
    shape = (game.num_states, game.num_joint_actions)
    weights = rng.random(shape if steps is None else (steps, *shape)) * game.joint_legal
    kept = weights * (rng.random(weights.shape) < 0.5)
    empty = kept.sum(axis=-1, keepdims=True) == 0
    kept = np.where(empty, weights, kept)
    return mo.CorrelatedPolicy(kept / kept.sum(axis=-1, keepdims=True))


def _kernel(rng: np.random.Generator, layout: str, states: int, joint: int) -> object:
    if layout == "deterministic":
        return rng.integers(0, states, (states, joint))
    weights = rng.random((states, joint, states)) * (rng.random((states, joint, states)) < 0.5)
    weights[..., 0] += 1e-3
    rows = weights / weights.sum(axis=-1, keepdims=True)
    return rows if layout == "dense" else sparse.csr_array(rows.reshape(states * joint, states))
