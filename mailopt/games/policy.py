"""Correlated policies: what the mediator recommends.

A correlated policy sigma_h(a|s) is a distribution over joint actions in each state, at each step or stationary. The
mediator draws a joint action and privately recommends its parts. Independent agents are the special case of a
product policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mailopt.errors import IllegalAction, InvalidPolicy
from mailopt.games.game import MarkovGame, check_game, flatten_joint
from mailopt.games.numbers import (
    POLICY,
    Exact,
    FloatArray,
    IntArray,
    NumberArray,
    as_fractions,
    normalised,
    place,
    read_array,
    read_numbers,
    require_probabilities,
    require_row_sums,
)
from mailopt.games.sampling import RowSampler

_AXES = ("step", "state", "joint action")


@dataclass(frozen=True, eq=False, init=False, repr=False)
class CorrelatedPolicy:
    """A correlated policy; validated when constructed, its array is a read-only copy.

    Parameters
    ----------
    probabilities
        Shape (S, A) for a stationary policy, or (H, S, A): ``probabilities[h, s, a]`` is sigma_h(a|s), joint
        actions flattened in C order. On a discounted game (T, S, A) means steps 0..T-1 with the last row of steps
        repeated for ever. Entries may be ``fractions.Fraction``. A row p stands for p / sum(p); its sum must be
        within 1e-9 of one.

    Attributes
    ----------
    exact
        Exact rationals of the entries that are not doubles, keyed like ``probabilities``.

    Raises
    ------
    PolicyShape, PolicyNumber, PolicyDistribution
        All of them :class:`~mailopt.errors.InvalidPolicy`; the message names the row.

    Examples
    --------
    >>> import mailopt as mo
    >>> mo.CorrelatedPolicy([[0.5, 0.0, 0.0, 0.5]])
    CorrelatedPolicy(stationary, 1 state, 4 joint actions)
    """

    probabilities: FloatArray
    exact: Exact

    def __init__(self, probabilities: NumberArray) -> None:
        values, exact = read_numbers(probabilities, POLICY, "policy", _AXES)
        if values.ndim not in (2, 3) or values.size == 0:
            raise POLICY.shape(
                f"policy has shape {values.shape}, expected (S, A) or (H, S, A), joint actions flattened, nothing empty"
            )
        require_probabilities(values, POLICY, "policy", _AXES)
        require_row_sums(values.sum(axis=-1), POLICY, "policy row", _AXES[:-1])
        object.__setattr__(self, "probabilities", values)
        object.__setattr__(self, "exact", exact)

    @property
    def num_steps(self) -> int | None:
        """Number of steps, None for a stationary policy."""
        return None if self.probabilities.ndim == 2 else self.probabilities.shape[0]

    @property
    def num_states(self) -> int:
        """Number of states S."""
        return int(self.probabilities.shape[-2])

    @property
    def num_joint_actions(self) -> int:
        """Number of joint actions A."""
        return int(self.probabilities.shape[-1])

    @cached_property
    def _normalised(self) -> FloatArray:
        return normalised(self.probabilities, self.probabilities.sum(axis=-1))

    @cached_property
    def support(self) -> int:
        """Most joint actions that are recommended with positive probability in one state."""
        return int(np.count_nonzero(self.probabilities, axis=-1).max())

    def at(self, step: int) -> FloatArray:
        """Return sigma_h(a|s), normalised, shape (S, A). Steps past the last row repeat it."""
        if self._normalised.ndim == 2:
            return self._normalised
        return np.asarray(self._normalised[min(step, self._normalised.shape[0] - 1)])

    def sample(self, step: int | IntArray, states: IntArray, uniforms: FloatArray) -> IntArray:
        """Draw joint actions a ~ sigma_h(.|s), (N,) states to (N,) flat joint actions.

        Parameters
        ----------
        step
            The step h, one for all or (N,). Steps past the last row repeat it.
        states
            Where.
        uniforms
            In [0, 1). Each picks the first joint action whose cumulative probability is above it; never one of
            probability 0.

        Examples
        --------
        >>> import numpy as np
        >>> import mailopt as mo
        >>> policy = mo.CorrelatedPolicy([[0.5, 0.0, 0.0, 0.5]])
        >>> policy.sample(0, np.array([0, 0]), np.array([0.4, 0.5]))
        array([0, 3])
        """
        last = 0 if self.num_steps is None else self.num_steps - 1
        return self._sampler.draw(np.minimum(step, last) * self.num_states + states, uniforms)

    @cached_property
    def _sampler(self) -> RowSampler:
        return RowSampler.dense(self.probabilities.reshape(-1, self.num_joint_actions))

    def fractions(self) -> npt.NDArray[Any]:
        """Return the rows p / sum(p) as exact fractions, in the shape of ``probabilities``."""
        return _rows([(self.probabilities, self.exact)], exactly=True)[0]

    def check(self, game: MarkovGame) -> None:
        """Raise unless the policy fits the game and gives probability to legal joint actions only.

        Raises
        ------
        PolicyShape
            Numbers of states, joint actions or steps differ.
        IllegalAction
            A joint action with probability is illegal in its state.
        """
        if (self.num_states, self.num_joint_actions) != (game.num_states, game.num_joint_actions):
            raise POLICY.shape(
                f"policy has {self.num_states} states and {self.num_joint_actions} joint actions, "
                f"the game has {game.num_states} and {game.num_joint_actions}"
            )
        if self.num_steps is not None and game.horizon is not None and self.num_steps != game.horizon:
            raise POLICY.shape(f"policy has {self.num_steps} steps, the game's horizon is {game.horizon}")
        if not game.joint_legal.all():
            bad = np.argwhere((self.probabilities > 0) & ~game.joint_legal)
            if bad.size:
                index = tuple(int(k) for k in bad[0])
                raise IllegalAction(
                    f"policy, {place(_AXES[:-1], index[:-1])}: joint action "
                    f"{game.joint_action(index[-1])} is illegal there but has probability {self.probabilities[index]}"
                )

    def marginal(self, agent: int, game: MarkovGame) -> FloatArray:
        """Probability sigma_{i,h}(a_i|s) that agent i is recommended a_i, shape (S, n_i) or (H, S, n_i)."""
        self.check(game)
        game.check_agent(agent)
        return np.asarray(game.unfold(self._normalised, agent).sum(axis=-1))

    @classmethod
    def product(cls, factors: Sequence[NumberArray]) -> CorrelatedPolicy:
        """Independent agents: sigma_h(a|s) = prod_i pi_{i,h}(a_i|s).

        Parameters
        ----------
        factors
            For each agent an array (S, n_i) or (H, S, n_i), with rows that sum to one; ``Fraction`` entries keep
            the product exact.

        Examples
        --------
        >>> import mailopt as mo
        >>> mo.CorrelatedPolicy.product([[[0.5, 0.5]], [[1.0, 0.0]]]).probabilities
        array([[0.5, 0. , 0.5, 0. ]])
        """
        if len(factors) == 0:
            raise POLICY.shape("a product policy needs at least one factor")
        parts, exactly = [], False
        for agent, factor in enumerate(factors):
            axes = ("step", "state", f"action of agent {agent}")
            doubles, exact = read_numbers(factor, POLICY, f"factor {agent}", axes)
            if doubles.ndim not in (2, 3) or doubles.size == 0:
                raise POLICY.shape(
                    f"factor {agent} has shape {doubles.shape}, expected (S, n) or (H, S, n), nothing empty"
                )
            exactly |= _holds_fractions(factor)
            require_probabilities(doubles, POLICY, f"factor {agent}", axes)
            require_row_sums(doubles.sum(axis=-1), POLICY, f"row of factor {agent}", axes[:-1])
            parts.append((doubles, exact))
        leads = {doubles.shape[:-1] for doubles, _ in parts}
        if len({lead[-1] for lead in leads}) > 1 or len({lead for lead in leads if len(lead) == 2}) > 1:
            raise POLICY.shape(f"factors of shapes {[doubles.shape for doubles, _ in parts]} do not fit together")
        joint, *others = _rows(parts, exactly)
        for rows in others:
            outer = joint[..., :, None] * rows[..., None, :]
            joint = outer.reshape(*outer.shape[:-2], -1)
        return cls(joint)

    @classmethod
    def uniform(cls, game: MarkovGame) -> CorrelatedPolicy:
        """Every legal joint action with the same probability; stationary."""
        return cls(game.joint_legal / game.joint_legal.sum(axis=1, keepdims=True))

    @classmethod
    def deterministic(cls, game: MarkovGame, joint_actions: npt.ArrayLike) -> CorrelatedPolicy:
        """One joint action in each state.

        Parameters
        ----------
        game
            The game.
        joint_actions
            Integers of shape (S, m), or (H, S, m): one action per agent.

        Raises
        ------
        PolicyShape, IllegalAction
            Wrong shape; an action that does not exist or is illegal in its state.
        """
        array = read_array(joint_actions, POLICY, "joint actions")
        expected = (game.num_states, game.num_agents)
        if array.ndim not in (2, 3) or array.dtype.kind not in "iu" or array.shape[-2:] != expected:
            raise POLICY.shape(
                f"joint actions have shape {array.shape} and dtype {array.dtype}, expected integers of shape (S, m) = "
                f"{expected} or (H, S, m)"
            )
        bad = np.argwhere((array < 0) | (array >= np.array(game.actions)))
        if bad.size:
            index = tuple(int(k) for k in bad[0])
            raise IllegalAction(f"{place(('step', 'state', 'agent'), index)}: there is no action {array[index]}")
        flat = flatten_joint(np.moveaxis(array.astype(np.int64), -1, 0), game.actions)
        probabilities = np.zeros((*flat.shape, game.num_joint_actions))
        np.put_along_axis(probabilities, flat[..., None], 1.0, axis=-1)
        policy = cls(probabilities)
        policy.check(game)
        return policy

    @classmethod
    def mixture(cls, policies: Sequence[CorrelatedPolicy], weights: NumberArray) -> CorrelatedPolicy:
        """At every step and state, follow one of the policies, drawn afresh: sigma = sum_k w_k sigma_k.

        This is not the same as drawing one policy for a whole episode.

        Parameters
        ----------
        policies
            Policies of the same shape, stationary and per-step ones may be mixed.
        weights
            Non-negative weights that sum to one, shape (len(policies),).
        """
        if len(policies) == 0:
            raise POLICY.shape("a mixture needs at least one policy")
        mix, exact = read_weights(weights, len(policies))
        shapes = {p.probabilities.shape for p in policies}
        if len({shape[-2:] for shape in shapes}) > 1 or len({shape for shape in shapes if len(shape) == 3}) > 1:
            raise POLICY.shape(f"policies of different shapes cannot be mixed: {sorted(shapes)}")
        given = [(mix, exact), *((p.probabilities, p.exact) for p in policies)]
        shares, *rows = _rows(given, _holds_fractions(weights))
        parts = [w * p for w, p in zip(shares, rows, strict=True)]
        return cls(sum(parts[1:], start=parts[0]))

    @classmethod
    def from_function(
        cls, game: MarkovGame, f: Callable[..., NumberArray], *, stationary: bool = True, batched: bool = False
    ) -> CorrelatedPolicy:
        """Tabulate a function.

        Parameters
        ----------
        game
            The game.
        f
            ``f(state)`` if ``stationary``, else ``f(step, state)``; returns joint-action probabilities, flat (A,)
            or shaped (n_0, .., n_{m-1}).
        stationary
            False is for finite horizons only.
        batched
            ``f`` is given all states at once, the integers 0..S-1 as an array, and returns (S, A) or
            (S, n_0, .., n_{m-1}).

        Raises
        ------
        PolicyShape, PolicyNumber, PolicyDistribution, IllegalAction
            What ``f`` returns is no policy of the game.

        Examples
        --------
        >>> import numpy as np
        >>> import mailopt as mo
        >>> chain = mo.scenarios.unvisited_chain(3).game
        >>> mo.CorrelatedPolicy.from_function(chain, lambda states: np.eye(4)[states % 4], batched=True)
        CorrelatedPolicy(stationary, 6 states, 4 joint actions)
        """
        if not stationary and game.horizon is None:
            raise POLICY.shape("a discounted game has no last step; tabulate a stationary function")
        steps: Sequence[tuple[int, ...]] = [()] if stationary else [(h,) for h in range(game.horizon or 0)]
        tables: list[Any] = []
        for step in steps:
            where = "".join(f"step {h}, " for h in step)
            if batched:
                rows = read_array(f(*step, np.arange(game.num_states)), POLICY, f"policy, {where}all states: the rows")
                if rows.shape[:1] != (game.num_states,):
                    raise POLICY.shape(
                        f"policy, {where}all states: the rows have shape {rows.shape}, expected ({game.num_states}, ..)"
                    )
                tables.append(rows.reshape(game.num_states, -1))
            else:
                tables.append([_flat(f(*step, s), f"{where}state {s}") for s in range(game.num_states)])
        policy = cls(tables[0] if stationary else tables)
        policy.check(game)
        return policy

    def save(self, path: str | Path, game: MarkovGame) -> None:
        """Write the policy to a ``.json`` or ``.npz`` file; see :func:`mailopt.load_policy`."""
        from mailopt.games.files import save_policy  # noqa: PLC0415 - files imports this module

        save_policy(self, path, game)

    def __repr__(self) -> str:
        """Size in one line."""
        steps = "stationary" if self.num_steps is None else f"{self.num_steps} steps"
        states = f"{self.num_states} state{'s' * (self.num_states > 1)}"
        return f"CorrelatedPolicy({steps}, {states}, {self.num_joint_actions} joint actions)"


def independent(joint: npt.NDArray[Any]) -> tuple[list[npt.NDArray[Any]], npt.NDArray[Any]]:
    """Marginals of a joint distribution (n_0, .., n_{m-1}), and that of independent agents who have them."""
    factors = [joint.sum(axis=tuple(k for k in range(joint.ndim) if k != i)) for i in range(joint.ndim)]
    product = factors[0]
    for factor in factors[1:]:
        product = product[..., None] * factor
    return factors, product


def read_weights(weights: NumberArray, count: int) -> tuple[FloatArray, Exact]:
    """Read the probabilities with which policies are drawn, as :func:`read_numbers` does; validated."""
    mix, exact = read_numbers(weights, POLICY, "weights", ("policy",))
    if mix.shape != (count,):
        raise POLICY.shape(f"weights have shape {mix.shape}, expected ({count},)")
    require_probabilities(mix, POLICY, "weights", ("policy",))
    require_row_sums(np.asarray(mix.sum()), POLICY, "weights", ())
    return mix, exact


def check_policy(game: MarkovGame, policy: CorrelatedPolicy) -> None:
    """Raise unless the first is a game and the second a policy that fits it.

    Raises
    ------
    InvalidGame, InvalidPolicy
        Something else was given; PolicyShape and IllegalAction as :meth:`CorrelatedPolicy.check` says.
    """
    check_game(game)
    if not isinstance(policy, CorrelatedPolicy):
        raise InvalidPolicy(f"the policy is a {type(policy).__name__}; give a CorrelatedPolicy(array)")
    policy.check(game)


def _rows(parts: Sequence[tuple[FloatArray, Exact]], exactly: bool) -> list[npt.NDArray[Any]]:
    """Normalised rows of all parts: as Fractions if asked for or if any entry is not a double, else as doubles."""
    if exactly or any(exact for _, exact in parts):
        fractions = [as_fractions(doubles, exact) for doubles, exact in parts]
        return [rows / rows.sum(axis=-1, keepdims=True) for rows in fractions]
    return [normalised(doubles, doubles.sum(axis=-1)) for doubles, _ in parts]


def _holds_fractions(values: Any) -> bool:
    return read_array(values, POLICY, "probabilities").dtype == object


def _flat(row: Any, where: str) -> npt.NDArray[Any]:
    return read_array(row, POLICY, f"policy, {where}: the row").reshape(-1)
