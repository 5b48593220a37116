"""How far work in the background is, as a stream of events that a page listens to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, HTTPException
from fastapi.responses import StreamingResponse

from nudge_sync.console.context import ConsoleDependency
from nudge_sync.console.guards import VisitorDependency
from nudge_sync.console.jobs import BackgroundJob, JobBoard

jobs_router = APIRouter()
_INTERVAL_SECONDS = 0.25
_STREAM_SECONDS = 300.0
"""After this long a stream ends; the browser opens the next by itself."""


@jobs_router.get("/jobs/{job_id}/events")
async def stream_job(
    job_id: str, console: ConsoleDependency, _visitor: VisitorDependency
) -> StreamingResponse:
    """Send the job's progress as server-sent events until it ends."""
    job = console.jobs.get(job_id)
    if job is None:
        raise HTTPException(404, "this work is not known here any more")
    return StreamingResponse(
        _stream(job, console.jobs),
        media_type="text/event-stream",
        # A reverse proxy would collect events before it passes them on.
        headers={"X-Accel-Buffering": "no"},
    )


async def _stream(job: BackgroundJob, jobs: JobBoard) -> AsyncIterator[str]:
    sent = ""
    for _ in range(int(_STREAM_SECONDS / _INTERVAL_SECONDS)):
        event = format_event(job)
        if event != sent:
            yield event
            sent = event
        if job.is_finished or jobs.is_closed:
            return
        await asyncio.sleep(_INTERVAL_SECONDS)


def format_event(job: BackgroundJob) -> str:
    """Return the state of a job as one server-sent event."""
    fields = {"state": job.state, "stage": job.stage, "done": job.done, "total": job.total}
    return f"data: {json.dumps(fields)}\n\n"
