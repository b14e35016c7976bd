"""A firm's policy as a file: values, severities and rules of its own; read, written, drafted as a release.

Pattern: a file is the state of what the firm said, so what it leaves out is withdrawn; the difference is told
before anybody approves. Vendor calls: none.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tieline.kernel.errors import UserMistake
from tieline.policy import (
    Override,
    PolicyValue,
    ReleaseLine,
    Rule,
    current_release,
    diff_releases,
    draft_release,
    find_release,
    read_release,
)
from tieline.runtime.database import Row
from tieline.services.deal_groups import GROUPED_BY, GROUPINGS
from tieline.services.installation import entity_codes
from tieline.services.provisioning_checks import CHECKS as PROVISIONING_CHECKS
from tieline.services.readiness_checks import CHECKS as READINESS_CHECKS
from tieline.validation import (
    BOOK_OF_DEALS,
    HOUR,
    RULE_FAILED,
    always_held,
    builtin_rules,
    builtin_values,
    check_own_deal_rules,
    check_own_rules,
    is_of_deals,
    looks_at,
    write_predicate,
)

OWN_RULES_MAX = 50
_ITEMS_MAX = 2000
_NUMBER_MAX = 10**9
_FIRST_POSITION = 10_000
_WEIGHT = "weight:"
_WEIGHTS = ("block", "risk", "warn", "ignore")
# What a value may say, where it is a word and not a number.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "change_in_open_period": ("rebook", "ask"),
    "change_in_closed_period": ("adjust", "reopen"),
    "change_of_invoiced": ("credit_and_rebill", "hold"),
    "handover_begins": ("by_itself", "by_person"),
    GROUPED_BY: GROUPINGS,
    "unbilled_of_lost_deal": ("keep", "reverse"),
    "recognition_of_fixed_fee": ("hours", "cost", "milestone", "straight_line"),
}
_FIELD_SENTENCES = {
    "code": "begin it with firm. and go on with small letters, digits and underscores",
    "message": "say in one line of 300 characters at most what is wrong with such an hour",
    "fix": "say in one line of 300 characters at most what somebody should do about it",
}
# An amount of money, or nothing.
_AMOUNTS = frozenset({"handover_two_people_from", "deal_approval_from"})
_LINE = r"^[^\x00-\x1f\x7f]*$"
_Line = Field(min_length=1, max_length=300, pattern=_LINE)
_Short = Field(min_length=1, max_length=100, pattern=_LINE)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileValue(_Strict):
    """A value, for every legal entity or one."""

    name: str = _Short
    entity: str = Field(default="", max_length=100)
    value: str | int
    reason: str = _Line


class FileSeverity(_Strict):
    """Another severity of a rule, narrowed by legal entity, client and contract, between two dates."""

    rule: str = _Short
    severity: Literal["error", "warn", "ignore"]
    entity: str | None = Field(default=None, max_length=100)
    client: str | None = Field(default=None, max_length=300)
    contract: str | None = Field(default=None, max_length=100)
    starts_on: date
    ends_on: date | None = None
    reason: str = _Line


class FileRule(_Strict):
    """A rule that the firm wrote itself."""

    code: str = Field(pattern=r"^firm\.[a-z][a-z0-9_]{0,58}$")
    of: Literal["hour", "deal", "line", "person"] = "hour"
    applies_when: str = Field(default="true", max_length=1000)
    predicate: str = Field(max_length=1000)
    severity: Literal["error", "warn", "ignore"]
    owner: str = _Short
    thing: Literal["entry", "person_week", "person", "project", "contract", "period"] = "entry"
    message: str = _Line
    fix: str = _Line


class PolicyFile(_Strict):
    """Everything that a firm said: what is not in it is not said any more."""

    title: str = _Line
    value: list[FileValue] = Field(default=[], max_length=_ITEMS_MAX)
    severity: list[FileSeverity] = Field(default=[], max_length=_ITEMS_MAX)
    rule: list[FileRule] = Field(default=[], max_length=OWN_RULES_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A release that waits for a second person, and in words what it changes."""

    release_id: int
    based_on: int
    changes: tuple[str, ...]


class FieldMistake(UserMistake):
    """One field of a form says something that cannot be; ``field`` names it."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A release as people read it: who and when, what it changes against ``against``, and what it says."""

    line: ReleaseLine
    against: int
    changes: tuple[str, ...]
    policy: PolicyFile


def show_release(connection: Connection[Row], *, release_id: int) -> Shown:
    """Return a release as people read it.

    :raises LookupError: there is no such release.
    """
    line = find_release(connection, release_id=release_id)
    if line is None:
        raise LookupError(f"there is no release {release_id}")
    against = line.based_on or current_release(connection).release_id
    changes = diff_releases(connection, old_release_id=against, new_release_id=release_id)
    return Shown(
        line=line,
        against=against,
        changes=tuple(changes),
        policy=export_policy(connection, release_id=release_id),
    )


def read_policy_file(text: str, *, is_json: bool) -> PolicyFile:
    """Understand a file, in TOML or JSON.

    :raises UserMistake: it is neither, or says something that a policy does not have.
    """
    try:
        told: Any = json.loads(text) if is_json else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserMistake(f"this is no {'JSON' if is_json else 'TOML'}: {error}") from error
    return understand_policy(told)


def understand_policy(told: object) -> PolicyFile:
    """Understand what was read from a file or a form.

    :raises UserMistake: it says something that a policy does not have.
    """
    try:
        return PolicyFile.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserMistake(f"{place or 'the file'}: {first['msg']}") from error


def export_policy(connection: Connection[Row], *, release_id: int | None = None) -> PolicyFile:
    """Return what the firm said in a release, the current one unless another is named.

    :raises UserMistake: there is no such release.
    """
    number = current_release(connection).release_id if release_id is None else release_id
    found = read_release(connection, release_id=number)
    clients, contracts = _client_names(connection), _contract_codes(connection)
    return PolicyFile(
        title=found.line.title,
        value=[
            FileValue(name=v.name, entity=v.entity_code, value=v.value, reason=v.reason)
            for v in found.values
        ],
        severity=[
            FileSeverity.model_construct(
                rule=o.code,
                severity=o.severity,
                entity=o.entity_code,
                client=None if o.client_id is None else clients.get(o.client_id, str(o.client_id)),
                contract=None if o.contract_id is None else contracts.get(o.contract_id),
                starts_on=o.starts_on,
                ends_on=o.ends_on,
                reason=o.reason,
            )
            for o in found.overrides
        ],
        rule=[
            FileRule.model_construct(
                code=rule.code,
                of=looks_at(rule),
                applies_when=rule.applies_when,
                predicate=rule.predicate,
                severity=rule.severity,
                owner=rule.owner_queue,
                thing="entry" if is_of_deals(rule) else rule.thing,
                message=rule.message,
                fix=rule.fix_hint,
            )
            for rule in found.own_rules
        ],
    )


def write_toml(file: PolicyFile) -> str:
    """Return a policy as TOML, as `read_policy_file` understands it."""
    told = file.model_dump(mode="json", exclude_none=True)
    lines = [f"title = {_toml(told['title'])}"]
    for table in ("value", "severity", "rule"):
        for item in told[table]:
            lines += ["", f"[[{table}]]"]
            lines += [
                f"{name} = {value if name in _DAYS else _toml(value)}"
                for name, value in item.items()
                if value != "" or name == "value"
            ]
    return "\n".join(lines) + "\n"


def draft_policy(
    connection: Connection[Row],
    *,
    file: PolicyFile,
    by: str,
    reason: str,
    now: datetime,
    is_installed: bool = False,
) -> Drafted:
    """Propose a release that says what the file says; a second person decides.

    The shipped rules stay those of the current release; with ``is_installed`` they are those of the version
    that is installed.

    :raises UserMistake: it names what there is not, says something twice, changes nothing, or a rule cannot be
        answered.
    """
    current = current_release(connection)
    found = read_release(connection, release_id=current.release_id)
    own = [_own_rule(number, each) for number, each in enumerate(file.rule)]
    _refuse_twice("rule", [rule.code for rule in own])
    rules = [*_shipped(found.shipped_rules, is_installed=is_installed), *own]
    codes = {
        *(rule.code for rule in rules),
        *(check.code for check in PROVISIONING_CHECKS),
        *(check.code for check in READINESS_CHECKS),
    }
    entities = frozenset(entity_codes(connection))
    clients, contracts = _client_ids(connection, file), _contract_ids(connection, file)
    overrides = [
        _override(each, codes=codes, entities=entities, clients=clients, contracts=contracts)
        for each in file.severity
    ]
    _refuse_overlaps(overrides)
    of_hours = [rule for rule in own if not is_of_deals(rule)]
    check_own_rules(connection, rules=of_hours, release_id=current.release_id, known_at=now)
    check_own_deal_rules(connection, rules=[rule for rule in own if is_of_deals(rule)])
    release_id = draft_release(
        connection,
        title=file.title,
        rules=rules,
        values=_values(file.value, entities=entities),
        overrides=overrides,
        proposed_by=by,
        reason=reason,
        now=now,
        based_on=current.release_id,
    )
    changes = diff_releases(
        connection, old_release_id=current.release_id, new_release_id=release_id
    )
    if not changes:
        raise UserMistake(f"this is what release {current.release_id} says already")
    return Drafted(release_id=release_id, based_on=current.release_id, changes=tuple(changes))


def draft_own_rule(
    connection: Connection[Row],
    *,
    told: Mapping[str, str],
    by: str,
    reason: str,
    now: datetime,
) -> Drafted:
    """Propose what the firm says now with one rule of its own more, or in place of the one of its code.

    :raises FieldMistake: one of its fields says something that cannot be.
    :raises UserMistake: it changes nothing, or the rule cannot be answered.
    """
    try:
        rule = FileRule.model_validate(dict(told))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0])
        raise FieldMistake(name, _FIELD_SENTENCES.get(name, first["msg"])) from error
    for name in ("applies_when", "predicate"):
        try:
            write_predicate(getattr(rule, name), of=rule.of)
        except UserMistake as error:
            raise FieldMistake(name, str(error)) from error
    if rule.owner not in owner_queues():
        raise FieldMistake("owner", f"owner is one of {', '.join(owner_queues())}")
    current = export_policy(connection)
    others = [each for each in current.rule if each.code != rule.code]
    try:
        return draft_policy(
            connection,
            file=current.model_copy(update={"rule": [*others, rule]}),
            by=by,
            reason=reason,
            now=now,
        )
    except UserMistake as error:
        raise FieldMistake("predicate", str(error)) from error


def owner_queues() -> tuple[str, ...]:
    """Return who may be asked to mend what a rule finds."""
    of_hours = {rule.owner_queue for rule in builtin_rules()}
    return tuple(sorted(of_hours | {check.owner_queue for check in PROVISIONING_CHECKS}))


# -- what a file may say ---------------------------------------------------------------------------


def _shipped(current: Sequence[Rule], *, is_installed: bool) -> list[Rule]:
    if is_installed:
        return list(builtin_rules())
    if any(rule.code == RULE_FAILED for rule in current):
        return list(current)
    # Made before there were rules of firms: what holds an hour when one fails is needed with the first.
    return [*current, *(rule for rule in builtin_rules() if rule.code == RULE_FAILED)]


def _own_rule(number: int, told: FileRule) -> Rule:
    if told.owner not in owner_queues():
        raise UserMistake(f"{told.code}: owner is one of {', '.join(owner_queues())}")
    is_of_hours = told.of == HOUR
    if not is_of_hours and told.thing != "entry":
        raise UserMistake(
            f"{told.code}: what a case of a deal is about is the deal; leave thing out"
        )
    return Rule(
        book="time" if is_of_hours else BOOK_OF_DEALS,
        code=told.code,
        position=_FIRST_POSITION + number,
        scope="row",
        applies_when=told.applies_when,
        predicate=told.predicate,
        severity=told.severity,
        owner_queue=told.owner,
        thing=told.thing if is_of_hours else told.of,
        message=told.message,
        fix_hint=told.fix,
        source="own",
        neighbors=(),
    )


def _values(told: Sequence[FileValue], *, entities: frozenset[str]) -> list[PolicyValue]:
    _refuse_twice("value", [" ".join((each.name, each.entity)).strip() for each in told])
    shipped = {value.name: value for value in builtin_values()}
    values = []
    for each in told:
        if each.entity and each.entity not in entities:
            raise UserMistake(f"{each.name}: there is no legal entity {each.entity}")
        values.append(
            PolicyValue(
                name=each.name,
                entity_code=each.entity,
                value=_checked_value(each, shipped),
                reason=each.reason,
            )
        )
    said = {value.name for value in values if not value.entity_code}
    return [*values, *(value for name, value in shipped.items() if name not in said)]


def _checked_value(told: FileValue, shipped: Mapping[str, PolicyValue]) -> str:
    value = str(told.value)
    if told.name.startswith(_WEIGHT):
        if told.name.removeprefix(_WEIGHT) not in {check.code for check in READINESS_CHECKS}:
            raise UserMistake(f"{told.name}: there is no such check of readiness")
        return _one_of(told.name, value, _WEIGHTS)
    if told.name not in shipped:
        raise UserMistake(f"no value is called {told.name}")
    if told.name in _WORDS:
        return _one_of(told.name, value, _WORDS[told.name])
    if told.name in _AMOUNTS and value and not re.fullmatch(r"\d{1,12}(\.\d{1,2})?", value):
        raise UserMistake(f"{told.name}: {value!r} is no amount such as 50000.00")
    if shipped[told.name].value.isdecimal():
        # Every hour is compared with it: a word here would stop the judging of all of them.
        if not re.fullmatch(r"\d{1,10}", value) or int(value) > _NUMBER_MAX:
            raise UserMistake(f"{told.name}: {value!r} is no whole number from 0 to {_NUMBER_MAX}")
        return str(int(value))
    if len(value) > 200 or not re.fullmatch(_LINE, value):
        raise UserMistake(f"{told.name}: a text has at most 200 characters, on one line")
    return value


def _override(
    told: FileSeverity,
    *,
    codes: set[str],
    entities: frozenset[str],
    clients: Mapping[str, Sequence[UUID]],
    contracts: Mapping[str, UUID],
) -> Override:
    if told.rule not in codes:
        raise UserMistake(f"there is no rule {told.rule}")
    if told.rule in always_held() and told.severity != "error":
        # Planning would find no person, period or price, and say nothing; or it would post twice.
        raise UserMistake(
            f"{told.rule} always holds: no hour is posted safely without what it asks for, so it is mended, not"
            f" made {told.severity}"
        )
    if told.entity is not None and told.entity not in entities:
        raise UserMistake(f"{told.rule}: there is no legal entity {told.entity}")
    if told.ends_on is not None and told.ends_on <= told.starts_on:
        raise UserMistake(f"{told.rule}: it ends on {told.ends_on}, before it begins")
    client_id = None if told.client is None else _client_id(told.client, clients)
    if told.contract is not None and told.contract not in contracts:
        raise UserMistake(f"there is no contract {told.contract}")
    return Override(
        code=told.rule,
        entity_code=told.entity,
        client_id=client_id,
        contract_id=None if told.contract is None else contracts[told.contract],
        starts_on=told.starts_on,
        ends_on=told.ends_on,
        severity=told.severity,
        reason=told.reason,
    )


def _refuse_overlaps(overrides: Sequence[Override]) -> None:
    # Two that hold on one day for the same hours would be decided by their order.
    until: dict[tuple[object, ...], date | None] = {}
    for each in sorted(overrides, key=lambda each: each.starts_on):
        whom = (each.code, each.entity_code, each.client_id, each.contract_id)
        if whom in until and ((end := until[whom]) is None or end > each.starts_on):
            raise UserMistake(
                f"{each.code}: two severities hold for the same hours on {each.starts_on}"
            )
        until[whom] = each.ends_on


def _refuse_twice(what: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UserMistake(f"the {what} {name} stands twice in the file")


def _one_of(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise UserMistake(f"{name}: {value!r} is none of {', '.join(allowed)}")
    return value


# -- names -----------------------------------------------------------------------------------------


def _client_ids(connection: Connection[Row], file: PolicyFile) -> dict[str, Sequence[UUID]]:
    """Return whom the name of a client in a file may mean: by its name, or its id."""
    rows = connection.execute(
        "SELECT told.name, array_agg(DISTINCT coalesce(n.redirect_to, n.client_id)) AS client_ids"
        " FROM unnest(%s::text[]) AS told (name)"
        " JOIN (SELECT client_id, lower(name) AS called FROM client_version WHERE superseded_at IS NULL"
        " UNION ALL SELECT client_id, client_id::text FROM client_version WHERE superseded_at IS NULL) v"
        " ON v.called = lower(told.name)"
        " JOIN client n ON n.client_id = v.client_id GROUP BY told.name",
        ([each.client for each in file.severity if each.client is not None],),
    ).fetchall()
    return {row["name"]: row["client_ids"] for row in rows}


def _client_id(name: str, clients: Mapping[str, Sequence[UUID]]) -> UUID:
    found = clients.get(name, ())
    if len(found) != 1:
        count = "no client" if not found else f"{len(found)} clients"
        raise UserMistake(f"{count} of ours is called {name}: name it by its id")
    return found[0]


def _contract_ids(connection: Connection[Row], file: PolicyFile) -> dict[str, UUID]:
    rows = connection.execute(
        "SELECT contract_code, contract_id FROM contract WHERE contract_code = ANY (%s::text[])",
        ([each.contract for each in file.severity if each.contract is not None],),
    ).fetchall()
    return {row["contract_code"]: row["contract_id"] for row in rows}


def _client_names(connection: Connection[Row]) -> dict[UUID, str]:
    """Return clients by the name that is theirs alone."""
    rows = connection.execute(
        "SELECT (array_agg(client_id))[1] AS client_id, min(name) AS name FROM client_version"
        " WHERE superseded_at IS NULL AND client_id IN (SELECT client_id FROM severity_override)"
        " AND lower(name) IN (SELECT lower(name) FROM client_version WHERE superseded_at IS NULL"
        " GROUP BY 1 HAVING count(*) = 1) GROUP BY lower(name)"
    ).fetchall()
    return {row["client_id"]: row["name"] for row in rows}


def _contract_codes(connection: Connection[Row]) -> dict[UUID, str]:
    rows = connection.execute(
        "SELECT contract_id, contract_code FROM contract"
        " WHERE contract_id IN (SELECT contract_id FROM severity_override)"
    ).fetchall()
    return {row["contract_id"]: row["contract_code"] for row in rows}


_DAYS = frozenset({"starts_on", "ends_on"})


def _toml(value: object) -> str:
    # A basic string of TOML is one of JSON; DEL is the one mark that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
