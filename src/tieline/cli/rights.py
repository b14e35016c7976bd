"""Who may do what: people, keys of machines, and what waits for a second person."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from tieline.cli.showing import show_facts, show_json, show_table, tell
from tieline.cli.tools import (
    CONTROLLER,
    Tools,
    as_id,
    ask_secret,
    by_option,
    decider,
    json_option,
    pass_tools,
    reason_option,
    shell_user,
    signed,
)
from tieline.governance import ADMIN, ROLES, SCOPES, open_web_transaction
from tieline.kernel.errors import UserMistake
from tieline.services.system import System
from tieline.settings import NEW_PASSWORD_VARIABLE

_PASSWORD_BYTES = 12
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_RELEASE = "release:"
_DAYS_MAX = 3660
_DAY = click.DateTime(["%Y-%m-%d"])
_roles_option = click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice(sorted(ROLES)),
    help="; ".join(f"{role} {what}" for role, what in sorted(ROLES.items())) + ". Repeat it.",
)
_entities_option = click.option(
    "--entity", "entities", multiple=True, help="A legal entity they see; repeat it."
)
_all_entities_option = click.option(
    "--all-entities", is_flag=True, help="Every legal entity there is now."
)
_until_option = click.option(
    "--until", type=_DAY, help="The first day, in UTC, on which they may no longer log in."
)
_ask_password_option = click.option(
    "--ask-password", is_flag=True, help="Ask for the password; else it is made up."
)


@click.group()
def people() -> None:
    """People who may log in; and erasing somebody who delivers."""


@people.command("add")
@click.argument("login")
@click.option("--name", "display_name", help="How pages call them; else the login.")
@_roles_option
@_entities_option
@_all_entities_option
@_until_option
@_ask_password_option
@json_option
@pass_tools
def people_add(
    tools: Tools,
    login: str,
    display_name: str | None,
    roles: Sequence[str],
    entities: Sequence[str],
    all_entities: bool,
    until: datetime | None,
    ask_password: bool,
    as_json: bool,
) -> int:
    """Let somebody log in; a password that is made up is shown once."""
    from tieline.governance import add_person

    login = login_of(login)
    password = chosen_password(login, is_asked=ask_password)
    system = tools.system()
    seen = _entities(system, entities, all_entities=all_entities)
    with system.database.transaction() as connection:
        person = add_person(
            connection,
            login=login,
            display_name=display_name or login,
            password=password,
            roles=roles,
            entities=seen,
            by=shell_user(),
            now=system.clock.now(),
            ends_at=until and until.replace(tzinfo=UTC),
        )
    facts = {"login": person.login, "roles": person.roles, "entities": person.entities}
    show_facts(facts if ask_password else {**facts, "password": password}, as_json=as_json)
    return 0


@people.command("list")
@json_option
@pass_tools
def people_list(tools: Tools, as_json: bool) -> int:
    """List who may log in."""
    from tieline.governance import list_people

    system = tools.system()
    with system.database.transaction() as connection:
        found = list_people(connection)
    if as_json:
        show_json({"people": found})
        return 0
    show_table(
        title="People",
        columns=("Login", "Name", "Roles", "Entities", "Until"),
        rows=[
            (
                each.login,
                each.display_name,
                ", ".join(each.roles),
                ", ".join(each.entities),
                f"{each.ends_at:%Y-%m-%d}" if each.ends_at else "",
            )
            for each in found
        ],
    )
    return 0


@people.command("change")
@click.argument("who", metavar="LOGIN")
@_roles_option
@_entities_option
@_all_entities_option
@_until_option
@reason_option
@by_option
@json_option
@pass_tools
def people_change(
    tools: Tools,
    who: str,
    roles: Sequence[str],
    entities: Sequence[str],
    all_entities: bool,
    until: datetime | None,
    reason: str,
    login: str,
    as_json: bool,
) -> int:
    """Give LOGIN these roles and legal entities instead of those they have; it holds at once.

    Without --until their login ends when it ended before, if it does.
    """
    from tieline.governance import change_person, list_people

    system = tools.system()
    by = decider(signed(system, login), role=ADMIN)
    seen = _entities(system, entities, all_entities=all_entities)
    with system.database.transaction() as connection:
        before = {each.login: each.ends_at for each in list_people(connection)}
        person = change_person(
            connection,
            login=who,
            roles=roles,
            entities=seen,
            ends_at=until.replace(tzinfo=UTC) if until else before.get(who.lower()),
            by=by.login,
            reason=reason,
            now=system.clock.now(),
        )
    show_facts(
        {"login": person.login, "roles": person.roles, "entities": person.entities}, as_json=as_json
    )
    return 0


@people.command("close")
@click.argument("who", metavar="LOGIN")
@reason_option
@by_option
@json_option
@pass_tools
def people_close(tools: Tools, who: str, reason: str, login: str, as_json: bool) -> int:
    """Let LOGIN in no more: sessions end at once, and keys that act for them open nothing."""
    from tieline.governance import close_person

    system = tools.system()
    by = decider(signed(system, login), role=ADMIN)
    with system.database.transaction() as connection:
        close_person(connection, login=who, by=by.login, reason=reason, now=system.clock.now())
    show_facts({"login": who.lower(), "state": "closed"}, as_json=as_json)
    return 0


@people.command("log-out")
@click.argument("who", metavar="LOGIN")
@reason_option
@by_option
@json_option
@pass_tools
def people_log_out(tools: Tools, who: str, reason: str, login: str, as_json: bool) -> int:
    """End every open session of LOGIN."""
    from tieline.governance import end_sessions

    system = tools.system()
    by = decider(signed(system, login), role=ADMIN)
    with system.database.transaction() as connection:
        ended = end_sessions(
            connection, login=who, by=by.login, reason=reason, now=system.clock.now()
        )
    show_facts({"login": who.lower(), "sessions_ended": ended}, as_json=as_json)
    return 0


@people.command("password")
@click.argument("who", metavar="LOGIN")
@_ask_password_option
@by_option
@json_option
@pass_tools
def people_password(tools: Tools, who: str, ask_password: bool, login: str, as_json: bool) -> int:
    """Give LOGIN a new password: it lifts a lock and ends their sessions."""
    from tieline.governance import set_password

    password = chosen_password(who, is_asked=ask_password)
    system = tools.system()
    by = decider(signed(system, login), role=None if who.lower() == login.lower() else ADMIN)
    with system.database.transaction() as connection:
        set_password(connection, login=who, password=password, by=by.login, now=system.clock.now())
    facts = {"login": who.lower(), "state": "password set"}
    show_facts(facts if ask_password else {**facts, "password": password}, as_json=as_json)
    return 0


@people.command("bind")
@click.argument("who", metavar="LOGIN")
@click.option("--subject", help="The subject that the provider calls them by.")
@click.option("--email", help="Or the address that it will have verified when they first come.")
@reason_option
@by_option
@json_option
@pass_tools
def people_bind(
    tools: Tools,
    who: str,
    subject: str | None,
    email: str | None,
    reason: str,
    login: str,
    as_json: bool,
) -> int:
    """Let LOGIN sign in by the provider that TIELINE_OIDC_ISSUER names; roles stay those they have here."""
    from tieline.governance import bind_identity

    system = tools.system()
    issuer = _issuer(system)
    by = decider(signed(system, login), role=ADMIN)
    with system.database.transaction() as connection:
        bind_identity(
            connection,
            login=who,
            issuer=issuer,
            subject=subject,
            email=email,
            pepper=system.pepper,
            by=by.login,
            reason=reason,
            now=system.clock.now(),
        )
    show_facts({"login": who.lower(), "issuer": issuer, "state": "bound"}, as_json=as_json)
    return 0


@people.command("unbind")
@click.argument("who", metavar="LOGIN")
@reason_option
@by_option
@json_option
@pass_tools
def people_unbind(tools: Tools, who: str, reason: str, login: str, as_json: bool) -> int:
    """Let LOGIN sign in by the provider no more; sessions that are open go on until they are ended."""
    from tieline.governance import unbind_identity

    system = tools.system()
    issuer = _issuer(system)
    by = decider(signed(system, login), role=ADMIN)
    with system.database.transaction() as connection:
        unbind_identity(
            connection,
            login=who,
            issuer=issuer,
            by=by.login,
            reason=reason,
            now=system.clock.now(),
        )
    show_facts({"login": who.lower(), "issuer": issuer, "state": "not bound"}, as_json=as_json)
    return 0


@people.command("erase")
@click.argument("who")
@reason_option
@by_option
@json_option
@pass_tools
def people_erase(tools: Tools, who: str, reason: str, login: str, as_json: bool) -> int:
    """Erase somebody who delivers, by e-mail or id: name, address and texts go, every sum stays."""
    from tieline.services.erasing import erase

    system = tools.system()
    by = decider(signed(system, login), role=ADMIN)
    with system.database.transaction() as connection:
        erased = erase(connection, who=who, by=by.login, reason=reason, now=system.clock.now())
    show_facts(
        {
            "person_id": erased.person_id,
            "raw_rows": erased.raw_rows,
            "versions": erased.versions,
            "narratives": erased.narratives,
            "keys": erased.keys,
        },
        as_json=as_json,
    )
    return 0


@click.group()
def keys() -> None:
    """Keys of machines; each acts for the person who issued it."""


@keys.command("issue")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(sorted(SCOPES)))
@click.option("--entity", "entities", multiple=True, help="A legal entity it sees; repeat it.")
@click.option("--days", type=click.IntRange(1, _DAYS_MAX), help="It ends after so many days.")
@by_option
@json_option
@pass_tools
def keys_issue(
    tools: Tools,
    name: str,
    scopes: Sequence[str],
    entities: Sequence[str],
    days: int | None,
    login: str,
    as_json: bool,
) -> int:
    """Issue a key; its secret is shown once and kept nowhere."""
    from tieline.governance import issue_api_key

    system = tools.system()
    person = signed(system, login)
    decider(person, role=ADMIN)
    beyond = sorted(set(entities) - set(person.entities))
    if beyond:
        raise UserMistake(f"{login} does not see {', '.join(beyond)}")
    now = system.clock.now()
    with system.database.transaction() as connection:
        issued = issue_api_key(
            connection,
            pepper=system.pepper,
            name=name,
            scopes=scopes,
            entities=entities or person.entities,
            by=person.login,
            now=now,
            expires_at=_expiry(now, days),
        )
    show_facts(
        {"name": issued.name, "key_id": issued.key_id, "key": issued.secret}, as_json=as_json
    )
    return 0


@keys.command("list")
@json_option
@pass_tools
def keys_list(tools: Tools, as_json: bool) -> int:
    """List the keys in use, without their secrets."""
    from tieline.governance import list_api_keys

    system = tools.system()
    with system.database.transaction() as connection:
        found = list_api_keys(connection)
    if as_json:
        show_json({"keys": found})
        return 0
    show_table(
        title="Keys",
        columns=("Name", "Scopes", "Entities", "Acts for"),
        rows=[
            (each.name, ", ".join(sorted(each.scopes)), ", ".join(each.entities), each.issued_by)
            for each in found
        ],
    )
    return 0


@keys.command("revoke")
@click.argument("name")
@reason_option
@by_option
@json_option
@pass_tools
def keys_revoke(tools: Tools, name: str, reason: str, login: str, as_json: bool) -> int:
    """Close a key at once."""
    from tieline.governance import revoke_api_key

    system = tools.system()
    by = decider(signed(system, login), role=ADMIN)
    with system.database.transaction() as connection:
        revoke_api_key(connection, name=name, by=by.login, reason=reason, now=system.clock.now())
    show_facts({"name": name, "state": "revoked"}, as_json=as_json)
    return 0


@click.group()
def proposals() -> None:
    """What one person asked for and another decides."""


@proposals.command("list")
@json_option
@pass_tools
def proposals_list(tools: Tools, as_json: bool) -> int:
    """List what waits for a second person; a release of rules is named release:NUMBER."""
    from tieline.governance import list_proposals
    from tieline.services.deciding import list_draft_releases

    system = tools.system()
    with system.database.transaction() as connection:
        found = list_proposals(connection)
        releases = list_draft_releases(connection)
    if as_json:
        show_json({"proposals": found, "releases": releases})
        return 0
    rows = [
        (
            f"{_RELEASE}{each.release_id}",
            "release of rules",
            each.title,
            each.proposed_by,
            each.reason,
        )
        for each in releases
    ]
    rows += [
        (str(each.proposal_id), each.kind, each.object, each.proposed_by, each.reason)
        for each in found
    ]
    show_table(
        title="Waits for a second person",
        columns=("Proposal", "Kind", "What", "Proposed by", "Why"),
        rows=rows,
    )
    return 0


@proposals.command("approve")
@click.argument("proposal")
@click.option("--reason", default="", help="Why; it is kept with the decision.")
@by_option
@json_option
@pass_tools
def proposals_approve(tools: Tools, proposal: str, reason: str, login: str, as_json: bool) -> int:
    """Agree as the second person, and have it carried out."""
    from tieline.services.deciding import (
        approve_and_carry_out,
        approve_draft_release,
        database_of,
    )

    system = tools.system()
    person = signed(system, login)
    by = decider(person, role=CONTROLLER)
    now = system.clock.now()
    try:
        if proposal.startswith(_RELEASE):
            with system.database.transaction() as connection:
                approve_draft_release(
                    connection,
                    release_id=_release_id(proposal),
                    by=by,
                    entities=person.entities,
                    now=now,
                )
            show_facts({"proposal": proposal, "state": "current"}, as_json=as_json)
            return 0
        proposal_id = as_id(proposal, what="proposal")
        database = database_of(system, proposal_id=proposal_id, entities=person.entities)
        with open_web_transaction(database, entities=person.entities) as connection:
            done = approve_and_carry_out(
                connection,
                proposal_id=proposal_id,
                reason=reason,
                by=by,
                connectors=system.connectors,
                now=now,
            )
    except LookupError as error:
        raise UserMistake(f"no proposal {proposal} is in {login}'s sight") from error
    show_facts(
        {"proposal": proposal, "state": done.proposal.state, "things": done.things},
        as_json=as_json,
    )
    return 0


@proposals.command("reject")
@click.argument("proposal")
@reason_option
@by_option
@json_option
@pass_tools
def proposals_reject(tools: Tools, proposal: str, reason: str, login: str, as_json: bool) -> int:
    """Turn a proposal down, or take one's own back."""
    from tieline.governance import reject
    from tieline.services.deciding import reject_draft_release

    system = tools.system()
    person = signed(system, login)
    by = decider(person, role=CONTROLLER)
    now = system.clock.now()
    try:
        if proposal.startswith(_RELEASE):
            with system.database.transaction() as connection:
                reject_draft_release(
                    connection,
                    release_id=_release_id(proposal),
                    reason=reason,
                    by=by,
                    entities=person.entities,
                    now=now,
                )
        else:
            with open_web_transaction(system.web_database, entities=person.entities) as connection:
                reject(
                    connection,
                    proposal_id=as_id(proposal, what="proposal"),
                    by=by.login,
                    reason=reason,
                    now=now,
                )
    except LookupError as error:
        raise UserMistake(f"no proposal {proposal} is in {login}'s sight") from error
    show_facts({"proposal": proposal, "state": "rejected"}, as_json=as_json)
    return 0


def login_of(text: str) -> str:
    """Return a login as it is kept.

    :raises UserMistake: it can be none.
    """
    if not _LOGIN.fullmatch(text.lower()):
        raise UserMistake(f"{text} is no login: letters, digits, . _ @ and -, at most 64")
    return text.lower()


def chosen_password(login: str, *, is_asked: bool) -> str:
    """Return a password that is asked for, or one that is made up.

    :raises UserMistake: it should be asked for, and nobody is there.
    """
    if not is_asked:
        return secrets.token_urlsafe(_PASSWORD_BYTES)
    return os.environ.get(NEW_PASSWORD_VARIABLE) or ask_secret(
        f"New password of {login}", variable=NEW_PASSWORD_VARIABLE
    )


def _issuer(system: System) -> str:
    if system.settings.provider is None:
        raise UserMistake(
            "no provider is named: set TIELINE_OIDC_ISSUER and TIELINE_OIDC_CLIENT_ID"
        )
    return system.settings.provider.issuer


def _entities(system: System, given: Sequence[str], *, all_entities: bool) -> Sequence[str]:
    from tieline.services.installation import entity_codes

    with system.database.transaction() as connection:
        known = entity_codes(connection)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise UserMistake(f"nobody declared {', '.join(unknown)}: {', '.join(known)}")
    if not all_entities and not given:
        tell("no legal entity is given: the person will see none")
    return known if all_entities else given


def _expiry(now: datetime, days: int | None) -> datetime | None:
    return None if days is None else now + timedelta(days=days)


def _release_id(text: str) -> int:
    number = text.removeprefix(_RELEASE)
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise UserMistake(f"{text} is no release: write release:NUMBER")
    return int(number)


COMMANDS: tuple[click.Command, ...] = (people, keys, proposals)
