"""JSON files by hand, and rejection of everything that is not what it should be."""

from __future__ import annotations

import copy
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mailopt as mo
from mailopt.errors import (
    GameDistribution,
    GameNumber,
    GameShape,
    GameTooLarge,
    IllegalAction,
    InvalidFile,
    InvalidHorizon,
    MailoptError,
    MalformedFile,
    MissingTransition,
    PolicyDistribution,
    PolicyNumber,
    UnsupportedVersion,
)
from tests.games.file_cases import (
    DISCOUNTED,
    DOCUMENT,
    GAMES,
    HUGE,
    NAMES,
    ONE_STATE,
    STEPS,
    SUFFIXES,
    THIRD,
    assert_same_game,
    document,
    exact_rows,
    little_time_and_memory,
    load,
    load_rows,
    make,
    partly_legal,
    write,
)


def test_game_by_hand(tmp_path: Path) -> None:
    game = load(tmp_path, document())
    assert (game.actions, game.num_states, game.horizon, game.discount) == ((2, 1), 2, 2, None)
    assert game.initial.tolist() == [1.0, 0.0]
    rows = [[0, 1], [1 / 3, 2 / 3], [0, 1], [0, 1]]
    assert game.kernel(0).stored_rows().toarray().tolist() == rows
    assert dict(game.kernel(0).exact) == {(0, 1, 0): THIRD, (0, 1, 1): 1 - THIRD}
    assert game.rewards.tolist() == [[[0, 1], [0, 0]], [[0, -2], [0, 0]]]
    assert game.joint_legal.all()


def test_game_by_hand_with_names(tmp_path: Path) -> None:
    named = document(
        **NAMES,
        initial=[["s", 1]],
        transitions=[
            ["s", ["x", "z"], "t", 1],
            ["s", ["y", 0], 0, "1/3"],
            [0, [1, "z"], "t", "2/3"],
            ["t", [0, 0], "t", 1],
            ["t", ["y", "z"], 1, 1],
        ],
        rewards=[["s", ["y", "z"], [1, -2]]],
    )
    game = load(tmp_path, named)
    assert_same_game(game, load(tmp_path, document(**NAMES)))
    policy = load_rows(tmp_path, [["s", ["y", 0], "1/3"], [0, ["x", "z"], "2/3"], ["t", [1, 0], 1]], game)
    assert policy.probabilities.tolist() == [[2 / 3, 1 / 3], [0, 1]]
    assert dict(policy.exact) == {(0, 0): 1 - THIRD, (0, 1): THIRD}


def test_a_name_that_looks_like_an_index_is_a_name(tmp_path: Path) -> None:
    game = load(tmp_path, document(state_names=["1", "0"], initial=[["0", 1]]))
    assert game.initial.tolist() == [0.0, 1.0]


def test_game_by_hand_with_steps(tmp_path: Path) -> None:
    steps = [*DOCUMENT["transitions"]]
    steps = [[*e, 0] for e in steps] + [[s, [a, 0], 0, 1, 1] for s in (0, 1) for a in (0, 1)]
    game = load(tmp_path, document(transitions=steps, rewards=[[0, [1, 0], [1, -2], 1], [1, [0, 0], ["1/3", 0], 0]]))
    assert len(game.kernels) == 2
    assert game.kernel(0).stored_rows().toarray().tolist() == [[0, 1], [1 / 3, 2 / 3], [0, 1], [0, 1]]
    assert game.kernel(1).stored_rows().toarray().tolist() == [[1, 0]] * 4
    assert game.rewards.shape == (2, 2, 2, 2)
    assert {k: float(game.rewards[k]) for k in map(tuple, np.argwhere(game.rewards).tolist())} == {
        (0, 0, 1, 0): 1 / 3,
        (1, 0, 0, 1): 1.0,
        (1, 1, 0, 1): -2.0,
    }
    assert dict(game.exact_rewards) == {(0, 0, 1, 0): THIRD}


def test_game_by_hand_with_an_exact_discount(tmp_path: Path) -> None:
    game = load(tmp_path, document(**DISCOUNTED))
    assert (game.horizon, game.discount, game.exact_discount) == (None, 0.9, Fraction(9, 10))
    policy = load_rows(tmp_path, [[s, [s * h, 0], 1, h] for s in (0, 1) for h in (0, 1)], game)
    assert policy.num_steps == 2
    assert policy.probabilities.tolist() == [[[1, 0], [1, 0]], [[1, 0], [0, 1]]]


def test_game_by_hand_with_legal_actions(tmp_path: Path) -> None:
    rows = [entry for entry in DOCUMENT["transitions"] if entry[:2] != [1, [1, 0]]]
    game = load(tmp_path, document(transitions=rows, legal=[[1, [[0], [0]]]]))
    assert game.legal[0].tolist() == [[True, True], [True, False]]
    assert game.joint_legal.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize(
    ("given", "exact"),
    [
        (3, Fraction(3)),
        (2**60 + 1, Fraction(2**60 + 1)),
        (0.1, Fraction(0.1)),
        ("1/3", THIRD),
        ("-2/6", -THIRD),
        ("007", Fraction(7)),
        ("-0", Fraction(0)),
        (1e-5, Fraction(1e-5)),
    ],
    ids=repr,
)
def test_numbers_are_read_exactly(given: Any, exact: Fraction, tmp_path: Path) -> None:
    game = load(tmp_path, document(rewards=[[1, [0, 0], [0, given]]]))
    assert game.rewards[1, 1, 0] == float(exact)
    assert game.exact_rewards.get((1, 1, 0), Fraction(float(game.rewards[1, 1, 0]))) == exact


def test_missing_rewards_are_zero(tmp_path: Path) -> None:
    assert not load(tmp_path, document(rewards=[])).rewards.any()


# Malformed JSON


def entry(section: str, position: int, item: int, value: Any) -> dict[str, Any]:
    """A change to one item of one entry."""
    rows = copy.deepcopy(DOCUMENT[section])
    rows[position][item] = value
    return {section: rows}


def extra(section: str, *added: Any) -> dict[str, Any]:
    return {section: [*DOCUMENT[section], *added]}


NOT_NUMBERS: list[Any] = [
    True,
    False,
    None,
    [],
    [1],
    {},
    "",
    "1_0",
    "１/3",
    "٣",
    "1/0",
    " 1/3",
    "1/3 ",
    "1/3\n",
    "1 /3",
    "1/-3",
]
NOT_NUMBERS += ["+1", "1.5", "1e3", "nan", "inf", "0x1", "1//3", "1/", "/3", "--1", "1" * 5000, "1/" + "3" * 5000, "½"]
NOT_INTEGERS = [True, 1.0, "1", None, [1], {}, -1, 0]
NOT_STATES: list[Any] = [2, -1, 0.0, True, None, "s", [0], {}, 10**30]
NOT_JOINT: list[Any] = [
    0,
    [0],
    [0, 0, 0],
    [2, 0],
    [0, -1],
    [0.0, 0],
    [True, 0],
    ["x", 0],
    [[0], 0],
    None,
    {},
    "00",
    [10**30, 0],
]
NOT_LISTS: list[Any] = [None, {}, "", 1, True]
NOT_STEPS = [2, -1, True, 0.0, "0", None, [0], 10**30]


def short(value: object) -> str:
    return repr(value) if len(repr(value)) < 20 else repr(value)[:9] + ".." + str(len(repr(value)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *[
            pytest.param(entry(section, 0, item, bad), f"{section}, entry 0", id=f"{section}-{short(bad)}")
            for section, item, values in (
                ("initial", 1, NOT_NUMBERS),
                ("initial", 0, NOT_STATES),
                ("transitions", 3, NOT_NUMBERS),
                ("transitions", 0, NOT_STATES),
                ("transitions", 2, NOT_STATES),
                ("transitions", 1, NOT_JOINT),
                ("rewards", 0, NOT_STATES),
                ("rewards", 1, NOT_JOINT),
                ("rewards", 2, [*NOT_LISTS, [], [1], [1, 2, 3]]),
            )
            for bad in values
        ],
        *[
            pytest.param(entry("rewards", 0, 2, [1, bad]), "rewards, entry 0", id=f"reward-{short(bad)}")
            for bad in NOT_NUMBERS
        ],
        *[pytest.param(DISCOUNTED | {"discount": bad}, "discount", id=f"discount-{short(bad)}") for bad in NOT_NUMBERS],
        *[
            pytest.param({field: bad}, field, id=f"{field}-{short(bad)}")
            for field in ("states", "horizon")
            for bad in NOT_INTEGERS
        ],
        *[
            pytest.param({"actions": bad}, "actions", id=f"actions-{short(bad)}")
            for bad in ([*NOT_LISTS, [], [2, 0], [2, -1], [2, True], [2, 1.0], [2, "1"], [[2], 1], [2, None]])
        ],
        *[
            pytest.param({field: bad}, field, id=f"{field}-{short(bad)}")
            for field in ("initial", "transitions", "rewards", "legal")
            for bad in NOT_LISTS
        ],
        *[
            pytest.param(
                {field: [*DOCUMENT.get(field, []), bad]}, rf"{field}, entry \d", id=f"{field}-entry-{short(bad)}"
            )
            for field in ("initial", "transitions", "rewards", "legal")
            for bad in (*NOT_LISTS, [], [0], [0] * 6)
        ],
        *[
            pytest.param({field: bad}, field, id=f"{field}-{short(bad)}")
            for field in ("state_names", "agent_names", "action_names")
            for bad in (*NOT_LISTS, [1, 2], [None, None], ["a", 1], [["a", "b"], 1], [["a", "b"], [1]])
        ],
        *[
            pytest.param({field: ...}, field, id=f"no-{field}")
            for field in ("format", "version", "actions", "states", "initial", "transitions")
        ],
        *[
            pytest.param(
                {"transitions": [*STEPS[:-1], [*STEPS[-1][:4], bad]]}, "entry 9.*step", id=f"step-{short(bad)}"
            )
            for bad in NOT_STEPS
        ],
        *[
            pytest.param(extra("rewards", [1, [0, 0], [1, 1], bad]), "entry 1.*step", id=f"reward-step-{short(bad)}")
            for bad in NOT_STEPS
        ],
        *[
            pytest.param({"legal": [[0, bad]]}, "legal, entry 0", id=f"legal-lists-{short(bad)}")
            for bad in (
                *NOT_LISTS,
                [],
                [[0]],
                [[0], [0], [0]],
                [[2], [0]],
                [[-1], [0]],
                [[True], [0]],
                [["x"], [0]],
                [0, 0],
            )
        ],
        *[
            pytest.param({"legal": [[bad, [[0], [0]]]]}, "legal, entry 0", id=f"legal-{short(bad)}")
            for bad in NOT_STATES
        ],
        pytest.param({"unknown": 1}, "unknown field 'unknown'", id="unknown-field"),
        pytest.param({"Rewards": []}, "unknown field 'Rewards'", id="capital"),
        pytest.param(extra("initial", [0, 1]), "initial, entry 1.*twice", id="initial-twice"),
        pytest.param({"initial": [[0, 0], [0, 1]]}, "initial, entry 1.*twice", id="initial-twice-first-zero"),
        pytest.param(extra("transitions", [0, [1, 0], 0, "1/3"]), "entry 5.*twice", id="transition-twice"),
        pytest.param(extra("transitions", [0, [1, 0], 0, 0]), "entry 5.*twice", id="transition-twice-zero"),
        pytest.param(
            NAMES | extra("transitions", ["s", ["y", "z"], "s", "1/3"]), "entry 5.*twice", id="transition-twice-by-name"
        ),
        pytest.param({"transitions": [*STEPS, STEPS[0]]}, "entry 10.*twice", id="transition-twice-at-a-step"),
        pytest.param(extra("rewards", [0, [1, 0], [0, 0]]), "rewards, entry 1.*twice", id="reward-twice"),
        pytest.param(
            {"rewards": [[0, [1, 0], [0, 0]], [0, [1, 0], [0, 0]]]}, "rewards, entry 1.*twice", id="zero-reward-twice"
        ),
        pytest.param({"legal": [[0, [[0], [0]]]] * 2}, "legal, entry 1", id="legal-state-twice"),
        pytest.param({"legal": [[0, [[0, 0], [0]]]]}, "legal, entry 0.*twice", id="legal-action-twice"),
        pytest.param({"transitions": [*STEPS[:-1], STEPS[-1][:4]]}, "transitions.*step", id="transitions-mixed"),
        pytest.param(extra("rewards", [1, [0, 0], [1, 1], 1]), "rewards.*step", id="rewards-mixed"),
        pytest.param(NAMES | entry("transitions", 0, 2, "u"), "transitions, entry 0.*'u'", id="unknown-state-name"),
        pytest.param(
            NAMES | entry("transitions", 0, 1, ["z", "z"]), "entry 0.*agent 0 is 'z'", id="action-of-other-agent"
        ),
    ],
)
def test_malformed_game(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedFile, match=message):
        load(tmp_path, document(**changes))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"horizon": ...}, InvalidHorizon, "neither", id="neither-horizon-nor-discount"),
        pytest.param({"discount": "9/10"}, InvalidHorizon, "both", id="both"),
        pytest.param(DISCOUNTED | {"discount": 1}, InvalidHorizon, "discount is 1", id="discount-1"),
        pytest.param(DISCOUNTED | {"discount": "10/9"}, InvalidHorizon, "10/9", id="discount-10/9"),
        pytest.param(DISCOUNTED | {"discount": "-1/2"}, InvalidHorizon, "-1/2", id="discount-negative"),
        pytest.param({"initial": []}, GameDistribution, "initial", id="no-initial"),
        pytest.param({"initial": [[0, "1/3"], [1, "1/3"]]}, GameDistribution, "initial", id="initial-sum"),
        pytest.param({"initial": [[0, 2], [1, -1]]}, GameNumber, "initial.*state 1", id="initial-negative"),
        pytest.param(entry("transitions", 2, 3, "1/3"), GameDistribution, r"state 0, joint action \(1, 0\)", id="row"),
        pytest.param(
            {"transitions": [*DOCUMENT["transitions"][:3], [1, [0, 0], 0, -1], [1, [0, 0], 1, 2], [1, [1, 0], 1, 1]]},
            GameNumber,
            "state 1, joint action",
            id="negative",
        ),
        pytest.param({"transitions": []}, MissingTransition, "transition", id="no-transitions"),
        pytest.param(
            {"transitions": DOCUMENT["transitions"][:4]},
            MissingTransition,
            r"state 1, joint action \(1, 0\)",
            id="transition-missing",
        ),
        pytest.param(
            entry("transitions", 4, 3, 0), MissingTransition, r"state 1, joint action \(1, 0\)", id="zero-row"
        ),
        pytest.param({"transitions": STEPS[:5]}, MissingTransition, "step 1", id="step-missing"),
        pytest.param(
            {"transitions": STEPS[:9]}, MissingTransition, r"step 1, state 1, .*\(1, 0\)", id="missing-at-step"
        ),
        pytest.param({"legal": [[1, [[], [0]]]]}, GameShape, "agent 0.*state 1", id="no-legal-action"),
        pytest.param({"legal": [[1, [[0], []]]]}, GameShape, "agent 1.*state 1", id="no-legal-action-of-last"),
        pytest.param({"state_names": ["s"]}, GameShape, "state names", id="state-names-too-few"),
        pytest.param({"state_names": ["s", "t", "u"]}, GameShape, "state names", id="state-names-too-many"),
        pytest.param({"state_names": ["s", "s"]}, GameShape, "state names", id="state-names-twice"),
        pytest.param(
            {"state_names": ["s", "t", "u"], "initial": [["u", 1]]}, MailoptError, "state", id="name-beyond-the-states"
        ),
        pytest.param(
            {"state_names": ["s", "t", "u"]} | entry("transitions", 0, 2, "u"),
            MailoptError,
            "state",
            id="successor-beyond-the-states",
        ),
        pytest.param(
            {"state_names": ["s", "t", "u"]} | entry("rewards", 0, 0, "u"),
            MailoptError,
            "state",
            id="reward-beyond-the-states",
        ),
        pytest.param({"agent_names": ["u"]}, GameShape, "agent names", id="agent-names-too-few"),
        pytest.param({"action_names": [["x", "y"]]}, GameShape, "action names", id="action-names-of-one-agent"),
        pytest.param({"action_names": [["x", "y"], []]}, GameShape, "action names", id="action-names-too-few"),
        pytest.param(
            {"action_names": [["x", "y", "w"], ["z"]]} | entry("transitions", 4, 1, ["w", 0]),
            MailoptError,
            "action",
            id="name-beyond-the-actions",
        ),
        pytest.param(
            {"action_names": [["x", "y", "w"], ["z"]], "legal": [[0, [["w"], [0]]]]},
            MailoptError,
            "action",
            id="legal-name-beyond-the-actions",
        ),
        pytest.param(entry("rewards", 0, 2, [1, 10**400]), GameNumber, "rewards, entry 0", id="reward-too-large"),
        pytest.param(entry("rewards", 0, 2, [1, "1" * 4000]), GameNumber, "rewards, entry 0", id="reward-string-large"),
        pytest.param(entry("rewards", 0, 2, [1, "1/" + "3" * 4000]), GameNumber, "rewards, entry 0", id="reward-small"),
        pytest.param(entry("initial", 0, 1, "1" * 4000), GameNumber, "initial", id="initial-too-large"),
        pytest.param(entry("transitions", 0, 3, 10**400), GameNumber, "state 0, joint action", id="row-too-large"),
        pytest.param(DISCOUNTED | {"discount": "1/" + "3" * 4000}, GameNumber, "discount", id="discount-too-small"),
        pytest.param(DISCOUNTED | {"transitions": STEPS}, MailoptError, "step", id="discount-and-steps"),
        pytest.param(
            DISCOUNTED | {"rewards": [[0, [0, 0], [1, 1], 0]]}, MailoptError, "step", id="discount-and-reward-step"
        ),
        pytest.param(
            DISCOUNTED | {"rewards": [[0, [0, 0], [1, 1], 10**12]]},
            MailoptError,
            "",
            id="discount-and-late-reward-step",
        ),
        pytest.param({"format": "mailopt.policy"}, InvalidFile, "'mailopt.policy'.*'mailopt.game'", id="format"),
        pytest.param({"format": None}, InvalidFile, "format", id="format-null"),
        pytest.param({"format": ["mailopt.game"]}, InvalidFile, "format", id="format-list"),
        *[
            pytest.param({"version": version}, UnsupportedVersion, f"version {version}", id=f"version-{version}")
            for version in (0, 2, -1, 10**30)
        ],
        *[
            pytest.param({"version": version}, InvalidFile, "version", id=f"version-{version!r}")
            for version in (True, 1.0, "1", None, [1])
        ],
        pytest.param({"version": 2, "states": {}, "new": 1}, UnsupportedVersion, "version 2", id="version-first"),
    ],
)
def test_wrong_game(changes: dict[str, Any], error: type[MailoptError], message: str, tmp_path: Path) -> None:
    with pytest.raises(MailoptError) as caught:
        load(tmp_path, document(**changes))
    assert isinstance(caught.value, error)
    caught.match(message or ".")


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        pytest.param('"states": 2', '"states": 2, "states": 2', MalformedFile, "'states'.*twice", id="field-twice"),
        pytest.param('"version": 1', '"version": 1, "version": 2', MalformedFile, "'version'", id="version-twice"),
        pytest.param('"states": 2', '"states": {"a": 1, "a": 1}', MalformedFile, "'a'.*twice", id="inner-key-twice"),
        pytest.param("[1, -2]", "[1, NaN]", MalformedFile, "NaN", id="nan"),
        pytest.param("[1, -2]", "[1, Infinity]", MalformedFile, "Infinity", id="infinity"),
        pytest.param("[1, -2]", "[1, -Infinity]", MalformedFile, "-Infinity", id="minus-infinity"),
        pytest.param("[1, -2]", "[1, 1e999]", MailoptError, "rewards, entry 0", id="1e999"),
        pytest.param("[1, -2]", "[1, -1e999]", MailoptError, "rewards, entry 0", id="-1e999"),
        pytest.param("[[0, 1]]", "[[0, 1e999]]", MailoptError, "initial", id="initial-1e999"),
        pytest.param("1, 1]]", "1, 1e999]]", MailoptError, "transitions", id="transition-1e999"),
        pytest.param('"horizon": 2', '"discount": 1e999', MailoptError, "discount", id="discount-1e999"),
        pytest.param('"horizon": 2', '"horizon": 1e999', MalformedFile, "horizon", id="horizon-1e999"),
        pytest.param('"horizon": 2', '"horizon": 2e0', MalformedFile, "horizon", id="horizon-2e0"),
        pytest.param("[1, -2]", "[1, " + "1" * 5000 + "]", MalformedFile, "", id="integer-of-5000-digits"),
        pytest.param("[1, -2]", "[1, 0" + "1" * 9 + "]", MalformedFile, "", id="leading-zero"),
        pytest.param("[1, -2]", "[1, -2,]", MalformedFile, "", id="trailing-comma"),
        pytest.param("[1, -2]", "[1, '2']", MalformedFile, "", id="single-quotes"),
        pytest.param('"format"', '/* */ "format"', MalformedFile, "", id="comment"),
        pytest.param('"format"', "'format'", MalformedFile, "", id="single-quoted-field"),
        pytest.param("}", "} {}", MalformedFile, "", id="two-documents"),
        pytest.param("}", "}\0", MalformedFile, "", id="nul"),
        pytest.param("{", "\ufeff{", MalformedFile, "", id="byte-order-mark"),
    ],
)
def test_malformed_text(old: str, new: str, error: type[MailoptError], message: str, tmp_path: Path) -> None:
    text = json.dumps(document())
    assert old in text
    with pytest.raises(error) as caught:
        load(tmp_path, text.replace(old, new, 1))
    caught.match(message or ".")


@pytest.mark.parametrize("content", ["", " ", "[]", "1", "null", '"mailopt.game"', "true", "{}", "nan", "\0"], ids=repr)
def test_other_json(content: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedFile):
        load(tmp_path, content)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe{\x00}\x00", b"\x80", b"PK\x03\x04", b"\x93NUMPY\x01\x00", bytes(range(256))], ids=repr
)
def test_bytes_that_are_no_text(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "game.json").write_bytes(content)
    with pytest.raises(MalformedFile):
        mo.load_game(tmp_path / "game.json")


@pytest.mark.parametrize("what", ["game", "policy"])
def test_truncated_json(what: str, tmp_path: Path) -> None:
    game = make(exact_rows(), actions=(4,))
    whole = tmp_path / "whole.json"
    if what == "game":
        game.save(whole)
    else:
        mo.CorrelatedPolicy.uniform(game).save(whole, game)
    content, path = whole.read_bytes().rstrip(), tmp_path / "part.json"
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(MalformedFile):
            mo.load_game(path) if what == "game" else mo.load_policy(path, game)


@pytest.mark.parametrize("position", ["field", "entry", "states", "format", "name", "number"])
def test_deep_nesting(position: str, tmp_path: Path) -> None:
    """At any depth, also just below the one where the parser gives up."""
    limit = sys.getrecursionlimit()
    templates: dict[str, dict[str, Any]] = {
        "field": {"unknown": "DEEP"},
        "entry": {"transitions": [[0, "DEEP", 0, 1]] * 4},
        "states": {"states": "DEEP"},
        "format": {"format": "DEEP"},
        "name": {"initial": [["DEEP", 1]]},
        "number": {"rewards": [[0, [0, 0], [0, "DEEP"]]]},
    }
    text = json.dumps(document(**templates[position]))
    for depth in (2, 10, 100, *range(max(200, limit - 400), limit + 20, 3), 10 * limit, 200_000):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            inner = opening * depth + "1" + closing * depth
            with pytest.raises(InvalidFile):
                load(tmp_path, text.replace('"DEEP"', inner))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"states": HUGE}, MailoptError, id="states"),
        pytest.param({"states": 10**400}, MailoptError, id="states-of-400-digits"),
        pytest.param({"actions": [10**6, 10**6]}, MailoptError, id="actions"),
        pytest.param(
            ONE_STATE | {"actions": [10**9] * 50, "transitions": [[0, [0] * 50, 0, 1]]}, MailoptError, id="fifty-agents"
        ),
        pytest.param(
            ONE_STATE | {"actions": [16000, 16000], "transitions": [[0, [0, 0], 0, 1]]}, MailoptError, id="2^28"
        ),
        pytest.param(ONE_STATE | {"actions": [2**28], "transitions": [[0, [0], 0, 1]]}, MailoptError, id="one-agent"),
        pytest.param(
            ONE_STATE | {"states": 2**15, "transitions": [[0, [0], k, 2.0**-15] for k in range(2**15)]},
            MailoptError,
            id="many-states-from-one",
        ),
        pytest.param({"horizon": HUGE, "rewards": [[0, [0, 0], [1, 1], 0]]}, GameTooLarge, id="horizon-reward-at-step"),
        pytest.param({"horizon": HUGE, "transitions": STEPS}, MissingTransition, id="horizon-transitions-at-steps"),
        pytest.param(
            {"horizon": HUGE, "transitions": [[*row[:4], HUGE - 1] for row in STEPS[:5]]},
            MissingTransition,
            id="horizon-transitions-at-the-last-step",
        ),
    ],
)
def test_absurd_sizes_fail_fast(changes: dict[str, Any], error: type[MailoptError], tmp_path: Path) -> None:
    path = write(tmp_path / "game.json", document(**changes))
    with little_time_and_memory(), pytest.raises(error):
        mo.load_game(path)


def test_absurd_step_of_a_policy(tmp_path: Path) -> None:
    discounted, long = load(tmp_path, document(**DISCOUNTED)), load(tmp_path, document(horizon=HUGE))
    for game in (discounted, long):
        with little_time_and_memory(), pytest.raises(MailoptError):
            load_rows(tmp_path, [[0, [0, 0], 1, HUGE - 1]], game)


# Malformed policies

POLICY_ROWS: list[Any] = [[0, [0, 0], 1], [1, [1, 0], "1/3"], [1, [0, 0], "2/3"]]
STEP_ROWS: list[Any] = [[*row, step] for step in (0, 1) for row in POLICY_ROWS]


def changed(position: int, item: int, value: Any) -> list[Any]:
    rows = copy.deepcopy(POLICY_ROWS)
    rows[position][item] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        *[
            pytest.param(changed(1, item, bad), MalformedFile, "rows, entry 1", id=f"{name}-{short(bad)}")
            for name, item, values in (("p", 2, NOT_NUMBERS), ("state", 0, NOT_STATES), ("joint", 1, NOT_JOINT))
            for bad in values
        ],
        *[
            pytest.param(
                [*STEP_ROWS[:-1], [*STEP_ROWS[-1][:3], bad]], MalformedFile, "entry 5.*step", id=f"step-{bad!r}"
            )
            for bad in NOT_STEPS
        ],
        *[pytest.param(bad, MalformedFile, "rows", id=f"rows-{short(bad)}") for bad in NOT_LISTS],
        *[
            pytest.param([*POLICY_ROWS, bad], MalformedFile, "rows, entry 3", id=f"entry-{short(bad)}")
            for bad in (*NOT_LISTS, [], [0], [0] * 5)
        ],
        pytest.param([*POLICY_ROWS, POLICY_ROWS[0]], MalformedFile, "entry 3.*twice", id="twice"),
        pytest.param([[0, [0, 0], 0], *POLICY_ROWS], MalformedFile, "entry 1.*twice", id="twice-first-zero"),
        pytest.param([*STEP_ROWS, STEP_ROWS[0]], MalformedFile, "entry 6.*twice", id="twice-at-step"),
        pytest.param([*STEP_ROWS[:-1], STEP_ROWS[-1][:3]], MalformedFile, "rows.*step", id="mixed"),
        pytest.param([], PolicyDistribution, "state 0", id="empty"),
        pytest.param(POLICY_ROWS[1:], PolicyDistribution, "state 0", id="row-missing"),
        pytest.param(STEP_ROWS[:-1], PolicyDistribution, "step 1, state 1", id="row-at-step-short"),
        pytest.param(STEP_ROWS[:3], PolicyDistribution, "step 1, state 0", id="step-missing"),
        pytest.param(changed(1, 2, "1/2"), PolicyDistribution, "state 1", id="sum"),
        pytest.param(changed(1, 2, 0.33333), PolicyDistribution, "state 1", id="sum-rounded"),
        pytest.param(
            [*POLICY_ROWS[:1], [1, [0, 0], -1], [1, [1, 0], 2]], PolicyNumber, "state 1, joint action 0", id="negative"
        ),
        pytest.param(changed(1, 2, 10**400), PolicyNumber, "state 1|entry 1", id="too-large"),
        pytest.param(changed(1, 2, "1/" + "3" * 4000), PolicyNumber, "state 1|entry 1", id="too-small"),
    ],
)
def test_wrong_policy(rows: Any, error: type[MailoptError], message: str, tmp_path: Path) -> None:
    game = load(tmp_path, document())
    with pytest.raises(error, match=message):
        load_rows(tmp_path, rows, game)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        pytest.param({"extra": 1}, MalformedFile, "'extra'", id="unknown-field"),
        pytest.param({"format": "mailopt.game"}, InvalidFile, "format", id="format"),
        pytest.param({"version": 2}, UnsupportedVersion, "version 2", id="version"),
        pytest.param({"rows": None}, MalformedFile, "rows", id="rows-null"),
    ],
)
def test_wrong_policy_fields(changes: dict[str, Any], error: type[MailoptError], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        load_rows(tmp_path, POLICY_ROWS, load(tmp_path, document()), changes)


def test_steps_of_a_discounted_policy_have_no_hole(tmp_path: Path) -> None:
    game = load(tmp_path, document(**DISCOUNTED))
    with pytest.raises(PolicyDistribution, match="step 1, state 0"):
        load_rows(tmp_path, [[*row, step] for step in (0, 2) for row in POLICY_ROWS], game)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_policy_of_another_game(suffix: str, tmp_path: Path) -> None:
    game, other = partly_legal(), GAMES["dense"]()
    path = tmp_path / f"policy{suffix}"
    mo.CorrelatedPolicy.uniform(other).save(path, other)
    with pytest.raises(IllegalAction, match=r"state 0.*\(1, 0\)"):
        mo.load_policy(path, game)
    with pytest.raises(MailoptError):
        mo.load_policy(path, mo.scenarios.chicken())
    with pytest.raises(InvalidFile, match="format"):
        mo.load_game(path)
    game.save(path)
    with pytest.raises(InvalidFile, match="format"):
        mo.load_policy(path, game)
