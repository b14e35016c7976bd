"""What a proof is asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from tieline.kernel.errors import UserMistake
from tieline.proof.sabotage import SABOTAGES
from tieline.sandbox.books import PROFILES

# Beats come every four seconds, and a sender gives up two seconds before the end.
LEASE_SECONDS = 10
SETTLE_SECONDS = 3
_LATE_PROFILE = "probe"
_NAIVE_PROFILE = "naive-erp"
ERPS = ("books", "tryton")


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
    # Writes are stored later than the target declares: what then stands twice must be told.
    is_late: bool = False
    # Every worker is killed at once, and workers of another version go on.
    upgrades: int = 0
    # A backup is taken under load, and restored after more was posted: the list of that must be exact.
    is_restored: bool = False
    # The target: books that are as careless as their profile says, or the real one.
    erp: str = "books"

    @property
    def is_real_erp(self) -> bool:
        """Tell whether the hours go into the real ERP."""
        return self.erp != ERPS[0]

    @property
    def target(self) -> str:
        """Name where the hours go."""
        return self.erp if self.is_real_erp else f"profile {self.profile}"

    @classmethod
    def checked(
        cls,
        *,
        profile: str | None,
        sabotage: str | None,
        is_late: bool,
        is_restored: bool = False,
        erp: str = "books",
        upgrades: int = 0,
        **words: int,
    ) -> ProveOptions:
        """Return options that go together; a sabotage picks the profile in which it matters.

        :raises UserMistake: there is no such profile or sabotage.
        """
        if sabotage is not None and sabotage not in SABOTAGES:
            raise UserMistake(f"--sabotage is one of {', '.join(sorted(SABOTAGES))}")
        if erp not in ERPS:
            raise UserMistake(f"--erp is one of {', '.join(ERPS)}")
        if erp != ERPS[0] and (sabotage or is_late or is_restored or profile):
            raise UserMistake(
                f"--erp {erp} refuses a second line of a key by itself: it goes alone"
            )
        if is_late and (sabotage is not None or profile not in (None, _LATE_PROFILE)):
            raise UserMistake(f"--late goes with the profile {_LATE_PROFILE} and no sabotage")
        usual = SABOTAGES[sabotage].profile if sabotage else "unique"
        chosen = profile or (_LATE_PROFILE if is_late else usual)
        if chosen not in PROFILES:
            raise UserMistake(f"--profile is one of {', '.join(PROFILES)}")
        if is_restored and chosen == _NAIVE_PROFILE:
            raise UserMistake(f"{_NAIVE_PROFILE} finds nothing again, so nothing can be listed")
        return cls(
            profile=chosen,
            sabotage=sabotage,
            is_late=is_late,
            is_restored=is_restored,
            erp=erp,
            upgrades=upgrades,
            **words,
        )
