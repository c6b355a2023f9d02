"""Claim: a log of play bounds the regret in a game that nobody has written down, and more of it bounds it better.

Logs of a chain game are drawn; each gives an estimated game whose bounds hold with confidence 0.95, for any policy.
"""

import numpy as np

import mailopt as mo


def main() -> None:
    chain = mo.scenarios.unvisited_chain(4)
    game, rng = chain.game, np.random.default_rng(0)
    true = mo.regret(game, chain.learner)
    for count in (1_000, 10_000, 100_000):
        states, joint = rng.integers(game.num_states, size=count), rng.integers(game.num_joint_actions, size=count)
        estimated = mo.MarkovGame.from_samples(
            states,
            joint,
            game.rewards[:, states, joint].T,
            game.kernel(0).sample(states, joint, rng.random(count)),
            num_states=game.num_states,
            actions=game.actions,
            initial=game.initial,
            horizon=game.horizon,
            reward_range=(0, 1),
            deterministic_rewards=True,
        )
        found = mo.estimated_regret(estimated, chain.learner)
        print(found)
        assert found.lower <= true.lower <= true.upper <= found.upper
    print(f"in truth it is {true.value:g}")


if __name__ == "__main__":
    main()
