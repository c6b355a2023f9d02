"""OpenSpiel policies: asked at a node, and made of the policies of a Markov game."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np

from mailopt.errors import IllegalAction, InvalidPolicy, PolicyDistribution, PolicyNumber
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import ROW_SUM_TOLERANCE, SINGLE_ROW_SUM_TOLERANCE, BoolArray, FloatArray
from mailopt.games.policy import CorrelatedPolicy, independent
from mailopt.interop.openspiel_world import import_pyspiel


def is_joint(policy: Any) -> bool:
    """Whether a policy gives probabilities of joint actions."""
    return hasattr(policy, "joint_action_probabilities")


def ask(policy: Any, node: Any, player: int, legal: BoolArray, where: str) -> FloatArray:
    """Ask a policy for a player's probabilities at a node, (n_i,), normalised; ``where`` is for messages."""
    pyspiel = import_pyspiel()
    try:
        if isinstance(policy, pyspiel.Policy):
            given = pyspiel.Policy.get_state_policy(policy, node, player)  # TabularPolicy hides this overload
        elif hasattr(policy, "action_probabilities"):
            given = policy.action_probabilities(node, player).items()
        else:
            raise InvalidPolicy(f"a {type(policy).__name__} is no OpenSpiel policy; it has no action_probabilities")
    except (LookupError, pyspiel.SpielError) as error:
        raise InvalidPolicy(f"{where}: the policy has no answer ({error!r})") from error
    return _row(given, legal, where)


def ask_joint(policy: Any, node: Any, game: MarkovGame, state: int, where: str) -> FloatArray:
    """Ask a policy for the probabilities of joint actions at a node, (A,), normalised."""
    given = [(game.joint_index(actions), p) for actions, p in policy.joint_action_probabilities(node)]
    return _row(given, game.joint_legal[state], where)


def _row(given: Iterable[tuple[int, Any]], legal: BoolArray, where: str) -> FloatArray:
    row, single = np.zeros(legal.size), False
    for action, p in given:
        if not 0 <= p < np.inf:
            raise PolicyNumber(f"{where}, action {action}: {p} is no probability")
        if 0 <= action < row.size and legal[action]:
            row[action] = p
        elif p > 0:
            raise IllegalAction(f"{where}: action {action} is illegal there but has probability {p}")
        single |= isinstance(p, np.floating) and np.finfo(p).bits < 64
    total, tolerance = float(row.sum()), SINGLE_ROW_SUM_TOLERANCE if single else ROW_SUM_TOLERANCE
    if abs(total - 1.0) > tolerance:
        raise PolicyDistribution(
            f"{where}: the probabilities sum to {total!r}; they must sum to 1 within {tolerance:g}"
        )
    return row / total if single else row


def exported(
    spiel_game: Any, game: MarkovGame, policy: CorrelatedPolicy, locate: Callable[[Any], tuple[int, int]]
) -> Any:
    """Make an OpenSpiel policy; ``locate`` gives step and state of a node."""
    return _exported_class()(spiel_game, game, policy, locate)


@cache
def _exported_class() -> type:
    """Define the class; OpenSpiel's own is its base."""
    from open_spiel.python import policy as spiel_policy  # noqa: PLC0415 - optional

    class ExportedPolicy(spiel_policy.Policy):  # type: ignore[misc]
        """A correlated policy, as an OpenSpiel policy.

        ``action_probabilities(node, player)`` are the player's own. They say all only where the recommendations are
        independent; elsewhere they raise :class:`~mailopt.errors.InvalidPolicy`, and
        ``joint_action_probabilities(node)`` are the pairs (joint action, probability) of the mediator.
        """

        def __init__(
            self,
            spiel_game: Any,
            game: MarkovGame,
            policy: CorrelatedPolicy,
            locate: Callable[[Any], tuple[int, int]],
        ) -> None:
            super().__init__(spiel_game, list(range(game.num_agents)))
            self._markov_game, self._policy, self._locate = game, policy, locate

        def action_probabilities(self, state: Any, player_id: int | None = None) -> dict[int, float]:
            player = int(state.current_player() if player_id is None else player_id)
            step, s = self._locate(state)
            row = self._policy.at(step)[s].reshape(self._markov_game.actions)
            own, product = independent(row)
            apart = float(np.abs(product - row).max())
            if apart > ROW_SUM_TOLERANCE:
                raise InvalidPolicy(
                    f"step {step}, state {s} ({self._markov_game.state_name(s)}): recommendations are correlated, by "
                    f"{apart:.3g}, and OpenSpiel draws each player's action alone; use joint_action_probabilities"
                )
            return {a: float(own[player][a]) for a in state.legal_actions(player)}

        def joint_action_probabilities(self, state: Any) -> Iterator[tuple[tuple[int, ...], float]]:
            step, s = self._locate(state)
            row = self._policy.at(step)[s]
            for index in np.flatnonzero(self._markov_game.joint_legal[s]):
                yield self._markov_game.joint_action(int(index)), float(row[index])

        def to_tabular(self, states: Any = None, players: list[int] | None = None) -> Any:
            """Make OpenSpiel's table; the base class asks for no player, which fails where all move at once."""
            owners = self.player_ids if players is None else players
            table = spiel_policy.TabularPolicy(self.game, owners, states=states)
            rows: dict[str, dict[int, float]] = {}
            for player in owners:
                for state in table.states:
                    if not (state.is_simultaneous_node() or state.current_player() == player):
                        continue
                    key, own = table._state_key(state, player), self.action_probabilities(state, player)
                    if rows.setdefault(key, own) != own:
                        raise InvalidPolicy(
                            f"OpenSpiel calls two situations of {self.game} alike in which the policy differs, one of "
                            f"them player {player}'s ({key!r:.80}); where they are two players', make one table for "
                            "each: to_tabular(players=[0])"
                        )
                    table.policy_for_key(key)[:] = 0.0
                    for action, probability in own.items():
                        table.policy_for_key(key)[action] = probability
            return table

    return ExportedPolicy
