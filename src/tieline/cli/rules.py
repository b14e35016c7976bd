"""The rules as they ship: no installation is needed to read them."""

from __future__ import annotations

import click

from tieline.cli.showing import show_json, show_table
from tieline.cli.tools import json_option


@click.command("rules")
@json_option
def rules(as_json: bool) -> int:
    """Show every rule about hours as it ships, with an example that holds and one that fails.

    It needs no installation. What a firm changed is part of its release: severity, values, rules of its own.
    """
    from tieline.validation.books import ShippedRule, shipped_rules

    def facts(shipped: ShippedRule) -> dict[str, object]:
        rule = shipped.rule
        return {
            "code": rule.code,
            "title": shipped.title,
            "scope": rule.scope,
            "severity": rule.severity,
            "applies_when": rule.applies_when,
            "predicate": rule.predicate,
            "owner_queue": rule.owner_queue,
            "message": rule.message,
            "fix_hint": rule.fix_hint,
            "source": rule.source,
            "always_holds": shipped.is_always,
            "decided_where": shipped.told or None,
            "examples": {"pass": [shipped.pass_example()], "fail": [shipped.fail_example()]},
        }

    book = shipped_rules()
    if as_json:
        show_json({"rules": [facts(shipped) for shipped in book]})
        return 0
    show_table(
        title="Rules about hours",
        columns=("Code", "Title", "Severity", "Queue"),
        rows=[
            (each.rule.code, each.title, each.rule.severity, each.rule.owner_queue) for each in book
        ],
    )
    return 0


COMMANDS: tuple[click.Command, ...] = (rules,)
