"""Gambit's ``.nfg`` files: normal forms read and written exactly, without Gambit and without loss.

The format is documented by Gambit: a title, players, strategies, a comment, and payoffs in one of two forms. In the
*payoff* form there are the payoffs of all players for each contingency; in the *outcome* form a list of outcomes with
payoffs, and for each contingency the number of its outcome, or 0 for no payoffs. Contingencies are in the order in
which the first player's strategy changes fastest. pygambit is not used, since it drops outcomes that no contingency
has, writes one form only, renames what has the same name twice, and changes backslashes when it reads.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from mailopt.errors import InvalidGame, InvalidOption, MalformedFile, UnsupportedGame
from mailopt.games.game import MarkovGame
from mailopt.games.numbers import GAME, as_fractions
from mailopt_solvers.files import replacing

Form = Literal["payoff", "outcome"]

_TOKEN = re.compile(r'\s*(?:,\s*)?("(?:[^"\\]|\\.)*"|[{}]|[^\s{},"]+)', re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+/\d+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)", re.ASCII)
_MOST_DIGITS = 4000


@dataclass(frozen=True)
class Outcome:
    """An outcome of a normal form: its name and the payoff of each player."""

    name: str
    payoffs: tuple[Fraction, ...]


@dataclass(frozen=True, eq=False)
class NormalForm:
    """All that a ``.nfg`` file says.

    Parameters
    ----------
    game
        A game of one state, one step and no illegal actions. One that was read has exact payoffs, and
        the names of players and strategies (the latter None if the file only counts them).
    title, comment
        Texts of the file.
    outcomes
        Outcomes of the outcome form; None for the payoff form.
    outcome_of
        Number of the outcome of each joint action, flattened in C order: k for ``outcomes[k - 1]``, 0 for none. None
        for the payoff form.

    Raises
    ------
    UnsupportedGame
        The game is no normal form.
    InvalidGame
        Outcomes and the game do not say the same; the message names the joint action.

    Examples
    --------
    >>> from mailopt.interop.gambit import NormalForm, parse_nfg
    >>> parse_nfg('NFG 1 R "chicken" { "Ann" "Bob" } { 2 2 }  0 0  7 2  2 7  6 6')
    NormalForm('chicken', MarkovGame(2 agents with (2, 2) actions, 1 state, horizon 1, deterministic transitions))
    """

    game: MarkovGame
    title: str = ""
    comment: str = ""
    outcomes: tuple[Outcome, ...] | None = None
    outcome_of: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check that the outcomes are those of the game."""
        payoffs = payoffs_of(self.game)
        if self.outcomes is None and self.outcome_of is None:
            return
        if self.outcomes is None or self.outcome_of is None:
            raise GAME.shape("outcomes and outcome_of are given both, or None both for the payoff form")
        if len(self.outcome_of) != len(payoffs):
            raise GAME.shape(f"outcome_of has {len(self.outcome_of)} entries for {len(payoffs)} joint actions")
        nothing = (Fraction(0),) * self.game.num_agents
        for joint, (number, of_players) in enumerate(zip(self.outcome_of, payoffs, strict=True)):
            if not 0 <= number <= len(self.outcomes):
                raise GAME.shape(f"outcome_of has {number}, but there are {len(self.outcomes)} outcomes, from 1 on")
            paid = self.outcomes[number - 1].payoffs if number else nothing
            if paid != of_players:
                raise InvalidGame(
                    f"joint action {self.game.joint_action(joint)}: outcome {number} pays "
                    f"{', '.join(map(str, paid))}, the game pays {', '.join(map(str, of_players))}; for another game "
                    "give its outcomes, or None for outcomes and outcome_of"
                )

    def __repr__(self) -> str:
        """Title and game in one line."""
        return f"NormalForm({self.title!r}, {self.game!r})"


def load_nfg(path: str | Path) -> NormalForm:
    """Read a ``.nfg`` file, in either form.

    Raises
    ------
    MalformedFile
        It is no such file; the message names file and line.
    UnsupportedGame
        Two players, or two strategies of one player, have the same name.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedFile(f"{path}: not UTF-8: {error}") from error
    return parse_nfg(text, str(path))


def parse_nfg(text: str, name: str = "the text") -> NormalForm:
    """Read the text of a ``.nfg`` file; ``name`` is for messages.

    Raises
    ------
    MalformedFile, UnsupportedGame
        As for :func:`load_nfg`.
    """
    return _Parser(text, name).normal_form()


def save_nfg(
    path: str | Path, game: MarkovGame | NormalForm, *, form: Form | None = None, title: str = "", comment: str = ""
) -> None:
    """Write a ``.nfg`` file, whole or not at all.

    Payoffs and names come back exactly. A ``.nfg`` file has no place for the name of the state or for the mark of an
    estimated game, which are not kept. Gambit's own reader takes any payoffs, but not
    every name; :func:`~mailopt.interop.gambit.to_gambit` says which.

    Parameters
    ----------
    path
        Where to.
    game
        A game of one state, one step and no illegal actions; or what was read, whose texts and outcomes are kept.
    form
        ``"payoff"`` or ``"outcome"``. None: the form that was read; of a game, payoffs.
    title, comment
        Texts, for a game.

    Raises
    ------
    UnsupportedGame
        The game is no normal form, or a text has half a surrogate pair, which UTF-8 does not have.
    InvalidOption
        There is no such form; texts are given for what has its own.
    """
    text = write_nfg(game, form=form, title=title, comment=comment)
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def write_nfg(game: MarkovGame | NormalForm, *, form: Form | None = None, title: str = "", comment: str = "") -> str:
    """Return the text that :func:`save_nfg` writes.

    Examples
    --------
    >>> import mailopt as mo
    >>> from mailopt.interop.gambit import write_nfg
    >>> print(write_nfg(mo.scenarios.chicken(), title="chicken"))
    NFG 1 R "chicken" { "agent 0" "agent 1" } { { "dare" "yield" } { "dare" "yield" } }
    ""
    <BLANKLINE>
    0 0
    2 7
    7 2
    6 6
    <BLANKLINE>
    """
    if isinstance(game, NormalForm):
        if title or comment:
            raise InvalidOption("a NormalForm has a title and a comment of its own; use dataclasses.replace")
        whole = game
    else:
        whole = NormalForm(game, title, comment)
    if form not in (None, "payoff", "outcome"):
        raise InvalidOption(f"form is {form!r}; it must be 'payoff' or 'outcome'")
    payoffs = payoffs_of(whole.game)
    lines = [_header(whole), _quoted(whole.comment), ""]
    order = list(_contingencies(whole.game.actions))
    if form == "payoff" or (form is None and whole.outcomes is None):
        lines += [" ".join(_written(p) for p in payoffs[k]) for k in order]
        return "\n".join([*lines, ""])
    outcomes, numbers = whole.outcomes, whole.outcome_of
    if outcomes is None or numbers is None:
        outcomes = tuple(Outcome(str(k + 1), payoffs[joint]) for k, joint in enumerate(order))
        numbers = tuple(int(k) + 1 for k in np.argsort(order))
    lines.append("{")
    lines += [f"{{ {_quoted(o.name)} {', '.join(_written(p) for p in o.payoffs)} }}" for o in outcomes]
    return "\n".join([*lines, "}", " ".join(str(numbers[k]) for k in order), ""])


class _Parser:
    """Reads one file, token by token."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name, self.position, self.start = text, name, 0, 0

    def normal_form(self) -> NormalForm:
        for word in ("NFG", "1"):
            if self.next() != word:
                raise self.wrong(f"expected {word!r}: the file begins with NFG 1 R")
        if self.next() not in ("R", "D"):
            raise self.wrong("expected R (or D)")
        title, players = self.string(), self.strings()
        counts, actions = self.strategies(len(players))
        comment = self.string() if (self.peek() or "").startswith('"') else ""
        outcomes: list[Outcome] | None = None
        if self.peek() == "{":
            outcomes = self.outcomes(len(players))
            numbers = [self.integer(len(outcomes)) for _ in self.each(counts)]
            nothing = (Fraction(0),) * len(players)
            table = [outcomes[k - 1].payoffs if k else nothing for k in numbers]
        else:
            table = [tuple(self.number() for _ in players) for _ in self.each(counts)]
        if self.peek() is not None:
            self.next()
            raise self.wrong("the file should end here")
        order = list(_contingencies(counts))
        payoffs = np.empty((len(players), len(order)), dtype=object)
        for joint, of_players in zip(order, table, strict=True):
            payoffs[:, joint] = of_players
        try:
            game = MarkovGame.from_normal_form(
                payoffs.reshape(len(players), *counts), agent_names=players, action_names=actions
            )
        except ValueError as error:
            raise UnsupportedGame(f"{self.name}: {error}") from error
        if outcomes is None:
            return NormalForm(game, title, comment)
        placed = np.empty(len(order), dtype=np.int64)
        placed[order] = numbers
        return NormalForm(game, title, comment, tuple(outcomes), tuple(int(k) for k in placed))

    def strategies(self, players: int) -> tuple[tuple[int, ...], list[list[str]] | None]:
        """Numbers of strategies, and their names if there are any."""
        self.brace("{")
        if self.peek() == "{":
            names = [self.strings() for _ in range(players)]
            self.brace("}")
            return tuple(map(len, names)), names
        counts = tuple(self.integer(10**6) for _ in range(players))
        self.brace("}")
        if 0 in counts:
            raise self.wrong("every player needs a strategy")
        return counts, None

    def outcomes(self, players: int) -> list[Outcome]:
        result = []
        self.brace("{")
        while self.peek() == "{":
            self.brace("{")
            name = self.string()
            result.append(Outcome(name, tuple(self.number() for _ in range(players))))
            self.brace("}")
        self.brace("}")
        return result

    def each(self, counts: tuple[int, ...]) -> range:
        """One for each contingency, if the text is long enough for so many."""
        total = math.prod(counts)
        if total > len(self.text):
            raise self.wrong(f"there cannot be {total} contingencies in this file")
        return range(total)

    def strings(self) -> list[str]:
        self.brace("{")
        result = []
        while (self.peek() or "").startswith('"'):
            result.append(self.string())
        self.brace("}")
        if not result:
            raise self.wrong("expected names in quotation marks")
        return result

    def string(self) -> str:
        token = self.next()
        if not token.startswith('"'):
            raise self.wrong("expected a text in quotation marks")
        return re.sub(r'\\(["\\])', r"\1", token[1:-1])

    def number(self) -> Fraction:
        token = self.next()
        if not _NUMBER.fullmatch(token) or len(token) > _MOST_DIGITS or token.endswith("/0"):
            raise self.wrong("expected a number")
        try:
            return Fraction(token)
        except ZeroDivisionError:
            raise self.wrong("expected a number") from None

    def integer(self, most: int) -> int:
        token = self.next()
        if not re.fullmatch(r"\d{1,9}", token, re.ASCII) or int(token) > most:
            raise self.wrong(f"expected an integer from 0 to {most}")
        return int(token)

    def brace(self, which: str) -> None:
        if self.next() != which:
            raise self.wrong(f"expected {which}")

    def peek(self) -> str | None:
        found = _TOKEN.match(self.text, self.position)
        return None if found is None else found[1]

    def next(self) -> str:
        found = _TOKEN.match(self.text, self.position)
        if found is None:
            self.start = self.position
            raise self.wrong("it ends too early" if not self.text[self.position :].strip() else "this is no token")
        self.start, self.position = found.start(1), found.end()
        return found[1]

    def wrong(self, what: str) -> MalformedFile:
        line = self.text.count("\n", 0, self.start) + 1
        return MalformedFile(f"{self.name}, line {line}, at {self.text[self.start : self.start + 20]!r}: {what}")


def _contingencies(counts: tuple[int, ...]) -> Iterator[int]:
    """Flat joint actions, in C order, in Gambit's order: the first player's strategy changes fastest."""
    strides = [math.prod(counts[i + 1 :]) for i in range(len(counts))]
    for backwards in itertools.product(*(range(n) for n in reversed(counts))):
        yield sum(a * stride for a, stride in zip(reversed(backwards), strides, strict=True))


def payoffs_of(game: MarkovGame) -> list[tuple[Fraction, ...]]:
    """Exact payoffs of each joint action, for each player."""
    if not isinstance(game, MarkovGame) or not game.is_normal_form or not game.joint_legal.all():
        raise UnsupportedGame(f"{game!r:.200} is no normal form: one state, one step and no illegal actions")
    exact = as_fractions(game.rewards, game.exact_rewards).reshape(game.num_agents, -1)
    return [tuple(column) for column in exact.T]


def _header(whole: NormalForm) -> str:
    game = whole.game
    players = " ".join(_quoted(game.agent_name(i)) for i in range(game.num_agents))
    if game.action_names is None:
        strategies = " ".join(map(str, game.actions))
    else:
        strategies = " ".join(f"{{ {' '.join(map(_quoted, names))} }}" for names in game.action_names)
    return f"NFG 1 R {_quoted(whole.title)} {{ {players} }} {{ {strategies} }}"


def _quoted(text: str) -> str:
    """Quote a text; a backslash is doubled only where it would be taken for an escape, as Gambit misreads two."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnsupportedGame(f"{text!r} cannot be written in UTF-8: {error.reason}") from error
    return '"' + re.sub(r'\\(?=["\\]|\Z)', r"\\\\", text).replace('"', r"\"") + '"'


def _written(number: Fraction) -> str:
    """Write a number exactly: as a decimal if it is a short one, else as a fraction."""
    if number.denominator == 1:
        return str(number.numerator)
    try:
        short = repr(float(number))
    except OverflowError:
        return str(number)
    return short if "e" not in short and Fraction(short) == number else str(number)
