"""What the firm decided, and drafting what it decides next."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from psycopg import Connection

from tieline.api.answers import ReleaseDrafted, Releases, ReleaseShown
from tieline.api.bodies import PolicyDraft
from tieline.api.callers import Change, Doors
from tieline.api.describing import problems
from tieline.api.problems import unknown_is_404
from tieline.governance import ApiCaller
from tieline.policy import list_releases
from tieline.runtime.database import Row
from tieline.services.policy_files import PolicyFile, draft_policy, export_policy, show_release
from tieline.services.what_if_runs import must_see_all


def policy_routes(doors: Doors) -> APIRouter:
    """Return what can be asked and drafted about the firm's policy."""
    routes = APIRouter(tags=["policy"])
    reader = doors.may("cases:write")
    changer = doors.may_change("close:write")
    # What a policy names may lie in any legal entity: only who sees all of them gets this far.
    worker = doors.system.database

    @routes.get("/v1/policy", responses=problems(401, 403, 409))
    def policy(caller: Annotated[ApiCaller, Depends(reader)]) -> PolicyFile:
        """Return what the firm says now, as a draft takes it."""
        with worker.transaction() as connection:
            must_see_all(connection, caller.entities)
            return export_policy(connection)

    @routes.get("/v1/releases", responses=problems(401, 403, 409))
    def releases(caller: Annotated[ApiCaller, Depends(reader)]) -> Releases:
        """List the releases, the newest first."""
        with worker.transaction() as connection:
            must_see_all(connection, caller.entities)
            return Releases(releases=list_releases(connection))

    @routes.get("/v1/releases/{release_id}", responses=problems(401, 403, 404, 409))
    def release(release_id: int, caller: Annotated[ApiCaller, Depends(reader)]) -> ReleaseShown:
        """Return what a release says, and what it changes against the one it was drafted from."""
        with unknown_is_404("release"), worker.transaction() as connection:
            must_see_all(connection, caller.entities)
            shown = show_release(connection, release_id=release_id)
            return ReleaseShown(line=shown.line, changes=shown.changes, policy=shown.policy)

    @routes.post(
        "/v1/releases",
        response_model=ReleaseDrafted,
        status_code=202,
        responses=problems(400, 401, 403, 409),
    )
    def draft(body: PolicyDraft, change: Annotated[Change, Depends(changer)]) -> Response:
        """Propose a whole policy; what it leaves out is withdrawn, and a second person decides."""

        def work(connection: Connection[Row]) -> ReleaseDrafted:
            must_see_all(connection, change.caller.entities)
            done = draft_policy(
                connection,
                file=body.policy,
                by=change.by.login,
                reason=body.reason,
                now=change.now,
            )
            return ReleaseDrafted(
                release_id=done.release_id,
                state="draft",
                based_on=done.based_on,
                changes=done.changes,
            )

        return change.once(body=body, work=work, status=202, database=worker)

    return routes
