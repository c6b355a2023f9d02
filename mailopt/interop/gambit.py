"""Gambit: ``.nfg`` files, games and mixed strategy profiles.

Files are read and written without Gambit (:mod:`mailopt.interop.gambit_files`); :func:`from_gambit`,
:func:`to_gambit` and profiles need pygambit. A player is an agent and a strategy is an action.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from mailopt.errors import InvalidPolicy, MissingDependency, UnsupportedGame
from mailopt.games.game import MarkovGame
from mailopt.games.policy import CorrelatedPolicy, check_policy, independent
from mailopt.interop.gambit_files import (
    NormalForm,
    Outcome,
    load_nfg,
    parse_nfg,
    payoffs_of,
    save_nfg,
    write_nfg,
)

_PRODUCT_TOLERANCE = 1e-9


def from_gambit(game: Any) -> NormalForm:
    """Turn a pygambit game into a normal form; of an extensive game, its reduced one.

    Raises
    ------
    UnsupportedGame
        It has no normal form.

    Examples
    --------
    >>> import pygambit
    >>> from mailopt.interop.gambit import from_gambit
    >>> from_gambit(pygambit.StrategicGame.from_arrays([[0, 7], [2, 6]], [[0, 2], [7, 6]], title="chicken"))
    NormalForm('chicken', MarkovGame(2 agents with (2, 2) actions, 1 state, horizon 1, deterministic transitions))
    """
    if not hasattr(game, "to_nfg"):
        raise UnsupportedGame(f"a {type(game).__name__} is no game of pygambit")
    try:
        text = game.to_nfg()
    except Exception as error:
        raise UnsupportedGame(f"pygambit finds no normal form: {error}") from error
    return parse_nfg(text, f"what pygambit wrote of {getattr(game, 'title', 'the game')!r}")


def to_gambit(game: MarkovGame | NormalForm) -> Any:
    """Turn a normal form into a pygambit game, with its names and texts.

    Gambit drops outcomes that no joint action has.

    Raises
    ------
    UnsupportedGame
        The game is no normal form, or Gambit does not take a name as it is: one that is empty, or has control
        characters, spaces at its ends or next to each other, or a backslash at its end, before another or before a
        quotation mark.
    MissingDependency
        pygambit is not installed.
    """
    try:
        import pygambit  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingDependency("pygambit is not installed: pip install 'mailopt[games]'") from error
    whole = game if isinstance(game, NormalForm) else NormalForm(game)
    text = write_nfg(replace(whole, title="", comment=""))
    try:
        made = pygambit.read_nfg(io.BytesIO(text.encode("utf-8")))
        made.title, made.description = whole.title, whole.comment
    except ValueError as error:
        raise UnsupportedGame(f"Gambit does not take the game {whole.title!r}: {error}") from error
    _require_names(made, whole.game)
    return made


def to_profile(gambit_game: Any, game: MarkovGame, policy: CorrelatedPolicy) -> Any:
    """Turn a policy of independent players into a mixed strategy profile of a pygambit game.

    sigma(a) = prod_i sigma_i(a_i) must hold to within 1e-9. The profile is in rationals if it holds exactly, else in
    floating point.

    Parameters
    ----------
    gambit_game
        The pygambit game, as :func:`to_gambit` made it or :func:`from_gambit` read it.
    game, policy
        The normal form and a policy of it.

    Raises
    ------
    UnsupportedGame
        The game is no normal form; or the pygambit game has other numbers of strategies, or the same names in another
        order, or is a tree with imperfect recall (make a profile of :func:`to_gambit` of the normal form instead).
    InvalidPolicy
        The players are not independent; the message says by how much: max_a |sigma(a) - prod_i sigma_i(a_i)|.

    Examples
    --------
    >>> from fractions import Fraction
    >>> import mailopt as mo
    >>> from mailopt.interop.gambit import to_gambit, to_profile
    >>> chicken = mo.scenarios.chicken()
    >>> third = [Fraction(1, 3), Fraction(2, 3)]
    >>> to_profile(to_gambit(chicken), chicken, mo.CorrelatedPolicy.product([[third], [third]])).payoffs
    {'agent 0': Rational(14, 3), 'agent 1': Rational(14, 3)}
    """
    payoffs_of(game)
    check_policy(game, policy)
    if not hasattr(gambit_game, "mixed_strategy_profile"):
        raise UnsupportedGame(f"a {type(gambit_game).__name__} is no game of pygambit")
    players = list(gambit_game.players)
    _require_order(_labels(players), [game.agent_name(i) for i in range(game.num_agents)], "the players")
    exact = policy.fractions().reshape(game.actions)
    factors, product = independent(exact)
    apart = float(np.abs(product - exact).max())
    if apart > _PRODUCT_TOLERANCE:
        raise InvalidPolicy(
            f"the recommendations are correlated, by {apart:.3g}; the players of a profile of mixed strategies are "
            "independent"
        )
    rational = bool((product == exact).all())
    data = [[p if rational else float(p) for p in factor] for factor in factors]
    try:
        profile = gambit_game.mixed_strategy_profile(data=data, rational=rational)
    except (ValueError, TypeError, IndexError) as error:
        raise UnsupportedGame(
            f"pygambit has no such profile, of {game.actions} strategies, of its game: {error}"
        ) from error
    for names, player in zip(game.action_names or (), players, strict=False):
        _require_order(_labels(s for s, _ in profile[player]), names, f"the strategies of {_labels([player])[0]}")
    return profile


def from_profile(profile: Any) -> CorrelatedPolicy:
    """Turn a pygambit profile of mixed strategies into a policy; exact if the profile is rational.

    Raises
    ------
    InvalidPolicy
        This is no such profile, or it does not sum to one.

    Examples
    --------
    >>> import pygambit
    >>> import mailopt as mo
    >>> from mailopt.interop.gambit import from_profile, to_gambit
    >>> found = pygambit.nash.enummixed_solve(to_gambit(mo.scenarios.chicken()), rational=True)
    >>> [mo.regret(mo.scenarios.chicken(), from_profile(profile)).value for profile in found.equilibria]
    [0.0, 0.0, 0.0]
    """
    if not hasattr(profile, "game") or not hasattr(profile.game, "players") or not hasattr(profile, "strategy_values"):
        raise InvalidPolicy(f"a {type(profile).__name__} is no mixed strategy profile of pygambit")
    factors = [[p for _, p in profile[player]] for player in profile.game.players]
    rational = not isinstance(factors[0][0], float)
    return CorrelatedPolicy.product([[[Fraction(str(p)) if rational else p for p in factor]] for factor in factors])


def _require_names(made: Any, game: MarkovGame) -> None:
    """Raise if Gambit renamed players or strategies."""
    for agent, player in enumerate(made.players):
        found, given = _labels([player]), [game.agent_name(agent)]
        if found == given and game.action_names is not None:
            found, given = _labels(made.get_strategies(player)), list(game.action_names[agent])
        if found != given:
            raise UnsupportedGame(
                f"agent {agent} ({game.agent_name(agent)}): Gambit makes {found} of the names {given}; give names that "
                "it takes"
            )


def _labels(things: Any) -> list[str]:
    """Labels of players or strategies, which are strings or have one."""
    return [str(getattr(thing, "label", thing)) for thing in things]


def _require_order(labels: list[str], names: Sequence[str], what: str) -> None:
    """Raise if the same names are in another order."""
    if labels != list(names) and sorted(labels) == sorted(names):
        raise UnsupportedGame(
            f"the pygambit game has {what} in the order {labels}, the game in the order {list(names)}; make one game "
            "of the other with to_gambit or from_gambit"
        )


__all__ = [
    "NormalForm",
    "Outcome",
    "from_gambit",
    "from_profile",
    "load_nfg",
    "parse_nfg",
    "save_nfg",
    "to_gambit",
    "to_profile",
    "write_nfg",
]
