"""Policies computed from an expert: behaviour cloning, moment matching, MALICE, BLADES, and peers to compare with."""

from mailopt.imitation.blades import blades
from mailopt.imitation.cloning import behavior_cloning
from mailopt.imitation.demonstration_files import load_demonstrations
from mailopt.imitation.demonstrations import Demonstrations, sample_demonstrations
from mailopt.imitation.mail_bro import mail_bro
from mailopt.imitation.malice import malice
from mailopt.imitation.moment_matching import inverse_reinforcement_learning
from mailopt.imitation.murmail import murmail
from mailopt.imitation.queries import Expert
from mailopt.imitation.results import Answer, Blades, Imitation, MomentMatching, Round
from mailopt.imitation.simulator import GameSimulator, Simulator

__all__ = [
    "Answer",
    "Blades",
    "Demonstrations",
    "Expert",
    "GameSimulator",
    "Imitation",
    "MomentMatching",
    "Round",
    "Simulator",
    "behavior_cloning",
    "blades",
    "inverse_reinforcement_learning",
    "load_demonstrations",
    "mail_bro",
    "malice",
    "murmail",
    "sample_demonstrations",
]
