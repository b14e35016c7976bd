"""What the tables know of a thing's way, one question per chapter; they only read.

A chapter's ``source`` or ``target`` names the columns (connection, object or noun, reference) that make
the link to the record in its own system. A column ``entity_code`` says whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from tieline.services.pricing_words import PRICED, PRICED_STATEMENT

JUDGED = "judged"
_SOURCE = ("connection_key", "object", "source_ref")
_TARGET = ("target_connection", "noun", "target_code")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One question; ``system`` is the column that says where it happened, '' for Tieline."""

    what: str
    statement: LiteralString
    system: str = ""
    source: tuple[str, str, str] | None = None
    target: tuple[str, str, str] | None = None


HOUR = (
    Chapter(
        what="received",
        system="connection_key",
        source=_SOURCE,
        statement="""
            SELECT w.recorded_at AS at, t.connection_key, t.object, t.source_ref, t.entry_id, w.version,
                   w.work_date, w.seconds, w.person_ref, w.project_ref, w.task_ref, w.labor_category,
                   w.approval, w.approval_word, w.approved_at, w.is_billable, w.is_deleted, w.source_at,
                   w.line_number, w.batch_id, w.raw_id, w.correlation_id
            FROM time_entry t JOIN time_entry_version w USING (entry_id)
            WHERE t.entry_id = %(entry_id)s ORDER BY w.version LIMIT %(limit)s""",
    ),
    Chapter(
        what="belongs to the deal",
        system="connection_key",
        source=("connection_key", "object", "deal_ref"),
        statement="""
            SELECT p.won_at AS at, p.connection_key, 'deals' AS object, p.deal_ref, p.plan_id, p.state,
                   p.entity_code, j.project_code, j.project_id, j.contract_id, p.active_at
            FROM time_entry t JOIN verdict v ON v.verdict_id = t.verdict_id
            LEFT JOIN novation n ON n.project_id = v.project_id
            JOIN provisioning_plan p ON p.project_id = v.project_id OR p.plan_id = n.plan_id
            JOIN project j ON j.project_id = v.project_id
            WHERE t.entry_id = %(entry_id)s LIMIT %(limit)s""",
    ),
    Chapter(
        what=JUDGED,
        statement="""
            SELECT v.judged_at AS at, v.verdict_id, v.version, v.outcome, v.entity_code, v.release_id,
                   r.title AS release_title, v.known_at, v.person_id, v.client_id, c.contract_code,
                   v.contract_line_id, j.project_code, v.task_id, f.period_code, v.labor_category,
                   v.rate_amount, v.amount, v.currency, v.parked_until,
                   (SELECT jsonb_agg(jsonb_build_object('rule', x.code, 'severity', x.severity,
                        'message', u.message, 'fix', u.fix_hint) ORDER BY x.code)
                    FROM verdict_reason x LEFT JOIN rule u ON u.release_id = v.release_id
                         AND u.book = 'time' AND u.code = x.code
                    WHERE x.verdict_id = v.verdict_id) AS reasons
            FROM verdict v JOIN release r USING (release_id)
            LEFT JOIN contract c ON c.contract_id = v.contract_id
            LEFT JOIN project j ON j.project_id = v.project_id
            LEFT JOIN fiscal_period f ON f.period_id = v.period_id
            WHERE v.entry_id = %(entry_id)s ORDER BY v.verdict_id LIMIT %(limit)s""",
    ),
    Chapter(what=PRICED, statement=PRICED_STATEMENT),
    Chapter(
        what="left out",
        statement="""
            SELECT recorded_at AS at, reason, proposed_by, approved_by FROM exclusion
            WHERE entry_id = %(entry_id)s LIMIT %(limit)s""",
    ),
    Chapter(
        what="in a case",
        statement="""
            SELECT m.joined_at AS at, c.case_id, c.reason, c.owner_queue, c.state, c.entity_code,
                   c.assigned_to, m.left_at, c.details
            FROM case_member m JOIN case_file c USING (case_id)
            WHERE m.entry_id = %(entry_id)s ORDER BY m.joined_at LIMIT %(limit)s""",
    ),
    Chapter(
        what="written",
        system="target_connection",
        target=_TARGET,
        statement="""
            SELECT coalesce(e.settled_at, e.sent_at, e.planned_at) AS at, e.target_connection, e.noun,
                   e.target_code, e.kind, e.part, e.effect_no, e.state, e.attempt, e.business_key,
                   e.undoes_key, e.entry_version, e.verdict_id, e.seconds, e.amount, e.currency,
                   e.entity_code, e.release_id, e.reason, e.planned_at, e.correlation_id, e.sent_at, e.due_at,
                   e.times_asked AS asked, e.deadline_at, l.zone, n.system
            FROM effect e JOIN connection n ON n.connection_key = e.target_connection
            LEFT JOIN legal_entity l USING (entity_code)
            WHERE e.entry_id = %(entry_id)s ORDER BY e.effect_no LIMIT %(limit)s""",
    ),
    Chapter(
        what="booked",
        statement="""
            SELECT l.booked_at AS at, l.line_id, l.business_key, l.seconds, l.rate_amount, l.amount,
                   l.currency, l.entity_code, l.contract_line_id, l.reverses_line_id,
                   (SELECT f.file_name FROM import_file f WHERE f.file_id = l.via_file_id) AS via_file
            FROM ledger_line l WHERE l.entry_id = %(entry_id)s ORDER BY l.line_id LIMIT %(limit)s""",
    ),
    Chapter(
        what="invoiced",
        system="target_connection",
        target=_TARGET,
        statement="""
            SELECT i.recorded_at AS at, i.target_connection, 'invoice' AS noun, i.target_code, i.number,
                   i.state, i.invoice_id, i.entity_code, n.line_code, n.quantity, n.unit_price, n.amount
            FROM ledger_line l JOIN invoice_ledger_line k USING (business_key)
            JOIN invoice_together g ON g.invoice_id = k.invoice_id
            JOIN invoice_record i ON i.invoice_id = g.together_id
            LEFT JOIN LATERAL (
                SELECT n.* FROM invoice_line_record n
                WHERE n.invoice_id = i.invoice_id AND EXISTS (
                    SELECT FROM crosswalk x WHERE x.our_id = l.contract_line_id AND x.noun = 'erp_task'
                      AND x.source_ref = ANY (n.task_codes))
                ORDER BY n.line_code LIMIT 1
            ) n ON true
            WHERE l.entry_id = %(entry_id)s ORDER BY 1 LIMIT %(limit)s""",
    ),
)

DEAL = (
    Chapter(
        what="received",
        system="connection_key",
        source=_SOURCE,
        statement="""
            SELECT recorded_at AS at, connection_key, object, source_ref, version, is_deleted, source_at,
                   raw_id, data ->> 'stage' AS stage, data -> 'is_won' AS is_won,
                   data ->> 'amount' AS amount, data ->> 'currency' AS currency,
                   data ->> 'entity_code' AS entity_code, correlation_id
            FROM source_version
            WHERE (connection_key, source_epoch, source_ref, noun)
                = (%(connection_key)s, %(source_epoch)s, %(deal_ref)s, 'Opportunity')
            ORDER BY version LIMIT %(limit)s""",
    ),
    Chapter(
        what="planned",
        statement="""
            SELECT p.planned_at AS at, p.plan_id, p.state, p.entity_code, p.won_at, p.active_at,
                   p.contract_id, c.contract_code, p.project_id, j.project_code, p.release_id, p.known_at,
                   p.blockers, p.plan -> 'warnings' AS warnings, p.plan -> 'not_checked' AS not_checked,
                   p.plan -> 'failure' AS failure, p.plan -> 'residue' AS residue, p.correlation_id
            FROM provisioning_plan p LEFT JOIN contract c USING (contract_id)
            LEFT JOIN project j ON j.project_id = p.project_id
            WHERE (p.connection_key, p.source_epoch, p.deal_ref)
                = (%(connection_key)s, %(source_epoch)s, %(deal_ref)s)
            ORDER BY p.project_group LIMIT %(limit)s""",
    ),
    Chapter(
        what="written",
        system="target_connection",
        target=_TARGET,
        statement="""
            SELECT coalesce(e.settled_at, e.sent_at, e.planned_at) AS at, e.target_connection, e.noun,
                   e.target_code, e.part, e.kind, e.effect_no, e.state, e.attempt, e.business_key,
                   e.undoes_key, e.entity_code, e.reason, e.planned_at, e.correlation_id, e.sent_at, e.due_at,
                   e.times_asked AS asked, e.deadline_at, l.zone, n.system
            FROM effect e JOIN connection n ON n.connection_key = e.target_connection
            LEFT JOIN legal_entity l USING (entity_code)
            WHERE (e.connection_key, e.source_epoch, e.source_ref)
                = (%(connection_key)s, %(source_epoch)s, %(deal_ref)s) AND e.noun <> 'time_line'
            ORDER BY e.planned_at, e.effect_no LIMIT %(limit)s""",
    ),
    Chapter(
        what="became known as an event",
        statement="""
            SELECT v.recorded_at AS at, v.type, v.event_uuid, v.occurred_at, v.entity_code, v.correlation_id
            FROM event v
            WHERE (v.subject_kind, v.subject_id)
                    = ('deal', %(connection_key)s || ':' || %(deal_ref)s)
               OR (v.subject_kind = 'project' AND v.subject_id IN (
                    SELECT unnest(ARRAY[p.project_id, n.project_id])::text
                    FROM provisioning_plan p LEFT JOIN novation n USING (plan_id)
                    WHERE (p.connection_key, p.source_epoch, p.deal_ref)
                        = (%(connection_key)s, %(source_epoch)s, %(deal_ref)s)))
            ORDER BY v.event_id LIMIT %(limit)s""",
    ),
    Chapter(
        what="in a case",
        statement="""
            SELECT DISTINCT ON (c.case_id) c.opened_at AS at, c.case_id, c.reason, c.owner_queue, c.state,
                   c.entity_code, c.assigned_to, c.closed_at, c.closed_because, c.details
            FROM case_file c LEFT JOIN case_member m USING (case_id)
            CROSS JOIN LATERAL (
                SELECT %(connection_key)s || ':' || %(deal_ref)s AS deal_key
                UNION SELECT p.deal_key FROM provisioning_plan p
                WHERE (p.connection_key, p.source_epoch, p.deal_ref)
                    = (%(connection_key)s, %(source_epoch)s, %(deal_ref)s)) d
            WHERE (c.thing_kind, c.thing_key) = ('deal', d.deal_key)
               OR (m.member_kind, m.member_key) = ('deal', d.deal_key)
            ORDER BY c.case_id LIMIT %(limit)s""",
    ),
)

CASE = (
    Chapter(
        what="opened",
        statement="""
            SELECT c.opened_at AS at, c.case_id, c.reason, c.owner_queue, c.thing_kind, c.thing_key,
                   c.state, c.entity_code, c.assigned_to, c.due_at, c.closed_at, c.closed_because,
                   c.dismissed_by, c.details, u.release_id, u.message, u.fix_hint, u.predicate,
                   c.correlation_id
            FROM case_file c
            LEFT JOIN LATERAL (
                SELECT u.* FROM rule u JOIN release r USING (release_id)
                WHERE u.code = c.reason AND r.state = 'current' ORDER BY u.book LIMIT 1
            ) u ON true
            WHERE c.case_id = %(case_id)s LIMIT %(limit)s""",
    ),
    Chapter(
        what="holds",
        source=_SOURCE,
        statement="""
            SELECT m.joined_at AS at, m.member_kind, m.member_key, m.entry_id, m.seconds, m.amount,
                   m.currency, m.basis, m.left_at, v.entity_code,
                   coalesce(t.connection_key, CASE WHEN m.member_kind = 'deal'
                       THEN split_part(m.member_key, ':', 1) END) AS connection_key,
                   coalesce(t.object, CASE WHEN m.member_kind = 'deal' THEN 'deals' END) AS object,
                   coalesce(t.source_ref, CASE WHEN m.member_kind = 'deal'
                       THEN split_part(m.member_key, ':', 2) END) AS source_ref
            FROM case_member_seen m LEFT JOIN time_entry t USING (entry_id)
            LEFT JOIN verdict v ON v.verdict_id = t.verdict_id
            WHERE m.case_id = %(case_id)s ORDER BY m.joined_at, m.member_key LIMIT %(limit)s""",
    ),
    Chapter(
        what="decided",
        statement="""
            SELECT a.at, a.actor, a.action, a.reason, a.entity_code, a.data FROM audit a
            WHERE a.object = 'case:' || %(case_id)s::uuid::text ORDER BY a.audit_id LIMIT %(limit)s""",
    ),
)

INVOICE_LINE = (
    Chapter(
        what="stands on the invoice",
        system="target_connection",
        target=_TARGET,
        statement="""
            SELECT i.recorded_at AS at, i.target_connection, 'invoice' AS noun, i.target_code, i.number,
                   i.state, i.invoice_id, i.entity_code, c.contract_code, f.period_code, n.line_code,
                   n.description, n.quantity, n.unit, n.unit_price, n.amount, i.currency, n.expected_amount,
                   n.ledger_amount, n.rounding_amount, n.task_codes, i.business_key, i.correlation_id
            FROM invoice_line_record n JOIN invoice_record i USING (invoice_id)
            JOIN contract c USING (contract_id) JOIN fiscal_period f USING (period_id)
            WHERE (n.invoice_id, n.line_code) = (%(invoice_id)s, %(line_code)s) LIMIT %(limit)s""",
    ),
    Chapter(
        what="released",
        statement="""
            SELECT k.released_at AS at, k.lock_id, k.released_by, k.reason, k.up_to_on, k.entity_code
            FROM invoice_record i JOIN release_lock k USING (contract_id, period_id)
            WHERE i.invoice_id = %(invoice_id)s ORDER BY k.released_at LIMIT %(limit)s""",
    ),
    Chapter(
        what="made of",
        system="connection_key",
        source=_SOURCE,
        statement="""
            SELECT l.booked_at AS at, t.connection_key, t.object, t.source_ref, t.entry_id, l.line_id,
                   l.business_key, l.entity_code, l.person_id, l.work_date, l.seconds, l.rate_amount,
                   l.amount, l.currency, v.release_id, v.verdict_id
            FROM invoice_line_record n
            JOIN invoice_together g ON g.invoice_id = n.invoice_id
            JOIN invoice_ledger_line k ON k.invoice_id = g.together_id
            JOIN ledger_line l USING (business_key)
            JOIN effect e USING (business_key)
            JOIN time_entry t ON t.entry_id = l.entry_id
            LEFT JOIN verdict v ON v.verdict_id = e.verdict_id
            WHERE (n.invoice_id, n.line_code) = (%(invoice_id)s, %(line_code)s)
              AND EXISTS (SELECT FROM crosswalk x WHERE x.our_id = l.contract_line_id
                          AND x.noun = 'erp_task' AND x.source_ref = ANY (n.task_codes))
            ORDER BY l.work_date, t.source_ref LIMIT %(limit)s""",
    ),
)
