"""Gambit: files of both forms, games and profiles, against pygambit itself and its catalogue."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pygambit
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygambit import catalog

import mailopt as mo
from mailopt import errors
from mailopt.interop.gambit import (
    NormalForm,
    Outcome,
    from_gambit,
    from_profile,
    load_nfg,
    parse_nfg,
    save_nfg,
    to_gambit,
    to_profile,
    write_nfg,
)

CATALOGUE = [str(name) for name in catalog.games()["Game"]]
OUTCOMES = """NFG 1 R "Say \\"hello\\", back\\\\slash" { "Ann" "Bob ü" } { { "x" "y" } { "l" "m" "r" } } "two
lines"
{
{ "won" 1, 2 }
{ "lost" 1/3, 1e-3 }
{ "never" 5, -5.25 }
}
1 2 0 1 0 2
"""


def exact(game: mo.MarkovGame) -> Any:
    """Payoffs (m, n_0, ..) in fractions, by way of the game's own numbers."""
    payoffs = np.array(
        [[Fraction(float(x)) for x in row] for row in game.rewards.reshape(game.num_agents, -1)], dtype=object
    )
    for (agent, _, joint), value in game.exact_rewards.items():
        payoffs[agent, joint] = value
    return payoffs.reshape(game.num_agents, *game.actions)


def by_gambit(text: str) -> Any:
    return pygambit.read_nfg(io.BytesIO(text.encode()))


def payoffs_of(game: Any) -> Any:
    return np.array([np.vectorize(lambda v: Fraction(str(v)), otypes=[object])(a) for a in game.to_arrays()])


def same(one: NormalForm, other: NormalForm) -> None:
    assert (one.title, one.comment, one.outcomes, one.outcome_of) == (
        other.title,
        other.comment,
        other.outcomes,
        other.outcome_of,
    )
    assert one.game.agent_names == other.game.agent_names
    assert one.game.action_names == other.game.action_names
    assert (exact(one.game) == exact(other.game)).all()


def test_the_payoff_form() -> None:
    read = parse_nfg('NFG 1 R "t" { "A" "B" } { 3 2 }\n"c"\n\n1 1 0 2 0 2.5 1 1 1/3 3.25 2 -1e-3\n')
    assert exact(read.game)[0].tolist() == [[1, 1], [0, Fraction(1, 3)], [0, 2]]
    assert exact(read.game)[1].tolist() == [[1, 1], [2, Fraction(13, 4)], [Fraction(5, 2), Fraction(-1, 1000)]]
    assert (read.title, read.comment, read.outcomes) == ("t", "c", None)
    assert read.game.agent_names == ("A", "B")
    assert read.game.action_names is None
    same(parse_nfg(write_nfg(read)), read)


def test_the_outcome_form() -> None:
    read = parse_nfg(OUTCOMES)
    assert exact(read.game)[0].tolist() == [[1, 0, 0], [Fraction(1, 3), 1, Fraction(1, 3)]]
    assert read.title == 'Say "hello", back\\slash'
    assert read.comment == "two\nlines"
    assert read.outcomes is not None
    assert [o.name for o in read.outcomes] == ["won", "lost", "never"]
    assert read.outcome_of == (1, 0, 0, 2, 1, 2)
    assert read.game.action_names == (("x", "y"), ("l", "m", "r"))
    same(parse_nfg(write_nfg(read)), read)
    assert (exact(read.game) == payoffs_of(by_gambit(OUTCOMES))).all()
    assert (exact(read.game) == payoffs_of(by_gambit(write_nfg(read)))).all()


def test_a_text_laid_out_by_older_gambits() -> None:
    """No comment, line breaks among the strategies, outcomes without names, decimals padded with zeros."""
    old = """NFG 1 R "centipede" { "Player 1" "Player 2" }

{ { "1*11" "2111" }
{ "1*11" "2111" "2211" }
}

{
{ "" 0.811000 0.274000 }
{ "" 12.800000, -3.2 }
}
1 2 2 1 0 1"""
    read = parse_nfg(old)
    assert (exact(read.game) == payoffs_of(by_gambit(old))).all()
    assert exact(read.game)[0].tolist() == [
        [Fraction(811, 1000), Fraction(64, 5), 0],
        [Fraction(64, 5), *[Fraction(811, 1000)] * 2],
    ]
    assert read.game.action_names == (("1*11", "2111"), ("1*11", "2111", "2211"))
    same(parse_nfg(write_nfg(read)), read)


@pytest.mark.parametrize("form", ["payoff", "outcome"])
@pytest.mark.parametrize("name", CATALOGUE)
def test_the_catalogue(name: str, form: Any, tmp_path: Path) -> None:
    game = catalog.load(name)
    read = from_gambit(game)
    assert (exact(read.game) == payoffs_of(game)).all()
    assert read.title == game.title
    assert read.comment == game.description
    assert read.game.agent_names == tuple(game.players)
    assert read.game.action_names == tuple(tuple(game.get_strategies(p)) for p in game.players)
    save_nfg(tmp_path / "game.nfg", read)
    same(load_nfg(tmp_path / "game.nfg"), read)
    save_nfg(tmp_path / "game.nfg", read, form=form)
    again = load_nfg(tmp_path / "game.nfg")
    assert (again.outcomes is None) == (form == "payoff")
    same(replace(again, outcomes=None, outcome_of=None), replace(read, outcomes=None, outcome_of=None))
    assert (payoffs_of(by_gambit((tmp_path / "game.nfg").read_text("utf-8"))) == payoffs_of(game)).all()
    assert (payoffs_of(to_gambit(read)) == payoffs_of(game)).all()


NUMBERS = st.one_of(
    st.fractions(-100, 100, max_denominator=997), st.integers(-9, 9), st.floats(-1e6, 1e6, allow_subnormal=False)
)


@st.composite
def games(draw: st.DrawFn) -> mo.MarkovGame:
    counts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=4))
    size = int(np.prod(counts))
    payoffs = np.empty((len(counts), size), dtype=object)
    for i, k in itertools.product(range(len(counts)), range(size)):
        payoffs[i, k] = draw(NUMBERS)
    names = draw(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=9, max_size=9, unique=True)
    )
    return mo.MarkovGame.from_normal_form(
        payoffs.reshape(-1, *counts),
        agent_names=names[: len(counts)],
        action_names=[names[:n] for n in counts] if draw(st.booleans()) else None,
    )


@settings(deadline=None, max_examples=60)
@given(games(), st.sampled_from(["payoff", "outcome"]), st.text(st.characters(codec="utf-8")))
def test_any_game_comes_back(game: mo.MarkovGame, form: Any, title: str) -> None:
    text = write_nfg(game, form=form, title=title, comment=title[::-1])
    back = parse_nfg(text)
    assert (exact(back.game) == exact(game)).all()
    assert (back.title, back.comment) == (title, title[::-1])
    assert (back.game.agent_names, back.game.action_names) == (game.agent_names, game.action_names)
    assert write_nfg(back) == text


@settings(deadline=None, max_examples=40)
@given(games())
def test_gambit_reads_what_is_written(game: mo.MarkovGame) -> None:
    plain = mo.MarkovGame.from_normal_form(exact(game))  # Gambit changes names that it finds odd
    for form in ("payoff", "outcome"):
        assert (payoffs_of(by_gambit(write_nfg(plain, form=form))) == exact(game)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, at '': it ends too early"),
        ('EFG 2 R "t"', "line 1, at 'EFG 2 R \"t\"': expected 'NFG'"),
        ('NFG 2 R "t" { "A" } { 1 } 1', "expected '1'"),
        ('NFG 1 X "t" { "A" } { 1 } 1', "expected R"),
        ('NFG 1 R "t { "A" } { 1 } 1', "expected {"),
        ('NFG 1 R "t" { "A" "B" } { 2 2 }\n\n1 2 3', "line 3.*it ends too early"),
        ('NFG 1 R "t" { "A" "B" }\n{ 2 2 }\n\n1 2 3 4 5 6 7 8 9', "line 4, at '9': the file should end here"),
        ('NFG 1 R "t" { "A" "B" } { 2 }\n1 2 3', "expected an integer"),
        ('NFG 1 R "t" { "A" "B" } { 0 2 }\n1 2 3', "every player needs a strategy"),
        ('NFG 1 R "t" { } { 2 2 }\n1 2 3', "expected names"),
        ('NFG 1 R "t" { "A" } { 2 }\n1 x', "at 'x': expected a number"),
        ('NFG 1 R "t" { "A" } { 2 }\n1 1/0', "at '1/0': expected a number"),
        ('NFG 1 R "t" { "A" } { 2 }\n1 1/00', "expected a number"),
        ('NFG 1 R "t" { "A" } { 2 }\n1 1_0', "expected a number"),
        ('NFG 1 R "t" { "A" } { 2 }\n1 ١', "expected a number"),
        ('NFG 1 R "t" { "A" } { 2 }\n1 nan', "expected a number"),
        ('NFG 1 R "t" { "A" } { 2 }\n1 1e99999', "expected a number"),
        ('NFG 1 R "t" { "A" "B" } { 999999 999999 }\n1', "there cannot be 999998000001 contingencies"),
        ('NFG 1 R "t" { "A" } { 2 } { { "o" 1 } } 1 2', "at '2': expected an integer from 0 to 1"),
        ('NFG 1 R "t" { "A" } { 2 } { { "o" 1 2 } } 1 1', "expected }"),
        ('NFG 1 R "t" { "A" } { 2 } { { "o" 1 } 1 1', "expected }"),
    ],
)
def test_texts_that_are_no_games(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.nfg").write_text(text, "utf-8")
    with pytest.raises(errors.MalformedFile, match=rf"bad\.nfg, .*{message}"):
        load_nfg(tmp_path / "bad.nfg")


def test_files_that_are_no_games(tmp_path: Path) -> None:
    (tmp_path / "bad.nfg").write_bytes(b"NFG 1 R \xff")
    with pytest.raises(errors.MalformedFile, match=r"bad\.nfg: not UTF-8"):
        load_nfg(tmp_path / "bad.nfg")
    with pytest.raises(FileNotFoundError):
        load_nfg(tmp_path / "none.nfg")
    with pytest.raises(errors.UnsupportedGame, match="the text: agent names: 1 distinct"):
        parse_nfg('NFG 1 R "t" { "A" "A" } { 1 1 } 1 1')


def test_games_that_are_no_normal_forms(tmp_path: Path) -> None:
    chain = mo.scenarios.unvisited_chain(3)
    for call in (lambda: save_nfg(tmp_path / "x.nfg", chain.game), lambda: to_gambit(chain.game)):
        with pytest.raises(errors.UnsupportedGame, match="one state, one step"):
            call()
    assert not list(tmp_path.iterdir())
    masked = mo.MarkovGame([[[1.0], [1.0]]], [[[0.0, 1.0]]], [1.0], (2,), horizon=1, legal=[[[True, False]]])
    with pytest.raises(errors.UnsupportedGame, match="no illegal actions"):
        write_nfg(masked)
    with pytest.raises(errors.InvalidOption, match="form is 'table'"):
        write_nfg(mo.scenarios.chicken(), form="table")  # type: ignore[arg-type]
    with pytest.raises(errors.InvalidOption, match="title"):
        write_nfg(parse_nfg(OUTCOMES), title="other")
    with pytest.raises(errors.UnsupportedGame, match="a str is no game"):
        from_gambit("chicken")


@pytest.mark.parametrize("text", ["\\alpha", "a\\b", '"q"', "C:\\new folder", 'a "\\x" b', "ü 日本"])
def test_gambit_reads_the_same_texts(text: str) -> None:
    game = mo.MarkovGame.from_normal_form(
        np.arange(2).reshape(2, 1, 1), agent_names=[text, "B"], action_names=[["x"], [text]]
    )
    made = by_gambit(write_nfg(game, title=text, comment=text))
    assert (made.title, made.description, next(iter(made.players))) == (text, text, text)
    assert made.get_strategies("B") == [text]
    same(from_gambit(made), parse_nfg(write_nfg(game, form="outcome", title=text, comment=text)))


@pytest.mark.parametrize("text", ["\\", "\\\\", '\\"', 'x\\\\"y\\', "tab\t", "", " two  lines \n"])
def test_texts_that_gambit_misreads_come_back(text: str) -> None:
    game = mo.MarkovGame.from_normal_form(np.zeros((1, 1)), agent_names=["A"], action_names=[["x"]])
    read = parse_nfg(write_nfg(game, title=text, comment=text))
    assert (read.title, read.comment) == (text, text)
    made = to_gambit(read)
    assert (made.title, made.description) == (text, text)
    assert (from_gambit(made).title, from_gambit(made).comment) == (text, text)


def test_backslashes_that_escape_nothing_stay() -> None:
    assert parse_nfg('NFG 1 R "\\alpha \\\\ \\"q\\"" { "A" } { 1 } 1').title == '\\alpha \\ "q"'


@pytest.mark.parametrize("name", [" A", "A  b", "A\n", "", "A\\", "\\\\A"])
def test_names_that_gambit_does_not_take(name: str) -> None:
    for agents, actions in (([name, "B"], None), (["A", "B"], [["x"], ["y", name]])):
        game = mo.MarkovGame.from_normal_form(np.zeros((2, 1, 2)), agent_names=agents, action_names=actions)
        assert parse_nfg(write_nfg(game)).game.agent_names == tuple(agents)
        with pytest.raises(errors.UnsupportedGame, match=r"Gambit (does not take|makes)"):
            to_gambit(game)


def test_half_a_surrogate_pair_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(errors.UnsupportedGame, match="cannot be written in UTF-8"):
        save_nfg(tmp_path / "x.nfg", mo.scenarios.chicken(), title="\ud800")
    assert not list(tmp_path.iterdir())


def test_outcomes_are_those_of_the_game() -> None:
    read = parse_nfg(OUTCOMES)
    assert read.outcomes is not None
    with pytest.raises(errors.InvalidGame, match=r"joint action \(0, 0\): outcome 1 pays 1, 2, the game pays 2, 4"):
        replace(read, game=read.game.with_rewards(2 * read.game.rewards))
    with pytest.raises(errors.InvalidGame, match=r"joint action \(0, 1\): outcome 0 pays 0, 0"):
        replace(read, game=read.game.with_rewards(read.game.rewards + (np.arange(6) == 1)))
    with pytest.raises(errors.GameShape, match="both"):
        replace(read, outcome_of=None)
    with pytest.raises(errors.GameShape, match="5 entries for 6"):
        replace(read, outcome_of=(1, 0, 0, 2, 1))
    with pytest.raises(errors.GameShape, match="has 4, but there are 3"):
        replace(read, outcome_of=(1, 0, 0, 2, 1, 4))
    with pytest.raises(errors.GameShape, match="has -1"):
        replace(read, outcome_of=(1, 0, 0, 2, 1, -1))
    renamed = replace(
        read, outcomes=(Outcome("lost again", read.outcomes[1].payoffs), *read.outcomes), outcome_of=(2, 0, 0, 1, 2, 3)
    )
    same(parse_nfg(write_nfg(renamed)), renamed)


def random_profile(game: mo.MarkovGame, seed: int) -> mo.CorrelatedPolicy:
    rng = np.random.default_rng(seed)
    factors = []
    for n in game.actions:
        weights = rng.integers(1, 9, size=n)
        factors.append([[Fraction(int(w), int(weights.sum())) for w in weights]])
    return mo.CorrelatedPolicy.product(factors)


@pytest.mark.parametrize("name", [name for name in CATALOGUE if "nau2004" in name])
def test_profiles_exactly(name: str) -> None:
    gambit_game = catalog.load(name)
    game = from_gambit(gambit_game).game
    policy = random_profile(game, 0)
    profile = to_profile(gambit_game, game, policy)
    assert isinstance(profile, pygambit.MixedStrategyProfileRational)
    expected = [(exact(game)[i].ravel() * policy.fractions()[0]).sum() for i in range(game.num_agents)]
    assert [Fraction(str(profile.payoffs[player])) for player in gambit_game.players] == expected
    back = from_profile(profile)
    assert (back.fractions() == policy.fractions()).all()
    single = to_profile(gambit_game, game, from_profile(profile.as_float()))
    np.testing.assert_allclose(
        mo.values(game, policy).value, [float(single.payoffs[p]) for p in gambit_game.players], rtol=1e-12
    )
    regrets = [float(profile.player_regrets[player]) for player in gambit_game.players]
    np.testing.assert_allclose(mo.regret(game, policy).per_agent, regrets, rtol=0, atol=1e-9)
    np.testing.assert_allclose(liap(game, policy), float(profile.liap_value()), rtol=1e-9, atol=1e-12)


def liap(game: mo.MarkovGame, policy: mo.CorrelatedPolicy) -> float:
    """Sum over agents and actions of max(gain of always playing it, 0)^2, each value by :func:`mailopt.values`."""
    factors = [policy.marginal(agent, game) for agent in range(game.num_agents)]
    obeyed, total = mo.values(game, policy).value, 0.0
    for agent, n in enumerate(game.actions):
        for action in range(n):
            changed = [*factors[:agent], np.eye(n)[[action]], *factors[agent + 1 :]]
            value = mo.values(game, mo.CorrelatedPolicy.product(changed)).value
            total += max(float(value[agent] - obeyed[agent]), 0.0) ** 2
    return total


def test_the_regret_of_random_profiles_is_that_of_gambit() -> None:
    checked = 0
    for name in CATALOGUE:
        gambit_game = catalog.load(name)
        game = from_gambit(gambit_game).game
        if game.num_joint_actions > 64:
            continue
        policy = random_profile(game, checked)
        if not gambit_game.is_perfect_recall:
            with pytest.raises(errors.UnsupportedGame, match="imperfect recall"):
                to_profile(gambit_game, game, policy)
            gambit_game = to_gambit(game)
        profile = to_profile(gambit_game, game, policy)
        largest = float(profile.max_regret())
        scale = 1 + np.abs(game.rewards).max()
        assert abs(mo.regret(game, policy).value - largest) <= 1e-12 * scale
        np.testing.assert_allclose(
            mo.values(game, policy).value, [float(profile.payoffs[p]) for p in gambit_game.players], atol=1e-12 * scale
        )
        assert (from_profile(profile).fractions() == policy.fractions()).all()
        checked += 1
    assert checked > 20


def test_equilibria_of_gambit_have_no_regret() -> None:
    checked = 0
    for name in CATALOGUE:
        gambit_game = catalog.load(name)
        if not gambit_game.is_perfect_recall or len(gambit_game.players) != 2:
            continue
        game = from_gambit(gambit_game).game
        if game.num_joint_actions > 20:
            continue
        lcp = pygambit.nash.lcp_solve(to_gambit(game), rational=True).equilibria
        assert lcp
        for profile in [*lcp, *pygambit.nash.enummixed_solve(gambit_game, rational=True).equilibria]:
            found = mo.regret(game, from_profile(profile))
            assert -1e-12 <= found.value <= 1e-12
            checked += 1
    assert checked > 10


def test_policies_that_are_no_profiles() -> None:
    chicken = mo.scenarios.chicken()
    gambit_game = to_gambit(chicken)
    with pytest.raises(errors.InvalidPolicy, match=r"correlated, by 0\.25"):
        to_profile(gambit_game, chicken, mo.CorrelatedPolicy([[0, 0.5, 0.5, 0]]))
    with pytest.raises(errors.InvalidPolicy, match="a str is no mixed strategy profile"):
        from_profile("half")
    other = to_gambit(mo.MarkovGame.from_normal_form(np.zeros((2, 3, 2))))
    with pytest.raises(errors.UnsupportedGame, match=r"no such profile, of \(2, 2\) strategies"):
        to_profile(other, chicken, mo.CorrelatedPolicy.uniform(chicken))
    with pytest.raises(errors.UnsupportedGame, match="a str is no game"):
        to_profile("chicken", chicken, mo.CorrelatedPolicy.uniform(chicken))
    chain = mo.scenarios.unvisited_chain(3)
    with pytest.raises(errors.UnsupportedGame):
        to_profile(gambit_game, chain.game, chain.expert)


def test_profiles_of_games_in_another_order() -> None:
    payoffs = np.arange(8).reshape(2, 2, 2)
    game = mo.MarkovGame.from_normal_form(payoffs, agent_names=["A", "B"], action_names=[["x", "y"], ["l", "r"]])
    policy = mo.CorrelatedPolicy.product([[[1, 0]], [[0.25, 0.75]]])
    for agents, actions, what in (
        (["B", "A"], [["x", "y"], ["l", "r"]], "the players"),
        (["A", "B"], [["x", "y"], ["r", "l"]], "strategies of B"),
    ):
        other = to_gambit(mo.MarkovGame.from_normal_form(payoffs, agent_names=agents, action_names=actions))
        with pytest.raises(errors.UnsupportedGame, match=f"{what} in the order"):
            to_profile(other, game, policy)
    elsewhere = to_gambit(mo.MarkovGame.from_normal_form(payoffs, agent_names=["C", "D"]))
    assert (from_profile(to_profile(elsewhere, game, policy)).fractions() == policy.fractions()).all()


def test_profiles_of_nearly_independent_players_are_doubles() -> None:
    chicken = mo.scenarios.chicken()
    tiny = Fraction(1, 10**12)
    nearly = mo.CorrelatedPolicy(
        [[Fraction(1, 4) + tiny, Fraction(1, 4) - tiny, Fraction(1, 4) - tiny, Fraction(1, 4) + tiny]]
    )
    assert isinstance(to_profile(to_gambit(chicken), chicken, nearly), pygambit.MixedStrategyProfileDouble)
    doubles = mo.CorrelatedPolicy.product([[[0.1, 0.9]], [[0.3, 0.7]]])
    profile = to_profile(to_gambit(chicken), chicken, doubles)
    assert isinstance(profile, pygambit.MixedStrategyProfileDouble)
    np.testing.assert_allclose(from_profile(profile).probabilities, doubles.probabilities, rtol=1e-14)
    with pytest.raises(errors.PolicyDistribution):
        from_profile(to_gambit(chicken).mixed_strategy_profile(data=[[0.3, 0.3], [1, 0]]))


def test_gambit_is_imported_only_when_used(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import sys, mailopt.interop.gambit; sys.exit('pygambit' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    monkeypatch.setitem(sys.modules, "pygambit", None)
    with pytest.raises(errors.MissingDependency, match=r"mailopt\[games\]"):
        to_gambit(mo.scenarios.chicken())
