"""Projects."""

from __future__ import annotations

from finetuneflow.ingest.v1 import ingest_service_pb2, project_pb2
from finetuneflow_client import names
from finetuneflow_client.cli import dependents, wording
from finetuneflow_client.cli.session import Session


async def create(session: Session) -> None:
    """Make a project."""
    args = session.args
    project = project_pb2.Project(display_name=args.display_name or args.id, description=args.description)
    request = ingest_service_pb2.CreateProjectRequest(project=project, project_id=args.id)
    _shown(session, await session.flow.ingest.CreateProject(request))


async def list_projects(session: Session) -> None:
    """List the projects."""
    found = [project async for project in session.flow.projects()]
    rows = [(names.short(p.name), p.display_name, wording.age(p.meta.create_time), p.description) for p in found]
    session.output.listing("projects", found, ("PROJECT", "NAME", "AGE", "DESCRIPTION"), rows)


async def show(session: Session) -> None:
    """Show a project with what is in it."""
    given = session.args.name
    name = names.full("projects", given) if given else await session.project()
    project = await session.flow.ingest.GetProject(ingest_service_pb2.GetProjectRequest(name=name))
    if session.output.as_json:
        session.output.message(project)
        return
    flow = session.flow
    session.output.facts(
        {
            "project": project.name,
            "name": project.display_name,
            "description": project.description,
            "created": f"{wording.age(project.meta.create_time)} ago by {project.meta.creator}",
            "files": ", ".join([f.display_name async for f in flow.files(name)]),
            "datasets": ", ".join([names.short(d.name) async for d in flow.datasets(name)]),
            "runs": ", ".join([names.short(r.name) async for r in flow.runs(name)]),
            "exports": ", ".join([names.short(x.name) async for x in flow.exports(name)]),
        }
    )


async def delete(session: Session) -> None:
    """Delete a project, once that is confirmed."""
    name = names.full("projects", session.args.name)
    await dependents.confirm(session, dependents.of_project, name, f"ftf project delete {names.short(name)}")
    await session.flow.ingest.DeleteProject(ingest_service_pb2.DeleteProjectRequest(name=name))
    session.deleted(name)


def _shown(session: Session, project: project_pb2.Project) -> None:
    if session.output.as_json:
        session.output.message(project)
    else:
        session.output.line(project.name)
