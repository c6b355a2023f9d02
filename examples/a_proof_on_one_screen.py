"""A regret gap of 9, proved on one screen, and checked line by line.

The chain of 10 steps in which a learner copies its expert perfectly, and can be exploited all the same. Its certificate
holds a few dozen small integers. This script prints the file, then repeats by hand what the checker does with it.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import mailopt as mo
from mailopt.certificates import checker

chain = mo.scenarios.unvisited_chain(10)
folder = Path(tempfile.mkdtemp())
game, learner, expert, proof = (folder / f"{name}.json" for name in ("game", "learner", "expert", "certificate"))
chain.game.save(game)
chain.learner.save(learner, chain.game)
chain.expert.save(expert, chain.game)
mo.certify(chain.game, chain.learner, chain.expert, exact=True).save(proof)

text = proof.read_text()
print(text)
assert len(text.splitlines()) <= 60

print("Line by line. States s0, s2, s4, .. are where the expert walks; one disobedience leads to s1, s3, s5, ..\n")
content = json.loads(text)
tables, witnesses = content["tables"], content["witnesses"]
obey, deviate = (tables[witnesses["policy"][0][kind]] for kind in ("obey", "deviate"))
successors = chain.game.kernel(0).stored_rows().indices.reshape(chain.game.num_states, 4)  # every move is certain
rewards, told = (
    chain.game.reward(0)[0].astype(int),
    chain.learner.at(0).argmax(axis=1),
)  # agent 0, and so is every advice

print("Table 0, agent 0 obeys the learner. Step h, state s: reward + the table at step h + 1 where the move leads.")
for step, row in enumerate(obey):
    after = obey[step + 1] if step < 9 else [0] * chain.game.num_states
    backed = [int(rewards[s, a]) + after[successors[s, a]] for s, a in enumerate(told)]
    assert backed == row  # all residuals are 0: so the table is the value of obedience
print(f"  all 10 x 20 entries agree: obeying is worth exactly {obey[0][0]} from s0\n")

print("Table 1, agent 0 plays whatever pays most when told. Its advice is certain, so: the larger of two such sums.")
for step, row in enumerate(deviate):
    after = deviate[step + 1] if step < 9 else [0] * chain.game.num_states
    for s, a in enumerate(told):
        joint = [int(a) % 2, int(a) % 2 + 2]  # agent 1 obeys, agent 0 plays 0 or 1
        assert row[s] == max(int(rewards[s, b]) + after[successors[s, b]] for b in joint)
print(f"  all 10 x 20 entries agree: the best deviation is worth exactly {deviate[0][0]} from s0")
print(f"  step 0, s0: {deviate[0][0]} = 0 now + {deviate[1][1]} from s1, where disobeying leads\n")

print("Agent 1 has the same tables; table 2, the expert's, is 0 everywhere: nobody gains by disobeying the expert.")
print(f"Regret of the learner {deviate[0][0]} - {obey[0][0]} = 9, of the expert 0 - 0 = 0: the gap is 9 - 0 = 9.\n")

command = [
    sys.executable,
    "-I",
    "-S",
    checker.__file__,
    *map(str, (proof, game, learner, expert)),
]  # nothing but Python
print("The checker, with no package in sight:")
print(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

forged = text.replace('"regret_gap": ["9", "9"]', '"regret_gap": ["8", "8"]')
assert forged != text
proof.write_text(forged)
done = subprocess.run(command, check=False, capture_output=True, text=True)
print("A forged certificate, which claims a gap of 8:")
print(done.stdout.splitlines()[-1])
assert done.returncode == 1
