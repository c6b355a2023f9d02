"""OpenSpiel games, one position at a time.

Chance nodes are never identified, only expanded through: their printed form omits the joint action that led to them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import TYPE_CHECKING, Any

from mailopt.errors import MissingDependency, UnsupportedGame
from mailopt.interop.enumeration import Outcomes

if TYPE_CHECKING:
    import pyspiel


class SpielWorld:
    """An OpenSpiel game to enumerate. Positions are nodes that are no chance nodes."""

    def __init__(self, game: Any, key: Callable[[pyspiel.State], Hashable] | None) -> None:
        _require_markov(game)
        self._game = game
        self._key: Callable[[Any], Hashable] = str if key is None else key
        self.num_players = game.num_players()
        self.num_actions = [1] * self.num_players

    def __str__(self) -> str:
        return str(self._game)

    def starts(self) -> Outcomes:
        """See :class:`World`."""
        outcomes = list(_past_chance(self._game.new_initial_state(), 1.0))
        for _, state in outcomes:
            if any(state.returns()):
                raise UnsupportedGame(f"{self} pays before the first decision: {state.returns()}")
        return outcomes

    def follow(self, position: Any, actions: tuple[int, ...]) -> tuple[Outcomes, list[float]]:
        """See :class:`World`."""
        child = position.clone()
        if position.is_simultaneous_node():
            child.apply_actions(list(actions))
        else:
            child.apply_action(actions[position.current_player()])
        outcomes, before = list(_past_chance(child, 1.0)), position.returns()
        rewards = [0.0] * len(before)
        for probability, after in outcomes:
            for player, (new, old) in enumerate(zip(after.returns(), before, strict=True)):
                rewards[player] += probability * (new - old)
        return outcomes, rewards

    def is_over(self, position: Any) -> bool:
        """See :class:`World`."""
        return bool(position.is_terminal())

    def is_cut_off(self, position: Any) -> bool | None:
        """See :class:`World`. OpenSpiel does not tell."""
        return None

    def key(self, position: Any) -> Hashable:
        """See :class:`World`."""
        return self._key(position)

    def label(self, position: Any) -> str:
        """See :class:`World`."""
        return " | ".join(line.rstrip() for line in str(self._key(position)).splitlines())

    def mover(self, position: Any) -> int:
        """See :class:`World`."""
        return int(position.current_player())

    def legal(self, position: Any) -> tuple[tuple[int, ...], ...]:
        """See :class:`World`."""
        return tuple(tuple(position.legal_actions(p)) for p in range(self.num_players))

    def action_name(self, position: Any, player: int, action: int) -> str:
        """See :class:`World`."""
        return str(position.action_to_string(player, action)).removeprefix(f"[P{player}]")

    def history(self, position: Any) -> object:
        """See :class:`World`."""
        return position.history()

    def keep(self, position: Any) -> None:
        """See :class:`World`. Nothing to do."""

    def release(self, position: Any) -> None:
        """See :class:`World`. Nothing to do: states are small, and asked again when policies are tabulated."""


def _past_chance(state: Any, probability: float) -> Iterator[tuple[float, Any]]:
    """Decision and terminal nodes that chance leads to from here, and their probabilities."""
    if state.is_chance_node():
        for outcome, share in state.chance_outcomes():
            if share > 0:
                yield from _past_chance(state.child(outcome), probability * share)
    else:
        yield probability, state


def decisions_before(node: Any) -> int:
    """Count the decisions on the way to a node: joint actions, or actions of the player to move, without chance."""
    state, count = node.get_game().new_initial_state(), 0
    moves = [move.action for move in node.full_history()]
    at = 0
    while at < len(moves):
        if state.is_simultaneous_node():
            state.apply_actions(moves[at : at + state.num_players()])
            at += state.num_players()
            count += 1
        else:
            count += not state.is_chance_node()
            state.apply_action(moves[at])
            at += 1
    return count


def load(game: Any) -> Any:
    """Load a game, unless it is one."""
    pyspiel = import_pyspiel()
    if not isinstance(game, str):
        return game
    name = game.split("(")[0].strip()
    if name not in pyspiel.registered_names():
        raise UnsupportedGame(f"OpenSpiel has no game {name!r}; pyspiel.registered_names() lists those it has")
    try:
        return pyspiel.load_game(game)
    except pyspiel.SpielError as error:
        raise UnsupportedGame(f"OpenSpiel cannot load {game!r}: {error}") from error


def _require_markov(game: Any) -> None:
    """Raise unless every player knows the state when it acts, and chance is explicit."""
    kind = game.get_type()
    one_shot = kind.information == kind.Information.ONE_SHOT and kind.dynamics == kind.Dynamics.SIMULTANEOUS
    if kind.dynamics == kind.Dynamics.MEAN_FIELD:
        raise UnsupportedGame(f"{game} is a mean field game, which has no finite number of agents")
    if kind.information != kind.Information.PERFECT_INFORMATION and not one_shot:
        raise UnsupportedGame(
            f"{game} has imperfect information; players of a Markov game know the state. Some games have a parameter "
            "for that, such as imp_info=False"
        )
    if kind.chance_mode == kind.ChanceMode.SAMPLED_STOCHASTIC:
        raise UnsupportedGame(f"{game} samples its chance moves and does not state their probabilities")


def import_pyspiel() -> Any:
    """Import OpenSpiel, or say how to install it."""
    try:
        import pyspiel  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingDependency("OpenSpiel is not installed: pip install 'mailopt[games]'") from error
    return pyspiel
