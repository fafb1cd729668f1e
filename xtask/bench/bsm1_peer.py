"""Speed of bsm2-python's benchmark plant: prints how many times real time it runs at its step of one minute.

Usage: bsm1_peer.py <days>. The open loop under constant influent: the same work as `penstock-sim speed` measures. The
first steps compile the model and are not counted.
"""

import sys
import time

import numpy as np
from bsm2_python.bsm1_ol import BSM1OL

CONSTANT = [30, 69.5, 51.2, 202.32, 28.17, 0, 0, 0, 0, 31.56, 6.95, 10.59, 7, 211.2675, 18446, 15, 0, 0, 0, 0, 0]


def run(days: float) -> float:
    """Seconds the plant takes for so many days."""
    times = np.arange(0, days + 1 / 96, 1 / 96)
    influent = np.column_stack([times, np.tile(CONSTANT, (len(times), 1))])
    plant = BSM1OL(data_in=influent, timestep=1 / 1440, endtime=days, tempmodel=False, activate=False)
    begin = time.perf_counter()
    for step in range(min(len(plant.timesteps), len(plant.simtime))):
        plant.step(step)
    return time.perf_counter() - begin


days = float(sys.argv[1])
run(0.05)
print(f"{days * 86_400 / run(days):.0f}")
