"""What may finance load by hand while an ERP is down? See it, propose the file, download it."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.requests import Request
from fastapi.responses import Response
from psycopg import Connection

from tieline.console.fields import FormReason, FormWord, QueryWord
from tieline.console.problems import not_found
from tieline.console.rendering import Renderer, back_to, waiting_proposals
from tieline.console.sessions import ROLES_THAT_APPROVE, Door, Visitor
from tieline.console.tie_out import read_entities
from tieline.governance import list_audit
from tieline.posting.cover_sheet import write_cover
from tieline.posting.handing_over import FileDraft, ImportFile, find_content, get_file
from tieline.services.fallback import VALID_HOURS, draft_files, propose_file, subject_of
from tieline.services.system import System

_AUDIT_SHOWN_MAX = 20
_MAY = (*ROLES_THAT_APPROVE, "auditor")

Row = dict[str, Any]


def add_routes(pages: FastAPI, *, system: System, door: Door, renderer: Renderer) -> None:
    """Add what a file would hold, proposing it, a file that was made, and its bytes."""

    def drafted(visitor: Visitor, *, target: str, entity: str, period: str) -> FileDraft:
        # What waits is read as the judge reads; who does not see the legal entity is told of none.
        with system.judge_database.transaction() as connection:
            (draft,) = draft_files(
                connection,
                connectors=system.connectors,
                target_connection=target,
                entities=[entity] if entity in visitor.entities else [],
                period_code=period or None,
                now=renderer.now,
                locks=False,
            )
        return draft

    @pages.get("/close/files")
    def preview(
        request: Request,
        visitor: Annotated[Visitor, Depends(door.visitor)],
        target: QueryWord,
        entity: QueryWord,
        period: QueryWord = "",
    ) -> Response:
        draft = drafted(visitor, target=target, entity=entity, period=period)
        with door.sight_of(visitor) as connection:
            entities = read_entities(connection)
            proposals = waiting_proposals(connection, object=subject_of(draft.scope))
        return renderer.page(
            request,
            visitor,
            "import_file_preview.html",
            draft=draft,
            entities=entities,
            proposals=proposals,
            valid_hours=VALID_HOURS,
            may_propose=visitor.may(ROLES_THAT_APPROVE),
            may_approve=visitor.may(ROLES_THAT_APPROVE),
        )

    @pages.post("/close/files")
    def ask(
        visitor: Annotated[Visitor, Depends(door.signed_visitor)],
        target: FormWord,
        entity: FormWord,
        reason: FormReason,
        period: FormWord = "",
    ) -> Response:
        visitor.must(ROLES_THAT_APPROVE, "propose files for manual loading")
        draft = drafted(visitor, target=target, entity=entity, period=period)
        with door.sight_of(visitor) as connection:
            propose_file(
                connection,
                draft=draft,
                valid_hours=VALID_HOURS,
                reason=reason,
                by=visitor.login,
                now=renderer.now,
            )
        return back_to("/close", done="proposed")

    @pages.get("/close/files/{file_name}")
    def one_file(
        request: Request, visitor: Annotated[Visitor, Depends(door.visitor)], file_name: str
    ) -> Response:
        with door.sight_of(visitor) as connection:
            file = _get(connection, file_name)
            found: dict[str, Any] = {
                "entities": read_entities(connection),
                "is_kept": find_content(connection, file_id=file.file_id) is not None,
                "audit": list_audit(
                    connection, object=f"file:{file.file_name}", limit=_AUDIT_SHOWN_MAX
                ),
            }
        return renderer.page(
            request,
            visitor,
            "import_file.html",
            file=file,
            may_load=visitor.may(_MAY),
            **found,
        )

    @pages.get("/close/files/{file_name}/content")
    def content(visitor: Annotated[Visitor, Depends(door.visitor)], file_name: str) -> Response:
        visitor.must(_MAY, "download what finance loads")
        with door.sight_of(visitor) as connection:
            file = _get(connection, file_name)
            kept = find_content(connection, file_id=file.file_id)
        if kept is None:
            raise not_found(f"{file.file_name} is {file.state}: its lines are kept no longer.")
        return _attached(kept, name=file.file_name, media_type="text/csv")

    @pages.get("/close/files/{file_name}/cover")
    def cover(visitor: Annotated[Visitor, Depends(door.visitor)], file_name: str) -> Response:
        with door.sight_of(visitor) as connection:
            file = _get(connection, file_name)
        name = f"{file.file_name}.cover.html"
        return _attached(write_cover(file).encode(), name=name, media_type="text/html")


def _get(connection: Connection[Row], file_name: str) -> ImportFile:
    try:
        return get_file(connection, file_name=file_name)
    except LookupError:
        raise not_found("No such file is in your sight.") from None


def _attached(content: bytes, *, name: str, media_type: str) -> Response:
    # Its name is ours: target, legal entity and time, as the cover sheet says it.
    return Response(
        content,
        media_type=media_type,
        headers={
            "content-disposition": f'attachment; filename="{name}"',
            "cache-control": "no-store",
        },
    )
