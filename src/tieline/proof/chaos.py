"""A network on a bad day before a server of a proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tieline.proof.town import CONTROL, Vendor, start_vendor
from tieline.settings import Settings

_VERB = "chaos"
ChaosRule = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosProxy:
    """A proxy that runs; ``url`` is where a client finds the server behind it."""

    url: str
    control: Vendor

    def follow(self, *, seed: int, rules: Sequence[ChaosRule]) -> None:
        """Let the next connections meet other rules; none lets them pass."""
        self.control.act(_VERB, {"seed": seed, "rules": list(rules)})

    def injected(self) -> Mapping[str, int]:
        """Return how often each mode was met."""
        counts: Mapping[str, int] = self.control.ask(_VERB)["injected"]
        return counts


def start_chaos(
    *,
    settings: Settings,
    name: str,
    upstream_url: str,
    control_token: str,
    seed: int,
    rules: Sequence[ChaosRule],
) -> ChaosProxy:
    """Start a proxy before a server, as a child that ends with the proof's other processes."""
    control = start_vendor(
        settings=settings,
        name=name,
        module="tieline.sandbox.chaos",
        arguments=["--upstream", upstream_url],
        secret_words={CONTROL: control_token},
    )
    proxy = ChaosProxy(url=control.ask(_VERB)["url"], control=control)
    proxy.follow(seed=seed, rules=rules)
    return proxy
