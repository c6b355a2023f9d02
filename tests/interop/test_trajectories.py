"""Episodes of imitation and Minari as demonstrations."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

import mailopt as mo
from mailopt import errors
from mailopt.interop.pettingzoo import UnrolledEnvironment, unroll
from mailopt.interop.trajectories import from_imitation, from_minari
from tests.interop.environments import Corridor


def corridor(**options: Any) -> UnrolledEnvironment:
    return unroll(Corridor(limit=4), seeds=(0,), **options)


def recorded(unrolled: UnrolledEnvironment, episodes: int) -> tuple[mo.Demonstrations, list[Any]]:
    """Demonstrations, and the same episodes as they would be recorded: observations, actions, whether they ended."""
    game = unrolled.game
    shown = unrolled.play_outs(mo.CorrelatedPolicy.uniform(game), episodes, seed=0)
    assert shown.trajectories is not None
    features, end = unrolled.features(), game.num_states - 1
    kept = []
    for states, joint in zip(shown.trajectories.states, shown.trajectories.joint_actions, strict=True):
        length = int(np.argmax(states == end)) if (states == end).any() else len(states)
        seen = [*features[states[:length]], np.full(features.shape[1], 9.0)]  # 9: over
        actions = [list(game.joint_action(int(a))) for a in joint[:length]]
        kept.append((np.array(seen), np.array(actions), length < len(states)))
    return shown, kept


def state_of(unrolled: UnrolledEnvironment) -> Any:
    depths = [int(name.split(":")[0]) for name in (unrolled.game.state_names or ())[:-1]]
    known = {(d, *row): s for s, (d, row) in enumerate(zip(depths, unrolled.features().tolist(), strict=False))}
    return lambda seen, step: known[(step, *seen)] if seen[0] < 9 else unrolled.game.num_states - 1


def same(one: mo.Demonstrations, other: mo.Demonstrations) -> None:
    assert one.trajectories is not None
    assert other.trajectories is not None
    np.testing.assert_array_equal(one.trajectories.states, other.trajectories.states)
    np.testing.assert_array_equal(one.trajectories.joint_actions, other.trajectories.joint_actions)


def test_imitation() -> None:
    unrolled = corridor()
    shown, kept = recorded(unrolled, 40)
    assert {ended for *_, ended in kept} == {True, False}
    trajectories = [SimpleNamespace(obs=seen, acts=acts, infos=None, terminal=ended) for seen, acts, ended in kept]
    same(from_imitation(unrolled.game, trajectories, state_of(unrolled)), shown)
    flat = [
        SimpleNamespace(obs=t.obs, acts=np.array([unrolled.game.joint_index(a) for a in t.acts]), terminal=t.terminal)
        for t in trajectories
    ]
    same(from_imitation(unrolled.game, iter(flat), state_of(unrolled)), shown)
    named = [SimpleNamespace(obs=t.obs, acts=t.acts.astype(str), terminal=t.terminal) for t in trajectories]
    same(from_imitation(unrolled.game, named, state_of(unrolled), lambda a: a.astype(int)), shown)


@pytest.mark.parametrize("kind", ["array", "dictionary", "tuple"])
def test_minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    unrolled = corridor()
    shown, kept = recorded(unrolled, 12)
    cut: Any = gymnasium.spaces.Box(0, 9, (2,), dtype=np.float64)
    spaces = {
        "array": gymnasium.spaces.Box(0, 9, (4,), dtype=np.float64),
        "dictionary": gymnasium.spaces.Dict(left=cut, right=cut),
        "tuple": gymnasium.spaces.Tuple([cut, cut]),
    }
    single = gymnasium.spaces.Discrete(3)
    buffers = []
    for seen, acts, ended in kept:
        ends = np.zeros(len(acts), dtype=bool)
        ends[-1] = ended
        left, right = list(seen[:, :2]), list(seen[:, 2:])
        observations: Any = {"array": list(seen), "dictionary": {"left": left, "right": right}, "tuple": (left, right)}
        buffers.append(
            EpisodeBuffer(
                observations=observations[kind],
                actions=tuple(acts.T.tolist()) if kind == "tuple" else list(acts),
                rewards=[0.0] * len(acts),
                terminations=list(ends),
                truncations=list(~ends & (np.arange(len(ends)) == len(ends) - 1)),
            )
        )
    with pytest.warns(UserWarning, match="."):
        dataset = minari.create_dataset_from_buffers(
            "corridor/test-v0",
            buffers,
            observation_space=spaces[kind],
            action_space=gymnasium.spaces.Tuple([single] * 2)
            if kind == "tuple"
            else gymnasium.spaces.MultiDiscrete([3, 3]),
            data_format="hdf5",
        )
    find = state_of(unrolled)

    def lookup(seen: Any, step: int) -> int:
        parts = [seen["left"], seen["right"]] if kind == "dictionary" else list(seen)
        return int(find(seen if kind == "array" else np.concatenate(parts), step))

    same(from_minari(unrolled.game, dataset, lookup), shown)
    same(from_minari(unrolled.game, list(dataset.iterate_episodes()), lookup), shown)
    files = list(tmp_path.rglob("main_data.hdf5"))
    assert len(files) == 1
    same(from_minari(unrolled.game, files[0], lookup), shown)


def test_files_that_are_none(tmp_path: Path) -> None:
    bad = tmp_path / "main_data.hdf5"
    bad.write_bytes(b"nothing")
    game = corridor().game
    with pytest.raises(errors.MalformedFile, match=r"main_data\.hdf5 is no main_data"):
        from_minari(game, bad, lambda seen, step: 0)
    with pytest.raises(FileNotFoundError):
        from_minari(game, tmp_path / "other.hdf5", lambda seen, step: 0)


def test_files_need_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(errors.MissingDependency, match=r"h5py is not installed: pip install 'mailopt\[learned\]'"):
        from_minari(corridor().game, tmp_path / "main_data.hdf5", lambda seen, step: 0)


def test_discounted_episodes_are_continued_to_the_longest() -> None:
    unrolled = unroll(Corridor(limit=1000), discount=0.5)
    game = unrolled.game
    cells = {tuple(row): s for s, row in enumerate(unrolled.features()[:-1, :2].astype(int).tolist())}
    end = game.num_states - 1

    def find(seen: Any, step: int) -> int:
        return cells.get(tuple(seen), end)

    short = SimpleNamespace(obs=[(1, 1), (9, 9)], acts=[[2, 2]], terminal=True)
    long = SimpleNamespace(obs=[(1, 1), (1, 1), (0, 1)], acts=[[1, 1], [0, 1]], terminal=False)
    shown = from_imitation(game, [short, long], find, weights=[1, 2])
    assert shown.trajectories is not None
    assert shown.trajectories.states.tolist() == [[0, end], [0, 0]]
    assert shown.trajectories.joint_actions.tolist() == [[8, 0], [4, 1]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"obs": [0, 1]}, r"episode 0 has 2 observations and 2 actions"),
        ({"acts": [], "obs": [0]}, "at least one"),
        ({"obs": 0}, "has no observations and 2 actions"),
        ({"obs": {"a": [0, 0, 1], "b": [0, 0]}}, "has 2 or 3 observations and 2 actions"),
        ({"obs": [0, "door", 1]}, r"episode 0, step 1: state_of raised ValueError"),
        ({"terminal": False}, r"episode 0 ends after 2 of 4 steps in terminal, cut off"),
        ({"obs": [0, 1, 0]}, r"where the game goes on"),
        ({"obs": [0, 1, 99]}, r"episode 0, step 2: state_of returned 99"),
        ({"obs": [0, 1.5, 1]}, r"episode 0, step 1: state_of returned 1\.5"),
        ({"acts": [9, 0]}, r"episode 0, step 0: the action is 9; give a flat joint action, 0 to 8"),
        ({"acts": [[0, 3], [0, 0]]}, "one action of each agent"),
        ({"acts": [[0.5, 1.0], [0, 0]]}, "action_of"),
        ({"acts": [4] * 5, "obs": [0] * 6}, "5 steps, the game's horizon is 4"),
    ],
)
def test_episodes_that_do_not_fit(changed: dict[str, Any], message: str) -> None:
    unrolled = corridor()
    episode: dict[str, Any] = {"obs": [0, 1, unrolled.game.num_states - 1], "acts": [4, 4], "terminal": True}
    with pytest.raises(errors.DemonstrationShape, match=message):
        from_imitation(
            unrolled.game,
            [SimpleNamespace(**(episode | changed))],
            lambda seen, step: int(seen) if isinstance(seen, str) else seen,
        )


def test_what_are_no_episodes() -> None:
    game = corridor().game
    fine = SimpleNamespace(obs=[0, 0], acts=[0], terminal=True)
    with pytest.raises(errors.DemonstrationShape, match="episode 1 is a SimpleNamespace without obs, terminal"):
        from_imitation(game, [fine, SimpleNamespace(acts=[0])], lambda seen, step: 0)
    with pytest.raises(errors.DemonstrationShape, match="episode 0 is a dict without observations, actions"):
        from_minari(game, [{"observations": [0, 0]}], lambda seen, step: 0)
    with pytest.raises(errors.DemonstrationShape, match="episodes are a int"):
        from_minari(game, 3, lambda seen, step: 0)
    empty = SimpleNamespace(observations=[0], actions=[], terminations=[])
    with pytest.raises(errors.DemonstrationShape, match="episode 0 has 1 observations and 0 actions"):
        from_minari(game, [empty], lambda seen, step: 0)
    with pytest.raises(errors.DemonstrationShape, match=r"episode 0, step 0: action_of made nothing of 0: KeyError"):
        from_imitation(game, [fine], lambda seen, step: 0, lambda action: {}[action])


def test_nothing_and_the_impossible() -> None:
    unrolled = corridor()
    with pytest.raises(errors.EmptyDemonstrations):
        from_imitation(unrolled.game, [], lambda seen, step: 0)
    episode = SimpleNamespace(obs=[0, 0, unrolled.game.num_states - 1], acts=[4, 4], terminal=True)
    with pytest.raises(errors.ImpossibleTransition):
        from_imitation(unrolled.game, [episode], lambda seen, step: seen)
