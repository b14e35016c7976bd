"""Why an amount is what it is: the rate that decided, from which file and line, and how it was billed.

Pattern: read on request; the verdict keeps ids, and the rows they name are never overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, LiteralString

PRICED = "priced"
PRICED_STATEMENT: LiteralString = """
    SELECT v.judged_at AS at, v.verdict_id, v.entity_code, v.seconds,
           coalesce(v.billed_seconds, v.seconds) - coalesce(v.capped_seconds, 0) AS billed_seconds, v.capped_seconds, v.rate_amount, v.amount, v.currency,
           coalesce(v.rate_level, 'contract') AS rate_level, coalesce(v.rate_ref, v.contract_line_id) AS rate_ref,
           c.card_code, c.labor_category, c.told_amount, c.told_currency, c.starts_on AS rate_from, d.file_name,
           c.line_number, d.loaded_by, d.approved_by, v.fx_rate_id, x.factor AS fx_factor, x.source AS fx_source,
           x.starts_on AS fx_from, v.billing_terms_id, t.increment_seconds, t.rounding, t.rounds_per,
           t.minimum_seconds, m.markup_percent, m.labor_category AS line_category, m.starts_on AS line_from,
           c.known_since
    FROM verdict v
    LEFT JOIN LATERAL (
        SELECT '' AS card_code, l.labor_category, l.rate_amount AS told_amount, l.currency AS told_currency,
               l.starts_on, NULL::uuid AS load_id, NULL::integer AS line_number, NULL::timestamptz AS known_since
        FROM contract_line l WHERE v.rate_ref IS NULL AND l.contract_line_id = v.contract_line_id
        UNION ALL SELECT '', '', rate_amount, currency, starts_on, load_id, line_number, NULL
        FROM person_rate WHERE person_rate_id = v.rate_ref
        UNION ALL SELECT card_code, labor_category, rate_amount, currency, starts_on, load_id, line_number, NULL
        FROM client_rate WHERE client_rate_id = v.rate_ref
        UNION ALL SELECT card_code, labor_category, rate_amount, currency, starts_on, load_id, line_number, NULL
        FROM practice_rate WHERE practice_rate_id = v.rate_ref
        UNION ALL SELECT card_code, labor_category, rate_amount, currency, starts_on, load_id, line_number, NULL
        FROM list_rate WHERE list_rate_id = v.rate_ref
        -- What a person costs is a right of its own; that the price is made of it is not.
        UNION ALL SELECT '', '', CASE WHEN sees_costs() THEN e.cost_rate END, n.currency, e.starts_on, NULL, NULL,
               e.recorded_at
        FROM employment e JOIN legal_entity n USING (entity_code) WHERE e.employment_id = v.rate_ref
    ) c ON true
    LEFT JOIN reference_load d ON d.load_id = c.load_id
    LEFT JOIN fx_rate x ON x.fx_rate_id = v.fx_rate_id
    LEFT JOIN contract_line m ON v.rate_level = 'cost' AND m.contract_line_id = v.contract_line_id
    LEFT JOIN billing_terms t ON t.billing_terms_id = v.billing_terms_id
    WHERE v.entry_id = %(entry_id)s AND v.amount IS NOT NULL AND v.rate_amount IS NOT NULL AND v.seconds > 0
    ORDER BY v.verdict_id LIMIT %(limit)s"""
_COST = "cost"
_LEVELS: Mapping[str, str] = {
    "person": "the rate of the person on the project",
    "contract": "the line of the contract",
    "client": "the client's card",
    "practice": "the practice's card",
    "list": "the price list",
}


def priced_in_words(row: Mapping[str, Any]) -> str:
    """Return one priced verdict as sentences a client would understand."""
    rate = f"{_number(row['rate_amount'])} {row['currency']}"
    told = [
        f"{_hours(row['billed_seconds'])} at {rate} is {row['amount']:f} {row['currency']}.",
        *(_marked_up(row) if row["rate_level"] == _COST else (f"The rate is {_source(row)}.",)),
    ]
    if row["fx_factor"] is not None and row["rate_level"] != _COST:
        told.append(
            f"It is {_number(row['told_amount'])} {row['told_currency']}, at {_number(row['fx_factor'])}"
            f" by {row['fx_source']} from {row['fx_from']}."
        )
    if row["increment_seconds"] is not None:
        told.append(
            f"Worked {_hours(row['seconds'])}, billed in steps of {row['increment_seconds']} s,"
            f" rounded {row['rounding']} per {row['rounds_per']}, at least {row['minimum_seconds']} s."
        )
    if row["capped_seconds"] is not None:
        told.append(f"{_hours(row['capped_seconds'])} are above the cap and are not billed.")
    return " ".join(told)


def _marked_up(row: Mapping[str, Any]) -> list[str]:
    """Tell of what a price is made that no rate says; what the person costs, only to whom it was told."""
    told = [
        (
            f"The rate is what the person costs plus {_number(row['markup_percent'])} %, by"
            f" {_LEVELS['contract']} for {row['line_category'] or 'every category'} from {row['line_from']}."
        )
    ]
    if row["told_amount"] is not None:
        told.append(
            f"The person costs {_number(row['told_amount'])} {row['told_currency']} an hour from"
            f" {row['rate_from']}, as known since {row['known_since']:%Y-%m-%d}."
        )
    if row["fx_factor"] is not None:
        told.append(
            f"What is told in {row['told_currency']} is converted at {_number(row['fx_factor'])}"
            f" by {row['fx_source']} from {row['fx_from']}."
        )
    return told


def _source(row: Mapping[str, Any]) -> str:
    words = _LEVELS[row["rate_level"]]
    if row["card_code"]:
        words += f" {row['card_code']}"
    words += f" for {row['labor_category'] or 'every category'}"
    if row["rate_level"] == "person":
        words = _LEVELS["person"]
    if row["rate_from"] is not None:
        words += f" from {row['rate_from']}"
    if row["file_name"] is not None:
        words += f" ({row['file_name']} line {row['line_number']}, loaded by {row['loaded_by']}"
        words += f", approved by {row['approved_by']})" if row["approved_by"] else ")"
    return words


def _hours(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02d}" + (f":{rest:02d} h" if rest else " h")


def _number(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
