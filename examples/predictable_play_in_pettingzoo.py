"""Claim: playing what beats the last move is exploitable in PettingZoo's rock, paper, scissors; repaired, it is not.

Unrolls the environment, measures the habit, repairs it, and plays the repaired policy in the environment itself. Needs
the ``games`` extra and pygame.
"""

import numpy as np
import pettingzoo

import mailopt as mo
from mailopt.interop.pettingzoo import unroll

ROUNDS = 4


def main() -> None:
    env = pettingzoo.make("parallel", "classic/rps-v2", max_cycles=ROUNDS)
    unrolled = unroll(env)
    game = unrolled.game
    print(game)

    # each observes the opponent's last move (3: none yet) and plays what would have beaten it, most of the time
    factors = []
    for agent in range(2):
        last = unrolled.features(agent)[:-1, 0].astype(int)
        habit = np.full((game.num_states, 3), 1 / 3)
        habit[:-1][last < 3] = 0.1
        habit[np.flatnonzero(last < 3), (last[last < 3] + 1) % 3] = 0.8
        habit[-1] = [1, 0, 0]  # the end, where there is nothing to choose
        factors.append(habit)
    habitual = mo.CorrelatedPolicy.product(factors)
    before = mo.regret(game, habitual)
    print(f"value of the habit   {mo.values(game, habitual).value[0]:.6f}")
    print(f"its regret           {before.value:.6f} in {ROUNDS} rounds")

    repaired = mo.repair(game, habitual, epsilon=0.1)
    after = mo.regret(game, repaired.policy)
    print(f"regret, repaired     {after.value:.6f}")
    assert after.upper <= 0.1 + 1e-9 < before.lower

    acting = unrolled.export(repaired.policy, seed=0)
    returns = np.zeros(2)
    for episode in range(1000):
        observations, infos = env.reset(seed=episode)
        acting.reset()
        while env.agents:
            observations, rewards, _, _, infos = env.step(acting.act(env, observations, infos))
            returns += [rewards[agent] for agent in env.possible_agents]
    print(f"mean return of 1000 episodes played in PettingZoo: {returns[0] / 1000}")


if __name__ == "__main__":
    main()
