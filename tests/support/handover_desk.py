"""Somebody who looks at plans of deals, and applies or approves them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from tests.support.deal import CRM, NOW
from tests.support.deal_world import World
from tieline.governance import approve, get_proposal, open_web_transaction
from tieline.services.deciding import Decider, approve_and_carry_out
from tieline.services.handing_over import Applied, apply_handover, show_handover
from tieline.services.handover_drawing import Handover, draw_handover
from tieline.services.reference_files import carry_out_load, load_file, read_file
from tieline.services.shown_plans import Chosen


class Desk:
    """The world, seen by somebody who looks at plans and applies them."""

    def __init__(self, world: World) -> None:
        self.world = world

    def decide(self, name: str, value: str) -> None:
        with self.world.flow.owner.transaction() as connection:
            connection.execute(
                "INSERT INTO policy_value (release_id, name, entity_code, value, reason)"
                " SELECT release_id, %s, '', %s, 'a test' FROM release",
                (name, value),
            )

    def release(self, noun: str, body: str) -> None:
        """Let one person load a file and another agree to it."""
        file = read_file(noun=noun, name=f"{noun}.csv", body=body.encode(), is_whole=True)
        database = self.world.flow.database
        with database.transaction() as connection:
            loaded = load_file(connection, file=file, by="ann", reason="a test", now=NOW)
        assert loaded.proposal_id is not None
        with open_web_transaction(database, entities=("HR-DE", "HR-UK")) as connection:
            approve(connection, proposal_id=loaded.proposal_id, by="bob", now=NOW)
            proposal = get_proposal(connection, proposal_id=loaded.proposal_id)
            carry_out_load(connection, proposal, NOW)

    def show(self, deal: str) -> tuple[Handover, str]:
        with self.world.flow.database.transaction() as connection:
            drawn = draw_handover(connection, ref=f"{CRM}:{deal}", now=NOW)
            shown = show_handover(connection, drawn=drawn, to="ann", now=NOW)
        return drawn, shown.digest

    def apply(self, deal: str, digest: str | None = None) -> Applied:
        with self.world.flow.database.transaction() as connection:
            return apply_handover(
                connection,
                ref=f"{CRM}:{deal}",
                chosen=Chosen(digest=digest),
                by="ann",
                reason="they start on Monday",
                now=NOW,
            )

    def approve(self, applied: Applied, by: str) -> None:
        assert applied.proposal_id is not None
        with self.world.flow.database.transaction() as connection:
            connection.execute("SELECT set_config('tieline.entities', 'HR-DE,HR-UK', true)")
            approve_and_carry_out(
                connection,
                proposal_id=applied.proposal_id,
                reason="agreed",
                by=Decider(login=by),
                connectors=cast(Any, SimpleNamespace()),
                now=NOW,
            )

    def begun(self) -> tuple[int, int, int]:
        """Return how much was begun: contracts, effects, work."""
        (row,) = self.world.rows(
            "SELECT (SELECT count(*) FROM contract) AS contracts, (SELECT count(*) FROM effect) AS effects,"
            " (SELECT count(*) FROM work_item) AS work"
        )
        return row["contracts"], row["effects"], row["work"]
