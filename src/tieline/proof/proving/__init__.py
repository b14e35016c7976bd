"""`tieline prove`: break everything on a plan, and count afterwards what the others kept.

In: a seed, how much to book and how much to break. Out: figures and a verdict.
Law: the oracle is what the source was given and the journal of the target, never our own tables.
"""

from tieline.proof.proving.options import ProveOptions
from tieline.proof.proving.page import write_page
from tieline.proof.proving.run import run_proof
from tieline.proof.proving.scenarios import SCENARIOS, run_scenario

__all__ = ["SCENARIOS", "ProveOptions", "run_proof", "run_scenario", "write_page"]
