"""What a proof is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from tieline.kernel.errors import UserMistake
from tieline.proof.sabotage import SABOTAGES
from tieline.sandbox.books import PROFILES

# Beats come every four seconds, and a sender gives up two seconds before the end.
LEASE_SECONDS = 10
SETTLE_SECONDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveOptions:
    """How much is booked, and how much is broken."""

    entries: int
    kills: int
    zombies: int
    database_crashes: int
    seed: int
    workers: int
    profile: str
    sabotage: str | None

    @classmethod
    def checked(cls, *, profile: str | None, sabotage: str | None, **words: int) -> ProveOptions:
        """Return options that go together; a sabotage picks the profile in which it matters.

        :raises UserMistake: there is no such profile or sabotage.
        """
        if sabotage is not None and sabotage not in SABOTAGES:
            raise UserMistake(f"--sabotage is one of {', '.join(sorted(SABOTAGES))}")
        chosen = profile or (SABOTAGES[sabotage].profile if sabotage else "unique")
        if chosen not in PROFILES:
            raise UserMistake(f"--profile is one of {', '.join(PROFILES)}")
        return cls(profile=chosen, sabotage=sabotage, **words)
