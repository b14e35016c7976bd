"""What every connector promises, checked the same way for ours and for those of other packages.

In: a connector's package. Out: for each rule of the scale, what is wrong with it.
Law: no ERP, no vendor, no network but a misbehaving server in this process.
"""

from tieline.sdk.promises.rehearsal import Rehearsal, Subject, load_subject
from tieline.sdk.promises.rules import CHECKS, problems_of

__all__ = ["CHECKS", "Rehearsal", "Subject", "load_subject", "problems_of"]
