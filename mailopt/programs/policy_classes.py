"""Classes of policies that a learner may choose from: polytopes, given by linear maps.

A policy sigma is the image of parameters x: rows x_r, each a distribution over W choices, and

    sigma_h(a|s) = sum_w x_r(w) atom_{h,s,w}(a),    r = r(h, s),

where the choices are the joint actions themselves, or the recommendations of given policies. States that share a row
share what is learned. Linear constraints on sigma may be added to every class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mailopt.errors import InfeasibleClass, InvalidPolicyClass
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import IntArray
from mailopt.games.policy import CorrelatedPolicy, check_policy
from mailopt.programs.layout import Constraint, Layout, named


@dataclass(frozen=True, eq=False, kw_only=True)
class PolicyClass(ABC):
    """A polytope of policies.

    Attributes
    ----------
    constraints
        Linear constraints on sigma.
    """

    constraints: tuple[Constraint, ...] = ()

    def subject_to(
        self,
        coefficients: Any,
        *,
        lower: npt.ArrayLike = -np.inf,
        upper: npt.ArrayLike = np.inf,
        name: str | None = None,
    ) -> Self:
        """Return the class with linear constraints lower <= <coefficients, sigma> <= upper added.

        Parameters
        ----------
        coefficients
            Numbers (T, S, A) for one constraint, or a matrix (rows, T*S*A), sparse or not, for several; (S, A) where
            policies of the class are stationary.
        lower, upper
            A number, or one for each row; infinite where there is no bound.
        name
            For messages.

        Raises
        ------
        InvalidPolicyClass
            NaN, or bounds the wrong way round; on use, coefficients that do not fit the game.

        Examples
        --------
        Policies that dare together at most one time in ten:

        >>> import mailopt as mo
        >>> both_dare = [[1.0, 0.0, 0.0, 0.0]]
        >>> mo.policy_classes.Tabular().subject_to(both_dare, upper=0.1, name="accidents")
        Tabular(), 1 constraint
        """
        name = f"{len(self.constraints)}" if name is None else name
        try:
            low, high = (np.asarray(side, dtype=np.float64) for side in (lower, upper))
            crossed = bool(np.any(low > high))
        except (TypeError, ValueError) as error:
            raise InvalidPolicyClass(f"{named(name)}: bounds are no numbers: {error}") from None
        if not (np.isfinite(low).any() or np.isfinite(high).any()):
            raise InvalidPolicyClass(f"{named(name)}: there is no bound; give lower=, upper= or both")
        if np.isnan(low).any() or np.isnan(high).any() or crossed:
            raise InvalidPolicyClass(f"{named(name)}: bounds {lower!r} to {upper!r} make no sense")
        return replace(self, constraints=(*self.constraints, Constraint(coefficients, low, high, name)))

    def __repr__(self) -> str:
        """Kind and number of constraints in one line."""
        count = len(self.constraints)
        return self._kind() + (f", {count} constraint{'s' * (count > 1)}" if count else "")

    def _kind(self) -> str:
        return f"{type(self).__name__}()"

    @abstractmethod
    def layout(self, game: MarkovGame) -> Layout:
        """Lay the parameters out for a game.

        Raises
        ------
        InvalidPolicyClass
            The class does not fit the game.
        InfeasibleClass
            A row has no joint action that is legal in all of its states.
        """


def _rows_layout(game: MarkovGame, rows: IntArray, *, stationary: bool, constraints: tuple[Constraint, ...]) -> Layout:
    """Lay out a class whose choices are joint actions; each row has those that are legal in all of its states."""
    allowed = np.ones((int(rows.max()) + 1, game.num_joint_actions), dtype=bool)
    for of_step in rows:
        np.logical_and.at(allowed, of_step, game.joint_legal)
    empty = np.flatnonzero(~allowed.any(axis=1))
    if empty.size:
        states = np.unique(np.argwhere(rows == empty[0])[:, 1])
        raise InfeasibleClass(
            f"states {', '.join(map(str, states[:5].tolist()))}{', ..' if states.size > 5 else ''} share a row and "
            f"have no legal joint action in common; give them different labels"
        )
    return Layout(game, stationary, rows, allowed, None, constraints)


@dataclass(frozen=True, eq=False, repr=False)
class Tabular(PolicyClass):
    """Every policy: a row of its own for each step and state.

    Parameters
    ----------
    steps
        Number of steps of the policies of a discounted game, the last repeated for ever; None: stationary ones there,
        and the horizon of a finite one.

    Examples
    --------
    >>> import mailopt as mo
    >>> mo.policy_classes.Tabular()
    Tabular()
    """

    steps: int | None = None

    def layout(self, game: MarkovGame) -> Layout:
        """See :class:`PolicyClass`."""
        steps = self.steps
        if steps is not None and (type(steps) is not int or steps < 1 or game.horizon not in (None, steps)):
            raise InvalidPolicyClass(
                f"steps is {steps!r}; leave it out for a finite horizon, give an integer of at least 1 for a "
                f"discounted game"
            )
        stages = game.horizon or steps or 1
        rows = np.arange(stages * game.num_states).reshape(stages, -1)
        stationary = game.horizon is None and steps is None
        return _rows_layout(game, rows, stationary=stationary, constraints=self.constraints)


@dataclass(frozen=True, eq=False, repr=False)
class Stationary(PolicyClass):
    """Policies that do not depend on the step.

    Examples
    --------
    >>> import mailopt as mo
    >>> mo.policy_classes.Stationary()
    Stationary()
    """

    def layout(self, game: MarkovGame) -> Layout:
        """See :class:`PolicyClass`."""
        rows = np.tile(np.arange(game.num_states), (game.horizon or 1, 1))
        return _rows_layout(game, rows, stationary=True, constraints=self.constraints)


@dataclass(frozen=True, eq=False, repr=False)
class Aggregated(PolicyClass):
    """Policies that cannot tell states with the same label apart.

    Parameters
    ----------
    labels
        One label for each state, (S,): stationary policies; or for each step and state, (H, S). Integers or strings.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.aliased_chain(3, coverage=0.1)
    >>> mo.policy_classes.Aggregated(chain.labels)
    Aggregated(4 labels)
    """

    labels: npt.ArrayLike

    def _kind(self) -> str:
        return f"Aggregated({np.unique(np.asarray(self.labels)).size} labels)"

    def layout(self, game: MarkovGame) -> Layout:
        """See :class:`PolicyClass`."""
        try:
            labels = np.asarray(self.labels)
        except ValueError as error:
            raise InvalidPolicyClass(f"labels are ragged: {error}") from None
        per_step = (game.horizon, game.num_states)
        if labels.dtype.kind not in "iuU" or labels.shape not in ((game.num_states,), per_step):
            raise InvalidPolicyClass(
                f"labels have shape {labels.shape} and dtype {labels.dtype}; give integers or strings (S,) = "
                f"{(game.num_states,)}" + ("" if game.horizon is None else f" or (H, S) = {per_step}")
            )
        stationary = labels.ndim == 1
        rows = np.unique(labels, return_inverse=True)[1].reshape(-1, game.num_states)
        if stationary:
            rows = np.tile(rows, (game.horizon or 1, 1))
        return _rows_layout(game, rows, stationary=stationary, constraints=self.constraints)


@dataclass(frozen=True, eq=False, repr=False)
class Mixture(PolicyClass):
    """Mixtures of given policies, drawn afresh at every step: sigma_h(s) = sum_k w_s(k) sigma^k_h(s).

    Parameters
    ----------
    policies
        The policies sigma^k.
    per_step
        Whether the weights may depend on the step as well.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(3)
    >>> mo.policy_classes.Mixture([chain.expert, chain.learner])
    Mixture(2 policies)
    """

    policies: Sequence[CorrelatedPolicy]
    per_step: bool = False

    def _kind(self) -> str:
        return f"Mixture({_count(self.policies)})"

    def layout(self, game: MarkovGame) -> Layout:
        """See :class:`PolicyClass`."""
        members = _members(self, game)
        lengths = [policy.num_steps for policy in members if policy.num_steps is not None]
        stages = game.num_stages(*lengths) if lengths else game.horizon or 1
        per_step = self.per_step and stages > 1
        rows = np.arange(stages * game.num_states).reshape(stages, -1)
        if not per_step:
            rows = np.tile(rows[0], (stages, 1))
        atoms = np.stack([[p.at(h) for p in members] for h in range(max(lengths, default=1))]).swapaxes(1, 2)
        allowed = np.ones((int(rows.max()) + 1, len(members)), dtype=bool)
        return Layout(game, not lengths and not per_step, rows, allowed, atoms, self.constraints)


class OccupancyClass(PolicyClass):
    """A polytope of occupancies; only inverse reinforcement learning works on occupancies."""

    def layout(self, game: MarkovGame) -> Layout:
        """Raise: this is no polytope of policies."""
        raise InvalidPolicyClass(
            f"{self!r} is a polytope of occupancies, for inverse_reinforcement_learning; this learner needs one of "
            f"policies: Tabular, Stationary, Aggregated or Mixture"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Occupancies(OccupancyClass):
    """Every occupancy of the game; constraints are on mu, (T, S, A), discounted (S, A).

    Examples
    --------
    >>> import mailopt as mo
    >>> mo.policy_classes.Occupancies()
    Occupancies()
    """


@dataclass(frozen=True, eq=False, repr=False)
class EpisodeMixture(OccupancyClass):
    """One of several policies, drawn for each episode: the convex hull of their occupancies; constraints are on mu.

    Parameters
    ----------
    policies
        The policies.

    Examples
    --------
    >>> import mailopt as mo
    >>> chain = mo.scenarios.unvisited_chain(3)
    >>> mo.policy_classes.EpisodeMixture([chain.expert, chain.learner])
    EpisodeMixture(2 policies)
    """

    policies: Sequence[CorrelatedPolicy]

    def _kind(self) -> str:
        return f"EpisodeMixture({_count(self.policies)})"

    def members(self, game: MarkovGame) -> list[CorrelatedPolicy]:
        """Return the policies, checked against the game."""
        return _members(self, game)


def _count(policies: object) -> str:
    return f"{len(policies)} policies" if isinstance(policies, Sequence) else f"{policies!r:.80}"


def _members(owner: Mixture | EpisodeMixture, game: MarkovGame) -> list[CorrelatedPolicy]:
    if not isinstance(owner.policies, Sequence) or not owner.policies:
        raise InvalidPolicyClass(
            f"{type(owner).__name__} needs a list of at least one policy, got {owner.policies!r:.80}"
        )
    for policy in owner.policies:
        check_policy(game, policy)
    return list(owner.policies)


def check_policy_class(policy_class: object) -> PolicyClass:
    """Require a class of policies."""
    if not isinstance(policy_class, PolicyClass):
        hint = f"{policy_class.__name__}()" if isinstance(policy_class, type) else "policy_classes.Tabular()"
        raise InvalidPolicyClass(f"policy_class is {policy_class!r}; give an object such as {hint}")
    return policy_class
