"""The checker on a game that is worked out by hand: what it accepts, what it refuses and what it calls malformed."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from mailopt.certificates import checker
from tests.certificates import certificate_oracle as truths
from tests.certificates.mutations import Files, Verbatim, as_bytes, claiming, digests_of, with_digests
from tests.games.file_cases import little_time_and_memory

# One agent, two states, two steps. Obedience: V_1 = (1/2, -3) and V_0 = (-23/12, -5/2). A best swap: V_1 = (1, 0) and
# V_0 = (4/3, 0), which is also what obeying the expert is worth, who has no regret.
GAME: dict[str, Any] = {
    "format": "mailopt.game",
    "version": 1,
    "actions": [2],
    "states": 2,
    "horizon": 2,
    "initial": [[0, 1]],
    "transitions": [
        [0, [0], 0, "1/3"],
        [0, [0], 1, "2/3"],
        [0, [1], 1, 1],
        [1, [0], 1, 1],
        [1, [1], 0, 1],
    ],
    "rewards": [[0, [0], [1]], [1, [1], [-3]]],
}
POLICY: dict[str, Any] = {
    "format": "mailopt.policy",
    "version": 1,
    "rows": [[0, [0], 0.5], [0, [1], 0.5], [1, [1], 1]],
}
EXPERT: dict[str, Any] = {"format": "mailopt.policy", "version": 1, "rows": [[0, [0], 1], [1, [0], 1]]}
TRUTH = {
    "policy.value.0": Fraction(-23, 12),
    "policy.regret": Fraction(13, 4),
    "expert.value.0": Fraction(4, 3),
    "expert.regret": Fraction(0),
    "value_gap": Fraction(13, 4),
    "regret_gap": Fraction(13, 4),
}
OBEY, BEST, ZERO = [[-23, -30], [6, -36]], [[16, 0], [12, 0]], [0, 0]


def by_hand(changes: Mapping[str, Any] | None = None, *, expert: bool = True, **more: Any) -> Files:
    """The certificate by hand, with fields replaced, or left out where the change is ``...``."""
    witnesses = {"policy": [{"obey": 0, "deviate": 1}], "expert": [{"obey": 1, "deviate": 1}]}
    certificate = {
        "format": "mailopt.certificate",
        "version": 1,
        "claim": {name: [str(value)] * 2 for name, value in TRUTH.items() if expert or name.startswith("policy.")},
        "deviations": {"class": "swap"},
        "unit": "1/12",
        "exact": True,
        "digests": {},
        "tables": [OBEY, BEST],
        "witnesses": witnesses if expert else {"policy": witnesses["policy"]},
        "shown": {},
        "provenance": {},
    }
    files = with_digests(Files(certificate, GAME, POLICY, EXPERT if expert else None))
    fields = copy.deepcopy(files.certificate | dict(changes or {}) | more)
    return copy.deepcopy(replace(files, certificate={k: v for k, v in fields.items() if v is not ...}))


def verify(files: Files) -> Any:
    verdict = checker.verify(*as_bytes(files))
    assert verdict.reason
    assert verdict.reason.isascii()
    assert verdict.reason.isprintable()
    return verdict


def assert_malformed(files: Files) -> None:
    verdict = verify(files)
    assert verdict.reason.startswith("malformed"), verdict
    assert not verdict.valid
    assert not verdict.proved


def wide(files: Files) -> Files:
    """Claim as good as nothing."""
    return claiming(files, dict.fromkeys(files.certificate["claim"], (-(10**9), 10**9)))


# What is proved


@pytest.mark.parametrize("expert", [True, False])
def test_by_hand(expert: bool) -> None:
    files = by_hand(expert=expert)
    verdict = verify(files)
    assert verdict.valid, verdict.reason
    names = [name for name in TRUTH if expert or name.startswith("policy.")]
    assert {name: (x.lower, x.upper) for name, x in verdict.proved.items()} == {n: (TRUTH[n],) * 2 for n in names}
    parsed = checker.verify(files.certificate, files.game, files.policy, files.expert)
    assert parsed == verdict
    read = truths.read(*as_bytes(files))
    assert truths.truth(truths.Problem(read.game, read.policies, read.deviations)) == {n: TRUTH[n] for n in names}


@pytest.mark.parametrize("name", TRUTH)
@pytest.mark.parametrize("little", [Fraction(1, 12), Fraction(1, 10**300)], ids=["unit", "less"])
def test_a_claim_that_leaves_the_truth_out(name: str, little: Fraction) -> None:
    truth = TRUTH[name]
    for lo, hi in (
        (truth - 1, truth - little),
        (truth + little, truth + 1),
        (truth + 1, truth - 1),
        (truth, truth - 1),
    ):
        verdict = verify(claiming(by_hand(), {n: (x, x) for n, x in TRUTH.items()} | {name: (lo, hi)}))
        assert not verdict.valid
        assert not verdict.reason.startswith("malformed")
        assert (verdict.proved[name].lower, verdict.proved[name].upper) == (truth, truth)
    assert verify(claiming(by_hand(), {n: (x, x) for n, x in TRUTH.items()} | {name: (truth - little, truth)})).valid


def test_rounding_is_paid_for() -> None:
    """Without fractions the proved intervals are wider by some units, and claims of width zero are refused."""
    files = by_hand(exact=False)
    verdict = verify(files)
    assert not verdict.valid
    assert not verdict.reason.startswith("malformed")
    for name, interval in verdict.proved.items():
        assert interval.lower <= TRUTH[name] <= interval.upper
        assert 0 < interval.upper - interval.lower <= 3, name
    finer = by_hand(
        exact=False,
        unit=f"1/{12 * 10**30}",
        tables=[[[v * 10**30 for v in row] for row in table] for table in (OBEY, BEST)],
    )
    for name, interval in verify(finer).proved.items():
        assert interval.upper - interval.lower < Fraction(1, 10**28), name
        assert interval.lower <= TRUTH[name] <= interval.upper


def test_residuals_by_hand() -> None:
    """V_0(0) one unit too high: nothing is lost at state 0, b_0 = 0 at state 1 keeps V_0 as the upper bound."""
    tables = [[[-22, -30], [6, -36]], BEST]
    proved = verify(by_hand(expert=False, tables=tables)).proved["policy.value.0"]
    assert (proved.lower, proved.upper) == (Fraction(-23, 12), Fraction(-22, 12))


def test_residuals_of_a_discounted_game_by_hand() -> None:
    """One state, reward 1, discount 1/2: V = 2; the witness 0 has residual 1, which counts 1 / (1 - 1/2) times."""
    game = {
        "format": "mailopt.game",
        "version": 1,
        "actions": [1],
        "states": 1,
        "discount": "1/2",
        "initial": [[0, 1]],
        "transitions": [[0, [0], 0, 1]],
        "rewards": [[0, [0], [1]]],
    }
    rows = [[0, [0], 1]]
    for steps, table in ((1, [0]), (1, [7]), (1, [-5]), (3, [0, 0, 0]), (3, [1, 5, -7]), (2, [[3], 2])):
        policy = {**POLICY, "rows": [[*rows[0], h] for h in range(steps)]}
        certificate = by_hand(expert=False, tables=[table], unit=1, witnesses={"policy": [{"obey": 0, "deviate": 0}]})
        files = wide(with_digests(Files(certificate.certificate, game, policy)))
        verdict = verify(files)
        assert verdict.valid, verdict.reason
        assert (verdict.proved["policy.value.0"].lower, verdict.proved["policy.value.0"].upper) == (2, 2)


def test_a_budget_by_hand() -> None:
    """With half a departure to spend the best is to leave at (0, 0), told 1: it costs 1/2."""
    classes = {"class": "budget", "kappa": "1/2"}
    witness = {
        "obey": 0,
        "charged": 1,
        "price": 0,
        "mixture": [{"weight": 1, "departures": [], "value": 0, "cost": None}],
    }
    files = wide(by_hand(expert=False, deviations=classes, witnesses={"policy": [witness]}))
    verdict = verify(files)
    assert verdict.valid, verdict.reason
    problem = truths.read_problem(classes, GAME, POLICY)
    regret = verdict.proved["policy.regret"]
    assert regret.lower == 0
    assert regret.upper == TRUTH["policy.regret"]
    best = truths.truth(problem)["policy.regret"]
    assert 0 < best < regret.upper
    leaving = {"weight": 1, "departures": [[0, 0, 1, 0]], "value": 2, "cost": 3}
    # told 1 at (0, 0) it plays 0: V_0(0) = -5/6, and the departure has probability 1/2
    tables = [OBEY, BEST, [[-10, -30], [6, -36]], [[6, 0], [0, 0]]]
    for kappa, holds in (("1/2", True), (0.5, True), ("499999/1000000", False), (0, False)):
        files = by_hand(
            expert=False,
            deviations={"class": "budget", "kappa": kappa},
            witnesses={"policy": [witness | {"mixture": [leaving]}]},
            tables=tables,
        )
        verdict = verify(wide(files))
        assert verdict.valid == holds, verdict.reason
        if holds:
            assert verdict.proved["policy.regret"].lower == Fraction(13, 12)
    mixture = [leaving | {"weight": "1/4"}, {"weight": "3/4", "departures": [], "value": 0, "cost": None}]
    files = by_hand(
        expert=False,
        deviations={"class": "budget", "kappa": "1/8"},
        witnesses={"policy": [witness | {"mixture": mixture}]},
        tables=tables,
    )
    assert verify(wide(files)).proved["policy.regret"].lower == Fraction(13, 48)


# Files that stand for the same


def renamed(files: Files, *, names: bool) -> Files:
    """Use names for about half of the indices."""
    rng = Random(3)

    def state(s: int) -> Any:
        return f"s{s}" if names and rng.random() < 0.5 else s

    def joint(parts: list[int]) -> list[Any]:
        return [f"a{b}" if names and rng.random() < 0.5 else b for b in parts]

    game = files.game | {
        "state_names": ["s0", "s1"],
        "action_names": [["a0", "a1"]],
        "initial": [[state(s), p] for s, p in files.game["initial"]],
        "transitions": [[state(s), joint(a), state(t), p] for s, a, t, p in files.game["transitions"]],
        "rewards": [[state(s), joint(a), r] for s, a, r in files.game["rewards"]],
        "legal": [[state(s), [joint([1, 0])]] for s in (1, 0)],
    }
    rows = [[state(s), joint(a), p] for s, a, p in files.policy["rows"]]
    return replace(files, game=game, policy=files.policy | {"rows": rows})


SAME: dict[str, Callable[[Files], Files]] = {
    "order of entries": lambda f: replace(
        f,
        game=f.game | {"transitions": f.game["transitions"][::-1], "rewards": f.game["rewards"][::-1]},
        policy=f.policy | {"rows": f.policy["rows"][::-1]},
    ),
    "order of fields": lambda f: Files(
        *(dict(list(x.items())[::-1]) for x in (f.certificate, f.game, f.policy, f.expert))
    ),
    "half": lambda f: replace(f, policy=f.policy | {"rows": [[0, [0], "1/2"], [0, [1], "2/4"], [1, [1], "7/7"]]}),
    "a third": lambda f: replace(
        f, game=f.game | {"transitions": [[*e[:3], "10/30"] if e[3] == "1/3" else e for e in f.game["transitions"]]}
    ),
    "one": lambda f: replace(
        f, game=f.game | {"transitions": [[*e[:3], 1.0] if e[3] == 1 else e for e in f.game["transitions"]]}
    ),
    "zeros": lambda f: replace(
        f,
        game=f.game
        | {
            "transitions": [*f.game["transitions"], [0, [1], 0, 0]],
            "rewards": [*f.game["rewards"], [1, [0], [0.0]], [0, [1], [-0.0]]],
            "initial": [[1, "0/5"], [0, 1]],
        },
        policy=f.policy | {"rows": [*f.policy["rows"], [1, [0], -0.0]]},
    ),
    "legal as it is without": lambda f: replace(f, game=f.game | {"legal": [[1, [[1, 0]]]]}),
    "a reward that is zero": lambda f: replace(f, game=f.game | {"rewards": [*f.game["rewards"], [1, [0], ["0"]]]}),
}


@pytest.mark.parametrize("change", SAME)
def test_the_same_files_written_otherwise(change: str) -> None:
    files = by_hand()
    changed = SAME[change](files)
    assert as_bytes(changed) != as_bytes(files)
    assert digests_of(changed) == digests_of(files)
    assert verify(changed).valid


def test_names_and_indices_are_the_same() -> None:
    indices, names = renamed(by_hand(), names=False), renamed(by_hand(), names=True)
    assert digests_of(indices) == digests_of(names)
    assert verify(with_digests(names)).valid
    strange = json.loads(json.dumps(names.game).replace('"s0"', '"1"').replace('"s1"', '"0"'))
    rows = json.loads(json.dumps(names.policy).replace('"s0"', '"1"').replace('"s1"', '"0"'))
    assert "1" in str(strange["transitions"])
    assert verify(with_digests(replace(names, game=strange, policy=rows))).valid


def changed_game(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (GAME | changes).items() if value is not ...}


TRANSITIONS = GAME["transitions"]
OTHER_GAMES: dict[str, dict[str, Any]] = {
    "as it is": GAME,
    "reward": changed_game(rewards=[[0, [0], ["1000000000000000000001/1000000000000000000000"]], [1, [1], [-3]]]),
    "reward by the last bit": changed_game(rewards=[[0, [0], [1.0000000000000002]], [1, [1], [-3]]]),
    "sign of a reward": changed_game(rewards=[[0, [0], [1]], [1, [1], [3]]]),
    "state of a reward": changed_game(rewards=[[1, [0], [1]], [1, [1], [-3]]]),
    "action of a reward": changed_game(rewards=[[0, [1], [1]], [1, [1], [-3]]]),
    "no reward": changed_game(rewards=[[0, [0], [1]]]),
    "no rewards": changed_game(rewards=[]),
    "rewards of the first step": changed_game(rewards=[[0, [0], [1], 0], [1, [1], [-3], 0]]),
    "rewards of the second step": changed_game(rewards=[[0, [0], [1], 1], [1, [1], [-3], 1]]),
    "float third": changed_game(transitions=[[0, [0], 0, 1 / 3], [0, [0], 1, 1 - 1 / 3], *TRANSITIONS[2:]]),
    "thirds the other way": changed_game(transitions=[[0, [0], 0, "2/3"], [0, [0], 1, "1/3"], *TRANSITIONS[2:]]),
    "another successor": changed_game(transitions=[*TRANSITIONS[:4], [1, [1], 1, 1]]),
    "initial": changed_game(initial=[[1, 1]]),
    "initial mixed": changed_game(initial=[[0, "1/2"], [1, "1/2"]]),
    "horizon": changed_game(horizon=3),
    "horizon 1": changed_game(horizon=1),
    "discount 0": changed_game(horizon=..., discount=0),
    "discount a half": changed_game(horizon=..., discount=0.5),
    "discount of one tenth": changed_game(horizon=..., discount="1/10"),
    "discount of 0.1": changed_game(horizon=..., discount=0.1),
    "legal": changed_game(legal=[[1, [[1]]]]),
    "a state more": changed_game(
        states=3, transitions=[*TRANSITIONS, [2, [0], 2, 1], [2, [1], 2, 1]], legal=[[2, [[0, 1]]]]
    ),
    "two agents": changed_game(
        actions=[2, 1],
        transitions=[[s, [*a, 0], t, p] for s, a, t, p in TRANSITIONS],
        rewards=[[s, [*a, 0], [*r, 0]] for s, a, r in GAME["rewards"]],
    ),
    "two agents the other way": changed_game(
        actions=[1, 2],
        transitions=[[s, [0, *a], t, p] for s, a, t, p in TRANSITIONS],
        rewards=[[s, [0, *a], [*r, 0]] for s, a, r in GAME["rewards"]],
    ),
    "the second agent paid": changed_game(
        actions=[2, 1],
        transitions=[[s, [*a, 0], t, p] for s, a, t, p in TRANSITIONS],
        rewards=[[s, [*a, 0], [0, *r]] for s, a, r in GAME["rewards"]],
    ),
    "transitions of steps": changed_game(
        transitions=[
            *[[*entry, 0] for entry in TRANSITIONS],
            *[[*entry, 1] for entry in [[0, [0], 0, 1], *TRANSITIONS[2:]]],
        ]
    ),
    "transitions of steps the other way": changed_game(
        transitions=[
            *[[*entry, 1] for entry in TRANSITIONS],
            *[[*entry, 0] for entry in [[0, [0], 0, 1], *TRANSITIONS[2:]]],
        ]
    ),
}
OTHER_ROWS: dict[str, list[Any]] = {
    "as it is": POLICY["rows"],
    "moved": [[0, [0], "1/4"], [0, [1], "3/4"], [1, [1], 1]],
    "moved the other way": [[0, [0], "3/4"], [0, [1], "1/4"], [1, [1], 1]],
    "a little": [[0, [0], 0.5 + 2.0**-52], [0, [1], 0.5 - 2.0**-52], [1, [1], 1]],
    "pure": [[0, [1], 1], [1, [1], 1]],
    "other action": [[0, [0], 0.5], [0, [1], 0.5], [1, [0], 1]],
    "states": [[1, [0], 0.5], [1, [1], 0.5], [0, [1], 1]],
    "steps": [[0, [0], 1, 0], [1, [1], 1, 0], [0, [0], 0.5, 1], [0, [1], 0.5, 1], [1, [1], 1, 1]],
    "steps the other way": [[0, [0], 1, 1], [1, [1], 1, 1], [0, [0], 0.5, 0], [0, [1], 0.5, 0], [1, [1], 1, 0]],
}


def test_other_games_have_other_digests() -> None:
    found: dict[str, str] = {}
    for name, game in OTHER_GAMES.items():
        agents = len(game["actions"])
        joint = [[[*a, *[0] * (agents - 1)] if game["actions"][0] > 1 else [0, *a]] for a in ([0], [1])]
        rows = [[s, joint[1][0], 1] for s in range(game["states"])]
        digests = digests_of(Files({}, game, POLICY | {"rows": rows}))
        assert digests is not None, name
        found[name] = digests["game"]
        if name != "as it is":
            verdict = verify(replace(by_hand(), game=game))
            assert not verdict.valid, name
    assert len(set(found.values())) == len(found), found


def test_other_policies_have_other_digests() -> None:
    found = {}
    for name, rows in OTHER_ROWS.items():
        for role in ("policy", "expert"):
            changed = replace(by_hand(), **{role: POLICY | {"rows": rows}})
            digests = digests_of(changed)
            assert digests is not None, name
            found[name] = digests[role]
            if role == "expert" or name != "as it is":
                assert not verify(changed).valid, name
    assert len(set(found.values())) == len(found), found


def test_files_in_each_others_place() -> None:
    files = by_hand()
    certificate, game, policy, expert = as_bytes(files)
    assert expert is not None
    assert not checker.verify(certificate, game, expert, policy).valid
    assert not checker.verify(certificate, game, policy, None).valid
    assert not checker.verify(certificate, game, policy, policy).valid
    alone = as_bytes(by_hand(expert=False))
    assert not checker.verify(*alone[:3], expert).valid
    for order in ((game, certificate, policy), (certificate, policy, game), (game, game, game), (policy,) * 3):
        assert checker.verify(*order).reason.startswith("malformed")


# What is malformed

NOT_NUMBERS: list[Any] = [
    *(True, False, None, [], [1], {}, "", "1_0", "１/3", "٣", "1/0", "0/0", "1/00", " 1/3", "1/3 ", "1/3\n", "1 /3"),
    *("1/-3", "+1", "1.5", "1e3", "nan", "inf", "0x1", "1//3", "1/", "/3", "--1", "½", "1/٣", "-", "-/3", "1/3/3"),
    *("1" * 4001, "1/" + "3" * 4001, Verbatim("NaN"), Verbatim("Infinity"), Verbatim("-Infinity"), Verbatim("1e999")),
    *(Verbatim("-1e999"), Verbatim("1" * 4301), Verbatim("1_0"), Verbatim("01"), Verbatim("+1"), Verbatim(".5")),
    *(Verbatim("1."), Verbatim("0x10"), Verbatim("１"), Verbatim("'1'"), Verbatim("tru"), Verbatim("")),
]
NOT_INDICES: list[Any] = [True, False, None, -1, 0.0, 1.0, -0.0, 10**30, "", "x", "0", "1", [], [0], {}, 0.5]
NOT_INDICES += [Verbatim(text) for text in ("1E0", "0e0", "NaN", "1e999", "00", "-1", "1" * 4301)]
NOT_COUNTS = [*NOT_INDICES[:-1], 0, Verbatim("-0")]
NOT_COUNTS.remove(10**30)
NOT_LISTS: list[Any] = [None, {}, "", "x", 1, 0, True, 1.5]
NOT_OBJECTS: list[Any] = [None, [], "", "x", 1, 0, True, [[]], 1.5]
Path_ = tuple[Any, ...]


def changed_at(content: Any, path: Path_, value: Any) -> Any:
    """A copy with another value at a place; left out if it is ``...``."""
    changed = copy.deepcopy(content)
    node = changed
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = copy.deepcopy(value)
    return changed


STEPPED = [[*entry, h] for h in (0, 1) for entry in GAME["transitions"]]
STEPPED_ROWS = [[*row, h] for h in (0, 1) for row in POLICY["rows"]]
BAD_GAMES: list[tuple[dict[str, Any], Path_, list[Any]]] = [
    *[
        (GAME, (field,), [...])
        for field in ("format", "version", "actions", "states", "initial", "transitions", "horizon")
    ],
    (GAME, ("format",), ["mailopt.policy", "mailopt.Game", "", None, 1]),
    (GAME, ("version",), [0, 2, True, 1.0, "1", None, Verbatim("1e0")]),
    (GAME, ("states",), [*NOT_COUNTS, 1, 3]),
    (GAME, ("horizon",), NOT_COUNTS),
    (GAME, ("discount",), ["1/2"]),
    (GAME, ("unknown",), [0]),
    (GAME, ("Rewards",), [[]]),
    (GAME, ("actions",), [*NOT_LISTS, [], [0], [-1], [True], [2.0], ["2"], [[2]], [1], [3], [2, 0], [10**30]]),
    *[(GAME, (field,), NOT_LISTS) for field in ("initial", "transitions")],
    *[(GAME, (field,), [x for x in NOT_LISTS if x is not None]) for field in ("rewards", "legal")],
    *[(GAME, (f,), [*NOT_LISTS[1:], [1, 2]]) for f in ("state_names", "agent_names", "action_names")],
    (GAME, ("state_names",), [["a"], ["a", "b", "c"], ["a", "a"], ["a", 1], []]),
    (
        GAME,
        ("action_names",),
        [[], [["a"]], [["a", "a"]], [["a", "b", "c"]], [["a", "b"], ["c"]], ["ab"], [["a", None]]],
    ),
    (GAME, ("agent_names",), [[], ["a", "b"], [None]]),
    (GAME, ("initial", 0), [*NOT_LISTS, [], [0], [0, 1, 1]]),
    (GAME, ("initial", 0, 0), [*NOT_INDICES, 2]),
    (GAME, ("initial", 0, 1), [*NOT_NUMBERS, 0, 0.5, "2/3", -1, 1 + 1e-8, "999999998/1000000000", 2]),
    (GAME, ("initial",), [[], [[0, 1], [0, 1]], [[0, 1], [0, 0]], [[0, 0], [0, 1]], [[0, 2], [1, -1]], [[0, "1/2"]]]),
    (GAME, ("transitions", 0), [*NOT_LISTS, [], [0], [0, [0], 0], [0, [0], 0, 1, 0, 0]]),
    (GAME, ("transitions", 3, 0), [*NOT_INDICES, 2]),
    (
        GAME,
        ("transitions", 3, 1),
        [*NOT_LISTS, [], [0, 0], [2], [-1], [True], [0.0], ["x"], ["0"], [[0]], [10**30], [None]],
    ),
    (GAME, ("transitions", 3, 2), [*NOT_INDICES, 2]),
    (GAME, ("transitions", 3, 3), [*NOT_NUMBERS, 0, 0.5, -1, 2, "3/2", 1 + 1e-8]),
    (GAME, ("transitions", 0, 3), ["1/2", 0, -0.0, "1/3333", "-1/3"]),
    *[(GAME, ("transitions", k), [...]) for k in range(5)],
    (GAME, ("transitions", 1), [TRANSITIONS[0], [0, [0], 0, "2/3"]]),
    (
        GAME,
        ("transitions",),
        [[*TRANSITIONS, [0, [1], 1, 0]], [*TRANSITIONS, TRANSITIONS[4]], [], STEPPED[:5], STEPPED[:9]],
    ),
    (
        GAME,
        ("transitions",),
        [[*STEPPED[:9], STEPPED[9][:4]], [*STEPPED, STEPPED[0]], [*TRANSITIONS, [0, [0], 0, 0, 0]]],
    ),
    (GAME | {"transitions": STEPPED}, ("transitions", 9, 4), [*NOT_INDICES, 2]),
    (GAME, ("rewards", 0), [*NOT_LISTS, [], [0], [0, [0]], [0, [0], [1], 0, 0]]),
    (GAME, ("rewards", 0, 0), [*NOT_INDICES, 2]),
    (GAME, ("rewards", 0, 1), [*NOT_LISTS, [], [0, 0], [2], [-1], [True], [0.0], ["x"]]),
    (GAME, ("rewards", 0, 2), [*NOT_LISTS, [], [1, 1]]),
    (GAME, ("rewards", 0, 2, 0), NOT_NUMBERS),
    (GAME, ("rewards",), [[[0, [0], [0]]] * 2, [[0, [0], [1]], [0, [0], [0]]], [[0, [0], [1], 0], [1, [0], [1]]]]),
    (GAME | {"rewards": [[0, [0], [1], 0]]}, ("rewards", 0, 3), [*NOT_INDICES, 2]),
    (GAME, ("legal",), [[0], [[]], [[0]], [[0, []]], [[0, [[]]]], [[0, [[0, 0]]]], [[0, [[2]]]], [[0, [[0], [0]]]]]),
    (
        GAME,
        ("legal",),
        [[[0, [[0]]], [0, [[0, 1]]]], [[0, [[0, True]]]], [[0, [[0, 1.0]]]], [[0, [[-1]]]], [[0, [0, 1]]]],
    ),
    (GAME, ("legal",), [[[bad, [[0, 1]]]] for bad in [*NOT_INDICES, 2]]),
    (GAME | {"legal": [[1, [[1]]]]}, ("transitions", 3, 3), [*NOT_NUMBERS, 0.5, 2, -1, "1/3"]),
]
ENDLESS = {key: value for key, value in GAME.items() if key != "horizon"} | {"discount": "1/2"}
BAD_GAMES += [
    (ENDLESS, ("discount",), [..., *NOT_NUMBERS, 1, 1.0, "1", "4/3", -0.5, "-1/2", 2, 1e308]),
    (ENDLESS, ("transitions",), [[[*entry, 0] for entry in TRANSITIONS]]),
    (ENDLESS, ("rewards",), [[[0, [0], [1], 0]]]),
]
BAD_POLICIES: list[tuple[dict[str, Any], Path_, list[Any]]] = [
    *[(POLICY, (field,), [...]) for field in POLICY],
    (POLICY, ("format",), ["mailopt.game", "", None]),
    (POLICY, ("version",), [0, 2, True, 1.0, "1", None]),
    (POLICY, ("unknown",), [0]),
    (POLICY, ("rows",), [*NOT_LISTS, [], POLICY["rows"][1:], POLICY["rows"][:2], [*POLICY["rows"], POLICY["rows"][0]]]),
    (POLICY, ("rows",), [[*POLICY["rows"], [1, [1], 0]], [*POLICY["rows"][:2], [1, [1], 2], [1, [0], -1]]]),
    (POLICY, ("rows",), [STEPPED_ROWS[:3], STEPPED_ROWS[:5], [*STEPPED_ROWS[:5], STEPPED_ROWS[5][:3]]]),
    (POLICY, ("rows",), [[*STEPPED_ROWS, STEPPED_ROWS[0]], [*POLICY["rows"], [1, [0], 0, 0]]]),
    (POLICY | {"rows": STEPPED_ROWS}, ("rows", 5, 3), [*NOT_INDICES, 2]),
    (POLICY, ("rows", 0), [*NOT_LISTS, [], [0, [0]], [0, [0], 0.5, 0, 0]]),
    (POLICY, ("rows", 2, 0), [*NOT_INDICES, 2, 0]),
    (POLICY, ("rows", 2, 1), [*NOT_LISTS, [], [0, 0], [2], [-1], [True], [1.0], ["x"], ["1"], [[1]]]),
    (POLICY, ("rows", 2, 2), [*NOT_NUMBERS, 0, 0.5, "1/3", 1 + 1e-8, "1000000002/1000000000", -1, 2]),
]


def short(value: object) -> str:
    return repr(value)[:12].encode("ascii", "backslashreplace").decode() + f"({len(repr(value))})"


@pytest.mark.parametrize(
    ("game", "path", "values"), BAD_GAMES, ids=[f"{path}-{k}" for k, (_, path, _) in enumerate(BAD_GAMES)]
)
def test_malformed_games(game: dict[str, Any], path: Path_, values: list[Any]) -> None:
    good = digests_of(replace(by_hand(), game=game)) is not None
    assert good or "legal" in game
    for value in values:
        files = replace(by_hand(), game=changed_at(game, path, value))
        verdict = verify(files)
        assert verdict.reason.startswith("malformed"), (path, value, verdict)
        assert not verdict.valid


@pytest.mark.parametrize(
    ("policy", "path", "values"), BAD_POLICIES, ids=[f"{path}-{k}" for k, (_, path, _) in enumerate(BAD_POLICIES)]
)
def test_malformed_policies(policy: dict[str, Any], path: Path_, values: list[Any]) -> None:
    for value in values:
        for role in ("policy", "expert"):
            verdict = verify(replace(by_hand(), **{role: changed_at(policy, path, value)}))
            assert verdict.reason.startswith("malformed"), (path, value, verdict)
            assert not verdict.valid


@pytest.mark.parametrize("field", ["rewards", "legal", "state_names", "agent_names", "action_names", "discount"])
def test_null_is_not_a_field_that_is_missing(field: str) -> None:
    assert_malformed(replace(by_hand(), game=GAME | {field: None}))


def test_an_expert_who_is_null() -> None:
    certificate, game, policy, _ = as_bytes(by_hand(expert=False))
    assert checker.verify(certificate, game, policy).valid
    assert checker.verify(certificate, game, policy, b"null").reason.startswith("malformed")


def test_steps_of_a_discounted_policy_have_no_hole() -> None:
    rows = [[*row, h] for h in (0, 2) for row in POLICY["rows"]]
    assert_malformed(replace(by_hand(), game=ENDLESS, policy=POLICY | {"rows": rows}))


def test_illegal_recommendations() -> None:
    game = GAME | {"legal": [[1, [[0]]]]}
    assert_malformed(replace(by_hand(), game=game))
    rows = [*POLICY["rows"][:2], [1, [0], 1], [1, [1], 0.0]]
    assert digests_of(Files({}, game, POLICY | {"rows": rows})) is not None


def test_rows_of_zeros_count_as_none() -> None:
    """Of an illegal joint action; the row of a legal one is missing then."""
    rows = [entry for entry in TRANSITIONS if entry[:2] != [1, [1]]]
    game = GAME | {"legal": [[1, [[0]]]]}
    policy = POLICY | {"rows": [*POLICY["rows"][:2], [1, [0], 1]]}
    without = digests_of(Files({}, game | {"transitions": rows}, policy))
    assert without is not None
    assert digests_of(Files({}, game | {"transitions": [*rows, [1, [1], 0, 0], [1, [1], 1, 0.0]]}, policy)) == without
    assert digests_of(Files({}, GAME | {"transitions": [*rows, [1, [1], 0, 0]]}, POLICY)) is None


@pytest.mark.parametrize("off", [Fraction(1, 10**9), Fraction(-1, 10**9)], ids=["above", "below"])
def test_rows_stand_for_their_normalisation(off: Fraction) -> None:
    """Up to a sum that is 1e-9 off."""
    near, far = str(1 + off), str(1 + off * (1 + Fraction(1, 10**6)))
    for holds, p in ((True, near), (False, far)):
        game = GAME | {"initial": [[0, p]], "transitions": [*TRANSITIONS[:4], [1, [1], 0, p]]}
        policy = POLICY | {"rows": [*POLICY["rows"][:2], [1, [1], p]]}
        assert verify(with_digests(replace(by_hand(), game=game, policy=policy))).valid == holds
        for files in (replace(by_hand(), game=GAME | {"initial": [[0, p]]}), replace(by_hand(), policy=policy)):
            assert verify(files).reason.startswith("malformed") != holds
            assert digests_of(files) != digests_of(by_hand())
    shares = GAME | {"initial": [[0, str((1 + off) / 3)], [1, str((1 + off) * 2 / 3)]]}
    proved = verify(with_digests(replace(by_hand(), game=shares))).proved
    assert proved["policy.value.0"].lower == Fraction(-23, 36) - Fraction(5, 3)
    assert proved["policy.value.0"].upper == Fraction(-23, 36) - Fraction(5, 3)


@pytest.mark.parametrize(
    ("discount", "holds"),
    [(0, True), ("0/7", True), ("1/" + "9" * 40, True), ("9" * 40 + "/1" + "0" * 40, True), ("-1/" + "9" * 40, False)],
)
def test_discounts(discount: Any, holds: bool) -> None:
    digests = digests_of(replace(by_hand(), game=ENDLESS | {"discount": discount}))
    assert (digests is not None) == holds


CERTIFICATE = by_hand().certificate
BAD_CERTIFICATES: list[tuple[Path_, list[Any]]] = [
    *[((field,), [...]) for field in CERTIFICATE],
    (("format",), ["mailopt.game", "mailopt.Certificate", "", None, 1]),
    (("version",), [0, 2, True, 1.0, "1", None]),
    (("unknown",), [0, None]),
    (("Unit",), ["1/12"]),
    (("claim",), [*NOT_OBJECTS, {}]),
    *[(("claim", name), [*NOT_LISTS, ..., [], [0], [0, 0, 0]]) for name in TRUTH],
    *[(("claim", "value_gap", k), NOT_NUMBERS) for k in (0, 1)],
    *[(("claim", name), [[0, 0]]) for name in ("policy.value.1", "policy.value.00", "regret", "expert.value.-1", "")],
    (
        ("deviations",),
        [*NOT_OBJECTS, {}, {"class": None}, {"class": "Swap"}, {"class": "stationary"}, {"class": ["swap"]}],
    ),
    (("deviations",), [{"class": "swap", "inner": {"class": "swap"}}, {"Class": "swap"}, {"class": "swap", "k": 1}]),
    (("unit",), [*NOT_NUMBERS, 0, 0.0, "0", "2/3", "-1/12", -1, 2, "3", 0.1, 0.75, "12/1", 1.5, -0.5]),
    (("exact",), [0, 1, None, "true", [], 1.0]),
    (("digests",), [*NOT_OBJECTS, {}]),
    *[(("digests", name), [...]) for name in ("game", "policy")],
    (("digests", "other"), ["0" * 64]),
    (("tables",), [*NOT_LISTS, [], [OBEY]]),
    (
        ("tables", 0),
        [*NOT_LISTS, [], [0], [0, 0, 0], [[0, 0], [0, 0], [0, 0]], [[0], 0], [[0, 0, 0], 0], [[[0, 0]], 0]],
    ),
    (("tables", 0, 1), [None, True, 1.0, -0.0, "1", "1/2", {}, [], [0], [0, 0, 0], [[0, 0]], Verbatim("1e0")]),
    (
        ("tables", 0, 1, 0),
        [None, True, False, 1.0, 0.0, -0.0, "1", "1/2", {}, [], [0], *map(Verbatim, ("NaN", "1e999", "01"))],
    ),
    (("witnesses",), [*NOT_OBJECTS, {}]),
    *[(("witnesses", name), [*NOT_LISTS, ..., [], [{"obey": 0, "deviate": 1}] * 2]) for name in ("policy", "expert")],
    (("witnesses", "other"), [[{"obey": 0, "deviate": 1}]]),
    (("witnesses", "policy", 0), [*NOT_OBJECTS, {}]),
    *[(("witnesses", "policy", 0, name), [*NOT_INDICES, ..., 2]) for name in ("obey", "deviate")],
    (("witnesses", "policy", 0, "other"), [0]),
    *[((name,), NOT_OBJECTS) for name in ("shown", "provenance")],
]


@pytest.mark.parametrize(
    ("path", "values"), BAD_CERTIFICATES, ids=[f"{p}-{k}" for k, (p, _) in enumerate(BAD_CERTIFICATES)]
)
def test_malformed_certificates(path: Path_, values: list[Any]) -> None:
    for value in values:
        verdict = verify(replace(by_hand(), certificate=changed_at(CERTIFICATE, path, value)))
        assert verdict.reason.startswith("malformed"), (path, value, verdict)
        assert not verdict.valid


@pytest.mark.parametrize("bad", [None, [0], [0, "x"], [0, True]], ids=str)
def test_a_malformed_claim_beside_one_that_is_too_narrow(bad: Any) -> None:
    narrow = {name: [1, 0] for name in TRUTH}
    for name in TRUTH:
        assert_malformed(by_hand(claim=narrow | {name: bad}))


@pytest.mark.parametrize("path", [("claim", "value_gap"), ("tables", 0), ("unit",), ("witnesses", "policy")])
def test_a_malformed_certificate_of_other_files(path: Path_) -> None:
    certificate = changed_at(CERTIFICATE, path, "x")
    game = GAME | {"rewards": []}
    verdict = checker.verify(*as_bytes(replace(by_hand(), certificate=certificate, game=game)))
    assert not verdict.valid  # that the files are others may be said first
    assert verdict.proved == {}


ALL = [[[[True, True], [True, True]]]]
ROWS = [[s, a, a, 1] for s in (0, 1) for a in (0, 1)]
LAYERS = {"deviate": [0, 1]}
BUDGET: dict[str, Any] = {
    "obey": 0,
    "charged": 1,
    "price": 0,
    "mixture": [
        {"weight": "1/2", "departures": [[0, 0, 1, 0]], "value": 0, "cost": 1},
        {"weight": 0.5, "departures": [], "value": 0, "cost": None},
    ],
}
PART = BUDGET["mixture"][0]
CLASSES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "partition": ({"class": "partition", "cells": [[0, 1]]}, {"obey": 0, "deviate": 1}),
    "restricted": ({"class": "restricted", "allowed": [ALL], "inner": {"class": "swap"}}, {"obey": 0, "deviate": 1}),
    "limited": ({"class": "limited", "k": 1, "inner": {"class": "swap"}}, {"obey": 0, "deviate": [0, 1]}),
    "budget": ({"class": "budget", "kappa": 10**6}, BUDGET),
    "finite": ({"class": "finite", "deviations": [{"agent": 0, "rows": ROWS}]}, {"obey": 0, "follow": [0]}),
}
STEPPED_PHI = [[*row, h] for h in (0, 1) for row in ROWS]
BAD_CLASSES: list[tuple[str, Path_, list[Any]]] = [
    ("partition", ("cells",), [*NOT_LISTS, ..., [], [[0, 1], [0, 1]], [[0]], [[0, 1, 0]], [[]], [0, 1]]),
    ("partition", ("cells", 0, 1), [*NOT_INDICES, 2]),
    ("partition", ("inner",), [{"class": "swap"}]),
    ("restricted", ("allowed",), [*NOT_LISTS, ..., [], [ALL, ALL], [[]], [[[]]], [0], [True], [[True]], [[[True]]]]),
    ("restricted", ("allowed", 0, 0), [ALL[0][0][0], [ALL[0][0]] * 3, [[[True] * 3] * 2], [[[True, True]]]]),
    ("restricted", ("allowed", 0, 0, 0, 0, 1), [0, 1, None, "true", 1.0, [], [True]]),
    ("restricted", ("inner",), [*NOT_OBJECTS, ..., {}, {"class": "x"}, {"class": "budget", "kappa": 1}]),
    (
        "restricted",
        ("inner",),
        [{"class": "limited", "k": 1, "inner": {"class": "swap"}}, {"class": "finite", "deviations": []}],
    ),
    ("restricted", ("other",), [0]),
    ("limited", ("k",), [True, None, -1, 1.0, "1", [], 0, 2, 10**30]),
    ("limited", ("inner",), [*NOT_OBJECTS, ..., {}, {"class": "limited", "k": 1, "inner": {"class": "swap"}}]),
    (
        "limited",
        ("inner",),
        [{"class": "budget", "kappa": 1}, {"class": "finite", "deviations": [{"agent": 0, "rows": ROWS}]}],
    ),
    ("limited", ("other",), [0]),
    ("budget", ("kappa",), [*NOT_NUMBERS, ..., -1, "-1/2"]),
    ("budget", ("inner",), [{"class": "swap"}]),
    ("finite", ("deviations",), [*NOT_LISTS, ..., []]),
    ("finite", ("deviations", 0), [*NOT_OBJECTS, {}, {"agent": 0}, {"rows": ROWS}, {"agent": 0, "rows": ROWS, "x": 0}]),
    ("finite", ("deviations", 0, "agent"), [*NOT_INDICES, 1]),
    (
        "finite",
        ("deviations", 0, "rows"),
        [*NOT_LISTS, [], ROWS[1:], ROWS[:3], [*ROWS, ROWS[0]], [*ROWS, [0, 0, 0, 0]]],
    ),
    ("finite", ("deviations", 0, "rows"), [STEPPED_PHI[:4], STEPPED_PHI[:7], [*STEPPED_PHI[:7], STEPPED_PHI[7][:4]]]),
    ("finite", ("deviations", 0, "rows", 0), [*NOT_LISTS, [], [0, 0, 0], [0, 0, 0, 1, 0, 0]]),
    *[("finite", ("deviations", 0, "rows", 3, k), [*NOT_INDICES, 2]) for k in (0, 1, 2)],
    ("finite", ("deviations", 0, "rows", 3, 3), [*NOT_NUMBERS, 0, 0.5, -1, 2, 1 + 1e-8]),
]
BAD_WITNESSES: list[tuple[str, Path_, list[Any]]] = [
    ("partition", ("deviate",), [[1], [0, 1]]),
    ("limited", ("deviate",), [*NOT_LISTS, ..., [], [0], [0, 1, 1], 1]),
    *[("limited", ("deviate", k), [*NOT_INDICES, 2]) for k in (0, 1)],
    ("finite", ("follow",), [*NOT_LISTS, ..., [], [0, 0]]),
    ("finite", ("follow", 0), [*NOT_INDICES, 2]),
    ("finite", ("deviate",), [0]),
    *[("budget", (name,), [*NOT_INDICES, ..., 2]) for name in ("obey", "charged")],
    ("budget", ("price",), [*[x for x in NOT_INDICES if x != 10**30], ..., "1/2", -1]),
    ("budget", ("deviate",), [0]),
    ("budget", ("mixture",), [*NOT_LISTS, ..., [], [PART], [PART] * 3]),
    ("budget", ("mixture", 0), [*NOT_OBJECTS, ..., {}, PART | {"other": 0}]),
    ("budget", ("mixture", 0, "weight"), [*NOT_NUMBERS, ..., 0, 1, "1/3", 0.5000001, "-1/2"]),
    ("budget", ("mixture", 0, "value"), [*NOT_INDICES, ..., 2]),
    ("budget", ("mixture", 0, "cost"), [*NOT_INDICES, ..., 2]),
    ("budget", ("mixture", 1, "cost"), [0, 1, 0.0, ..., False]),
    ("budget", ("mixture", 0, "departures"), [*NOT_LISTS, ..., [[0, 0, 1, 0]] * 2, [[0, 0, 1, 0], [0, 0, 1, 1]]]),
    ("budget", ("mixture", 0, "departures", 0), [*NOT_LISTS, [], [0, 0, 1], [0, 0, 1, 0, 0]]),
    *[("budget", ("mixture", 0, "departures", 0, k), [*NOT_INDICES, 2]) for k in range(4)],
]


def of_class(name: str) -> Files:
    deviations, witness = CLASSES[name]
    return wide(by_hand(expert=False, deviations=deviations, witnesses={"policy": [witness]}))


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_by_hand(name: str) -> None:
    verdict = verify(of_class(name))
    assert verdict.valid, verdict.reason
    problem = truths.read_problem(CLASSES[name][0], GAME, POLICY)
    for key, truth in truths.truth(problem).items():
        assert verdict.proved[key].lower <= truth <= verdict.proved[key].upper


@pytest.mark.parametrize(
    ("name", "path", "values"), BAD_CLASSES, ids=[f"{n}-{p}-{k}" for k, (n, p, _) in enumerate(BAD_CLASSES)]
)
def test_malformed_classes(name: str, path: Path_, values: list[Any]) -> None:
    for value in values:
        files = of_class(name)
        verdict = verify(replace(files, certificate=changed_at(files.certificate, ("deviations", *path), value)))
        assert verdict.reason.startswith("malformed"), (path, value, verdict)
        assert not verdict.valid


@pytest.mark.parametrize(
    ("name", "path", "values"), BAD_WITNESSES, ids=[f"{n}-{p}-{k}" for k, (n, p, _) in enumerate(BAD_WITNESSES)]
)
def test_malformed_witnesses(name: str, path: Path_, values: list[Any]) -> None:
    for value in values:
        files = of_class(name)
        verdict = verify(
            replace(files, certificate=changed_at(files.certificate, ("witnesses", "policy", 0, *path), value))
        )
        assert verdict.reason.startswith("malformed"), (path, value, verdict)
        assert not verdict.valid


def test_obedience_is_allowed_whatever_a_mask_says() -> None:
    never = [[[[[False, False], [False, False]]]]]
    files = by_hand(
        expert=False,
        deviations={"class": "restricted", "allowed": never, "inner": {"class": "swap"}},
        witnesses={"policy": [{"obey": 0, "deviate": 0}]},
        claim={"policy.value.0": ["-23/12"] * 2, "policy.regret": [0, 0]},
    )
    assert verify(files).valid
    override = {"class": "restricted", "allowed": never, "inner": {"class": "external"}}
    assert_malformed(replace(files, certificate=files.certificate | {"deviations": override}))
    limited = {"class": "limited", "k": 1, "inner": override}
    layers = {"policy": [{"obey": 0, "deviate": [0, 0]}]}
    assert_malformed(replace(files, certificate=files.certificate | {"deviations": limited, "witnesses": layers}))


# Text

TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda b: b"",
    "blank": lambda b: b" \n",
    "truncated": lambda b: b[:-1],
    "half": lambda b: b[: len(b) // 2],
    "something behind": lambda b: b + b"{}",
    "a zero byte behind": lambda b: b + b"\x00",
    "twice": lambda b: b + b,
    "list": lambda b: b"[" + b + b"]",
    "null": lambda b: b"null",
    "number": lambda b: b"1",
    "string": lambda b: json.dumps(b.decode()).encode(),
    "single quotes": lambda b: b.replace(b'"', b"'"),
    "comma": lambda b: b[:-1] + b",}",
    "comment": lambda b: b + b"// so",
    "key twice": lambda b: b[:-1] + b', "version": 1}',
    "key twice first": lambda b: b'{"version": 1, ' + b[1:],
    "key twice in other words": lambda b: b[:-1] + rb', "\u0076ersion": 1}',
    "key twice below": lambda b: b[:-1] + b', "x": {"a": 1, "a": 1}}',
    "not UTF-8": lambda b: b.replace(b"mailopt", b"mail\xffpt"),
    "not UTF-8 in a name": lambda b: b[:-1] + b', "x": "\xc3"}',
    "surrogate in UTF-8": lambda b: b[:-1] + b', "x": "\xed\xa0\x80"}',
    "overlong": lambda b: b[:-1] + b', "x": "\xc0\xa2"}',
    "UTF-16": lambda b: b.decode().encode("utf-16"),
    "UTF-16 without a mark": lambda b: b.decode().encode("utf-16-le"),
    "UTF-32": lambda b: b.decode().encode("utf-32"),
    "nested lists": lambda b: b"[" * 10**5,
    "nested and closed": lambda b: b[:-1] + b', "x": ' + b"[" * 10**5 + b"]" * 10**5 + b"}",
    "nested objects": lambda b: b'{"a":' * 10**5,
    "long integer": lambda b: b[:-1] + b', "x": ' + b"9" * 10**5 + b"}",
    "NaN": lambda b: b[:-1] + b', "x": NaN}',
    "control character": lambda b: b[:-1] + b', "x": "\n"}',
}


@pytest.mark.parametrize("change", TEXTS)
@pytest.mark.parametrize("which", range(4))
def test_malformed_text(change: str, which: int) -> None:
    raw = list(as_bytes(by_hand()))
    changed = TEXTS[change](raw[which] or b"")
    raw[which] = changed
    start = time.monotonic()
    verdict = checker.verify(raw[0], raw[1], raw[2], raw[3])
    assert verdict.reason.startswith("malformed") or (which, change) == (3, "null"), verdict
    assert not verdict.valid
    assert verdict.reason.isascii()
    assert verdict.reason.isprintable()
    assert time.monotonic() - start < 30


@pytest.mark.parametrize(
    "inside", ['{"a": 1, "a": 1}', '{"a": 1, "\\u0061": 2}', "NaN", "-Infinity", "9" * 4301, "[1,]", "\t'"]
)
@pytest.mark.parametrize("field", ["shown", "provenance"])
def test_what_is_not_looked_at_has_to_be_json(field: str, inside: str) -> None:
    assert verify(by_hand({field: {"any": [1.5, None, {"thing": True}], "": "\u0000\ud800"}})).valid
    assert_malformed(by_hand({field: {"x": Verbatim(inside)}}))


def test_names_with_strange_characters() -> None:
    """Reasons stay printable, whatever stands in the files."""
    strange = "\u001b[31m\u0000\u202e\ud800\n"
    for content in ({strange: 1}, {"claim": {strange: [0, 1]}}, {"deviations": {"class": strange}}, {"unit": strange}):
        verdict = verify(by_hand(content))
        assert verdict.reason.startswith("malformed")
    for changes in ({strange: 1}, {"initial": [[strange, 1]]}, {"state_names": [strange, strange]}):
        assert_malformed(replace(by_hand(), game=GAME | changes))
    named = replace(by_hand(), game=GAME | {"state_names": [strange, "t"], "agent_names": [strange]})
    assert verify(with_digests(named)).valid
    assert_malformed(replace(named, policy=POLICY | {"rows": [[strange, [0], "1/2"], [1, [1], 1]]}))


ODD_PLACES: list[Path_] = [
    *[("claim",), ("claim", "value_gap"), ("claim", "value_gap", 1), ("unit",), ("tables",), ("tables", 0)],
    *[("deviations",), ("witnesses",), ("witnesses", "policy", 0), ("digests", "game"), ("exact",)],
    *[("states",), ("horizon",), ("initial",), ("initial", 0, 1), ("transitions", 0, 3), ("rewards", 0, 2, 0)],
]


def test_nothing_escapes() -> None:
    loop: list[Any] = []
    loop.append(loop)
    circle: dict[str, Any] = {}
    circle["circle"] = circle
    deep: Any = 0
    for _ in range(10**4):
        deep = [deep]
    odd: list[Any] = [
        None,
        0,
        1.5,
        "",
        "{}",
        [],
        {},
        (),
        object(),
        loop,
        circle,
        deep,
        float("nan"),
        b"\xff",
    ]
    odd += [
        float("inf"),
        -(10**400),
        {1: 2},
        {None: None},
        bytearray(b"{}"),
        memoryview(b"{}"),
        Fraction(1, 3),
        1j,
        print,
    ]
    contents = list(as_bytes(by_hand()))
    for which in range(4):
        for value in odd:
            given: list[Any] = list(contents)
            given[which] = value
            verdict = checker.verify(*given)
            assert not verdict.valid
            assert verdict.reason.isascii()
    for path in ODD_PLACES:
        for value in odd:
            certificate, game = copy.deepcopy((CERTIFICATE, GAME))
            node: Any = certificate if path[0] in certificate else game
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = value
            assert not checker.verify(certificate, game, POLICY, EXPERT).valid, (path, type(value))


def test_parsed_integers_too_long_to_print() -> None:
    for path in ((), ("unit",), ("version",), ("claim", "value_gap")):
        certificate = changed_at(CERTIFICATE, path, 10**5000) if path else 10**5000
        verdict = checker.verify(certificate, GAME, POLICY, EXPERT)
        assert verdict.reason.startswith("malformed")
    for place in ((0, 0), (0, 0, 0)):
        assert not checker.verify(changed_at(CERTIFICATE, ("tables", *place), 10**5000), GAME, POLICY, EXPERT).valid


# Sizes


def test_numbers_without_a_double() -> None:
    """Values beyond all doubles, and claims and bounds of thousands of digits."""
    for reward, unit in (("1" + "0" * 400, "1/1"), ("1/" + "7" * 3999, "1/1"), ("9" * 4000, "1/" + "3" * 4000)):
        game = GAME | {"rewards": [[0, [0], [reward]], [1, [1], [-3]]]}
        for tables in ([OBEY, BEST], [[[int("9" * 4300), -5], [int("8" * 4200), 0]], [0, int("7" * 4300)]]):
            for exact in (True, False):
                files = with_digests(replace(by_hand(exact=exact, unit=unit, tables=tables), game=game))
                verdict = verify(files)
                assert not verdict.valid
                assert not verdict.reason.startswith("malformed"), verdict.reason[:300]
                assert set(verdict.proved) == set(TRUTH)
                truth = truths.truth(
                    truths.read_problem(
                        files.certificate["deviations"], *map(copy.deepcopy, (files.game, files.policy, files.expert))
                    )
                )
                for name, interval in verdict.proved.items():
                    assert interval.lower <= truth[name] <= interval.upper
                again = checker.verify(
                    changed_at(files.certificate, ("claim",), {n: [-(10**4200), 10**4200] for n in TRUTH}),
                    *as_bytes(files)[1:],
                )
                assert not again.reason.startswith("malformed"), again.reason[:300]


HUGE = 10**12
HUGE_GAMES: dict[str, dict[str, Any]] = {
    "states": changed_game(states=HUGE),
    "actions": changed_game(actions=[HUGE]),
    "actions of many": changed_game(actions=[1000] * 1000),
    "agents": changed_game(actions=[1] * 10**5),
    "horizon": changed_game(horizon=HUGE),
    "horizon without a limit": changed_game(horizon=10**4000),
    "states without a limit": changed_game(states=10**4000),
    "actions that are illegal": changed_game(actions=[HUGE], legal=[[0, [[0, 1]]]]),
    "step": changed_game(transitions=[[*entry, HUGE - 1] for entry in TRANSITIONS], horizon=HUGE),
    "reward of a step": changed_game(rewards=[[0, [0], [1], HUGE - 1]], horizon=HUGE),
}


@pytest.mark.parametrize("name", HUGE_GAMES)
def test_huge_games(name: str) -> None:
    with little_time_and_memory():
        start = time.monotonic()
        verdict = verify(replace(by_hand(), game=HUGE_GAMES[name]))
        assert not verdict.valid
        assert time.monotonic() - start < 30
        # once more with the digests of this game, if it can be read
        assert not verify(with_digests(replace(by_hand(), game=HUGE_GAMES[name]))).valid
        assert time.monotonic() - start < 60


def test_huge_steps_and_counts() -> None:
    with little_time_and_memory():
        start = time.monotonic()
        rows = [[*row, HUGE] for row in POLICY["rows"]]
        assert_malformed(replace(by_hand(), game=ENDLESS, policy=POLICY | {"rows": rows}))
        files = of_class("limited")
        endless = with_digests(replace(files, game=ENDLESS))
        for k in (HUGE, 10**4000):
            assert_malformed(replace(files, certificate=changed_at(files.certificate, ("deviations", "k"), k)))
            assert_malformed(replace(endless, certificate=changed_at(endless.certificate, ("deviations", "k"), k)))
        inner: Any = {"class": "swap"}
        for _ in range(10**4):
            inner = {"class": "restricted", "allowed": [None], "inner": inner}
        text = b'{"class": "restricted", "allowed": [null], "inner": ' * 10**4 + b"{}" + b"}" * 10**4
        certificate = as_bytes(by_hand())[0].replace(b'{"class": "swap"}', text)
        assert not checker.verify(certificate, *as_bytes(by_hand())[1:]).valid
        assert time.monotonic() - start < 60


# Command line


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("alone", [True, False])
def test_command_line(alone: bool, tmp_path: Path) -> None:
    command: list[object] = ["-m", "mailopt.certificates.checker"]
    if alone:
        shutil.copy(checker.__file__, tmp_path / "alone.py")
        command = ["-S", "-I", tmp_path / "alone.py"]
    names = ("certificate", "game", "policy", "expert")
    for name, content in zip(names, as_bytes(by_hand()), strict=True):
        assert content is not None
        (tmp_path / f"{name}.json").write_bytes(content)
    paths = [tmp_path / f"{name}.json" for name in names]
    done = run(*command, *paths)
    assert done.returncode == 0, done
    assert done.stdout.isascii()
    narrow, broken = tmp_path / "narrow.json", tmp_path / "broken.json"
    narrow.write_bytes(as_bytes(by_hand(claim={name: [str(v + 1), str(v)] for name, v in TRUTH.items()}))[0])
    assert run(*command, narrow, *paths[1:]).returncode == 1
    broken.write_bytes(as_bytes(by_hand(unit=0))[0])
    assert run(*command, broken, *paths[1:]).returncode == 2
    if not alone:
        return
    assert run(*command, *paths[:3]).returncode == 1
    assert run(*command, paths[0], paths[1], paths[3], paths[3]).returncode == 1
    for content in (b"", b"\xff", b"{", b"[]"):
        broken.write_bytes(content)
        for k in range(4):
            assert run(*command, *[broken if j == k else path for j, path in enumerate(paths)]).returncode == 2
    assert run(*command, *paths[:3], tmp_path / "missing.json").returncode == 2
    assert run(*command, tmp_path, *paths[1:]).returncode == 2
    assert run(*command, paths[0]).returncode == 2
    paths[0].write_bytes(as_bytes(by_hand(expert=False))[0])
    assert run(*command, *paths[:3]).returncode == 0


def test_nothing_is_imported() -> None:
    """The checker needs the standard library alone."""
    code = (
        "import sys; before = set(sys.modules); import runpy; runpy.run_path(sys.argv[1]);"
        "print([m for m in sys.modules if m.split('.')[0] not in sys.stdlib_module_names and m not in before])"
    )
    done = run("-S", "-I", "-c", code, checker.__file__)
    assert done.returncode == 0, done
    assert done.stdout.strip() == "[]"


# What grows beyond the files is refused


def one_state(**changed: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A discounted game of one state and one action, and its policy."""
    header = {"format": "mailopt.game", "version": 1, "actions": [1], "states": 1, "discount": "1/2"}
    game = header | {"initial": [[0, 1]], "transitions": [[0, [0], 0, 1]]} | changed
    return game, {"format": "mailopt.policy", "version": 1, "rows": [[0, [0], 1]]}


@pytest.mark.parametrize(
    "changed",
    [
        {"actions": [10**4000, 10**4000]},
        {"actions": [10**4200, 10**4200], "legal": [[0, [[0], [10**4100]]]], "transitions": [[0, [0, 10**4100], 0, 1]]},
        {"states": 10**12},
        {"initial": [[0, 1], *([s, f"1/{10**3999 + 2 * s + 1}"] for s in range(1, 60))], "states": 60},
    ],
    ids=["actions", "legal", "states", "denominators"],
)
def test_numbers_beyond_the_limits(changed: dict[str, Any]) -> None:
    game, policy = one_state(**changed)
    verdict = checker.verify(b"{}", json.dumps(game).encode(), json.dumps(policy).encode())
    assert verdict.reason.startswith("malformed")


def test_departures_and_discounts_beyond_the_limits() -> None:
    game, policy = one_state()
    loaded = mo.MarkovGame(np.zeros((1, 1), dtype=int), np.zeros((1, 1, 1)), [1.0], (1,), discount=0.5)
    certificate = dict(mo.certify(loaded, mo.CorrelatedPolicy([[1.0]])).content)
    assert checker.verify(certificate, game, policy).valid
    endless = certificate | {"deviations": {"class": "limited", "k": 10**4300 - 1, "inner": {"class": "swap"}}}
    assert checker.verify(endless, game, policy).reason.startswith("malformed")
    large = certificate | {"tables": [[0] * 10**4]}
    wide, same = one_state(states=10**4, transitions=[[s, [0], 0, 1] for s in range(10**4)])
    assert not checker.verify(large, wide, same | {"rows": [[s, [0], 1] for s in range(10**4)]}).valid


def test_long_fractions_are_printed(tmp_path: Path) -> None:
    """After hundreds of stages a discounted bound has thousands of digits."""
    game = mo.MarkovGame(np.zeros((1, 2), dtype=int), [[[0.1, 0.7]]], [1.0], (2,), discount=0.99)
    policy = mo.CorrelatedPolicy(np.tile([[0.3, 0.7]], (400, 1, 1)))
    paths = [tmp_path / f"{name}.json" for name in ("certificate", "game", "policy")]
    mo.certify(game, policy).save(paths[0])
    game.save(paths[1])
    policy.save(paths[2], game)
    done = run("-m", "mailopt.certificates.checker", *paths)
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[-1].startswith("PROVED")


def test_a_policy_of_equal_steps_is_not_the_stationary_one() -> None:
    """They are the same play, and their certificates have tables of different lengths."""
    game = mo.MarkovGame(np.zeros((1, 2), dtype=int), [[[0.0, 1.0]]], [1.0], (2,), discount=0.5)
    stationary, stepped = mo.CorrelatedPolicy([[0.5, 0.5]]), mo.CorrelatedPolicy([[[0.5, 0.5]]] * 3)
    assert "not the policy" in mo.verify(mo.certify(game, stationary), game, stepped).reason
