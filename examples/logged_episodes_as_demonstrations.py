"""Claim: episodes logged by Minari are demonstrations, and what they leave unseen is what can go wrong.

Records an expert in the format of Minari, reads the file back, and bounds the regret of every policy that agrees with
it. Needs the ``learned`` extra.
"""

import os
import tempfile
import warnings
from pathlib import Path

import gymnasium
import numpy as np

import mailopt as mo
from mailopt.games.numbers import IntArray
from mailopt.interop.trajectories import from_minari


def write(states: IntArray, actions: IntArray, num_states: int) -> None:
    """Write episodes as a user of Minari would."""
    import minari  # noqa: PLC0415 - it reads MINARI_DATASETS_PATH, which is set before
    from minari.data_collector import EpisodeBuffer  # noqa: PLC0415

    steps = states.shape[1]
    buffers = [
        EpisodeBuffer(
            observations=[*seen, seen[-1]],
            actions=list(played),
            rewards=[0.0] * steps,
            terminations=[False] * steps,
            truncations=[False] * (steps - 1) + [True],
        )
        for seen, played in zip(states, actions, strict=True)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that nothing is said of authors and environment
        minari.create_dataset_from_buffers(
            "chain/expert-v0",
            buffers,
            observation_space=gymnasium.spaces.Discrete(num_states),
            action_space=gymnasium.spaces.MultiDiscrete([2, 2]),
            data_format="hdf5",
        )


def main() -> None:
    chain = mo.scenarios.unvisited_chain(3)
    game = chain.game
    recorded = mo.sample_demonstrations(game, chain.expert, 20, seed=0).trajectories
    assert recorded is not None
    actions = np.array([[game.joint_action(int(a)) for a in row] for row in recorded.joint_actions])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        write(recorded.states, actions, game.num_states)
        (path,) = Path(folder).rglob("main_data.hdf5")
        shown = from_minari(game, path, lambda seen, step: int(seen))
    print(shown.summary(game, mo.Swap()))

    interval = mo.regret_interval(game, chain.expert, shown.seen)
    print(f"regret of whoever agrees with that: {interval.lower:.3f} to {interval.upper:.3f}")
    cloned = mo.behavior_cloning(game, shown).policy
    value, gap = mo.value_gap(game, cloned, chain.expert), mo.regret_gap(game, cloned, chain.expert)
    print(f"behaviour cloning: value gap {value.value:.3f}, regret gap {gap.value:.3f}")
    assert value.upper < 1e-9
    assert 0.5 < gap.lower < interval.upper


if __name__ == "__main__":
    main()
