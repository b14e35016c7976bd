"""Know who may do what, keep two pairs of eyes on what moves money, and write down who did it.

In: logins, keys, proposals, decisions. Out: callers with rights, approved payloads, audit rows.
Law: nobody approves their own proposal; the audit only gains rows; secrets are kept as hashes.
"""

from tieline.governance.anchors import (
    NOTED_ANCHOR,
    find_noted_anchor,
    note_anchor,
    set_anchor_aside,
)
from tieline.governance.audit import AuditRow, list_audit, record_audit
from tieline.governance.chain import (
    BEGINNING,
    SEALED_AT_ONCE_MAX,
    Anchor,
    AuditState,
    export_audit,
    find_anchor,
    has_anchor,
    seal_audit,
    verify_audit,
    verify_export,
)
from tieline.governance.identities import (
    bind_identity,
    find_person_of_identity,
    unbind_identity,
    use_state,
)
from tieline.governance.keys import (
    SCOPES,
    ApiCaller,
    IssuedKey,
    issue_api_key,
    list_api_keys,
    revoke_api_key,
    verify_api_key,
)
from tieline.governance.people import (
    ADMIN,
    ROLES,
    OpenedSession,
    Person,
    add_person,
    authenticate,
    change_person,
    close_person,
    end_session,
    end_sessions,
    find_session,
    list_people,
    open_session,
    set_password,
)
from tieline.governance.proposals import (
    Proposal,
    approve,
    get_proposal,
    list_proposals,
    propose,
    reject,
)
from tieline.governance.sight import open_web_transaction

__all__ = [
    "ADMIN",
    "BEGINNING",
    "NOTED_ANCHOR",
    "ROLES",
    "SCOPES",
    "SEALED_AT_ONCE_MAX",
    "Anchor",
    "ApiCaller",
    "AuditRow",
    "AuditState",
    "IssuedKey",
    "OpenedSession",
    "Person",
    "Proposal",
    "add_person",
    "approve",
    "authenticate",
    "bind_identity",
    "change_person",
    "close_person",
    "end_session",
    "end_sessions",
    "export_audit",
    "find_anchor",
    "find_noted_anchor",
    "find_person_of_identity",
    "find_session",
    "get_proposal",
    "has_anchor",
    "issue_api_key",
    "list_api_keys",
    "list_audit",
    "list_people",
    "list_proposals",
    "note_anchor",
    "open_session",
    "open_web_transaction",
    "propose",
    "record_audit",
    "reject",
    "revoke_api_key",
    "seal_audit",
    "set_anchor_aside",
    "set_password",
    "unbind_identity",
    "use_state",
    "verify_api_key",
    "verify_audit",
    "verify_export",
]
