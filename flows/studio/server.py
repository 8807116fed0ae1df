"""The HTTP door of studio: the page, and what it asks for. Blender's add-on and ComfyUI's nodes use it too.

Every request passes `flows.watching.guard`: the token, the Host, the Origin. What is wrong with a request is answered
with one line, and with the field of the page that it is about.
"""

import functools
import importlib
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from anyio import to_thread
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.engine.project import Project
from flows.engine.run import all_runs
from flows.engine.run_files import parse_json
from flows.inputs import PICTURES
from flows.studio import looking, page
from flows.studio.catalogue import catalogue, plan_of
from flows.studio.forms import Checked, FieldError, Form, check
from flows.studio.jobs import all_jobs
from flows.studio.queue import Queue
from flows.studio.uploads import Uploads
from flows.watching.guard import answer_to
from prior3d.errors import Prior3dError

LARGEST_FORM = 64_000
REFUSED = b"open the address that `prior3d studio` printed: it holds the token\n"
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# A report or a comparison is a page of its own: its scripts get no way to this server.
APART = {"Content-Security-Policy": "sandbox allow-scripts allow-downloads allow-popups"}


class Guard:
    """Hands on the requests that `answer_to` lets in, and gives every answer the headers of `ALWAYS`."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        path = f"{scope['path']}?{scope['query_string'].decode('latin-1')}"
        refused = answer_to(path, Headers(scope=scope), scope["server"][1], self._token)
        if refused is not None:
            status, headers = refused
            text = b"" if "Location" in headers else REFUSED
            await Response(text, status, {**headers, **ALWAYS}, "text/plain")(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name for name, _ in message["headers"]}
                more = [(k.lower().encode(), v.encode()) for k, v in ALWAYS.items()]
                message["headers"] = [*message["headers"], *((k, v) for k, v in more if k not in known)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _answering(
    work: Callable[["Studio", Request], Awaitable[Response]],
) -> Callable[["Studio", Request], Awaitable[Response]]:
    """An endpoint whose errors become one line, with the field that they are about."""

    @functools.wraps(work)
    async def answer(studio: "Studio", request: Request) -> Response:
        try:
            return await work(studio, request)
        except FieldError as error:
            return JSONResponse({"field": error.field, "problem": str(error)}, 422)
        except Prior3dError as error:
            return JSONResponse({"field": "", "problem": str(error)}, 409)
        except ClientDisconnect:
            return Response(status_code=400)
        except OSError as error:
            return JSONResponse({"field": "", "problem": f"the disk did not take it: {error.strerror or error}"}, 507)

    return answer


class Studio:
    """What the endpoints work on."""

    def __init__(self, project: Project, queue: Queue) -> None:
        self.project, self.queue, self.uploads = project, queue, Uploads(project)
        self._live: Any = None
        self._reading = threading.Lock()  # summaries and thumbnails are files that each look may write

    @_answering
    async def home(self, request: Request) -> Response:
        """The page."""
        values = await to_thread.run_sync(catalogue)
        return HTMLResponse(page.home(self.project.root.name, values), headers={"Content-Security-Policy": page.POLICY})

    @_answering
    async def static(self, request: Request) -> Response:
        """A script or style of the page."""
        place = page.static_file(request.path_params["name"])
        return FileResponse(place, headers={"Cache-Control": "max-age=60"})

    @_answering
    async def methods(self, request: Request) -> Response:
        """The methods with their inputs."""
        return JSONResponse(await to_thread.run_sync(catalogue))

    @_answering
    async def plan(self, request: Request) -> Response:
        """What a form would make."""
        form = await _form(request)
        return JSONResponse(
            await to_thread.run_sync(self._alone, lambda: plan_of(self.project, self._checked(form).request))
        )

    @_answering
    async def start(self, request: Request) -> Response:
        """Put a form's run into the queue."""
        form = await _form(request)

        def add() -> dict[str, Any]:
            checked = self._checked(form)
            job = self.queue.add(
                form.get("key", ""), checked.method.name, checked.words, checked.request.run.name, checked.asked,
                checked.inputs,
            )  # fmt: skip
            return looking.about_job(self.project, job)

        return JSONResponse(await to_thread.run_sync(self._alone, add))

    def _checked(self, form: Form) -> Checked:
        return check(self.project, self.uploads, form, self.queue.names_in_use)

    @_answering
    async def jobs(self, request: Request) -> Response:
        """The queue."""
        return JSONResponse(
            await to_thread.run_sync(
                self._alone, lambda: [looking.about_job(self.project, job) for job in all_jobs(self.project)]
            )
        )

    @_answering
    async def change(self, request: Request) -> Response:
        """Stop, resume or remove a job."""
        act = {"stop": self.queue.stop, "resume": self.queue.resume, "remove": self.queue.remove}
        what, name = request.path_params["what"], request.path_params["id"]
        if what not in act:
            raise Prior3dError(f"a job can be asked to {', '.join(act)}")
        await to_thread.run_sync(act[what], name)
        return JSONResponse({})

    @_answering
    async def log(self, request: Request) -> Response:
        """What a job's processes printed."""
        job = self.queue.job(request.path_params["id"])
        return PlainTextResponse(await to_thread.run_sync(looking.log_of, job))

    @_answering
    async def upload(self, request: Request) -> Response:
        """Keep a file."""
        kind = request.path_params["kind"]
        if kind not in ("image", "mesh"):
            raise Prior3dError("a file is an image or a mesh")
        name = request.query_params.get("name", "")
        return JSONResponse({"upload": await self.uploads.take(kind, name, request.stream())})

    @_answering
    async def dropped(self, request: Request) -> Response:
        """An image that was dropped."""
        place = self.uploads.place(request.path_params["id"])
        if place.suffix not in PICTURES:
            return Response(status_code=404)
        return FileResponse(place)

    @_answering
    async def upload_part(self, request: Request) -> Response:
        """Keep a file of a folder."""
        await self.uploads.take_part(request.path_params["id"], request.query_params.get("path", ""), request.stream())
        return JSONResponse({})

    @_answering
    async def runs(self, request: Request) -> Response:
        """All runs, for the shelf."""
        return JSONResponse(await to_thread.run_sync(self._alone, looking.all_about, self.project))

    @_answering
    async def look(self, request: Request) -> Response:
        """A run's mesh, page, thumbnail, preview or live field."""
        what, name = request.path_params["what"], request.path_params["run"]
        if what == "live.jpg":
            return await to_thread.run_sync(self._draw, name, request.query_params)
        if what == "preview.png":
            return await to_thread.run_sync(looking.preview, self.project, name)
        reader = {"mesh.glb": looking.mesh, "page": looking.report, "thumbnail": looking.thumbnail_of}.get(what)
        if reader is None:
            return Response(status_code=404)
        answer: Response = await to_thread.run_sync(self._alone, reader, self.project, name)
        if what == "page":
            answer.headers.update(APART)
        return answer

    @_answering
    async def compare(self, request: Request) -> Response:
        """Two to six runs on one page."""
        names = request.query_params.getlist("run")
        text = await to_thread.run_sync(self._alone, looking.comparison, self.project, names)
        return HTMLResponse(text, headers=APART)

    def _alone(self, work: Callable[..., Any], *arguments: Any) -> Any:
        with self._reading:
            return work(*arguments)

    def _draw(self, name: str, query: Any) -> Response:
        run = next((run for run in all_runs(self.project) if run.name == name), None)
        if run is None:
            return Response(status_code=404)
        if self._live is None:  # start-up: torch, which the page does not need before something trains
            self._live = importlib.import_module("flows.studio.live").Live()
        drawn = self._live.draw(run, looking.stages_of(run), *looking.camera_asked(query))
        return Response(status_code=404) if drawn is None else Response(drawn, media_type="image/jpeg")


async def _form(request: Request) -> Form:
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST_FORM:
            raise Prior3dError("this is too much text; shorten it")
    try:
        form: Form = parse_json(content, Form)
    except ValueError:
        raise Prior3dError("this form cannot be read; reload the page") from None
    return form


def make_app(project: Project, queue: Queue, token: str) -> ASGIApp:
    """The whole application."""
    studio = Studio(project, queue)
    studio.uploads.tidy(json.dumps([job.inputs for job in all_jobs(project)]))
    routes = [
        Route("/", studio.home),
        Route("/static/{name}", studio.static),
        Route("/api/methods", studio.methods),
        Route("/api/plan", studio.plan, methods=["POST"]),
        Route("/api/jobs", studio.jobs),
        Route("/api/jobs", studio.start, methods=["POST"]),
        Route("/api/jobs/{id}/log", studio.log),
        Route("/api/jobs/{id}/{what}", studio.change, methods=["POST"]),
        Route("/api/files/{kind}", studio.upload, methods=["PUT"]),
        Route("/api/files/{id}", studio.dropped),
        Route("/api/folders/{id}", studio.upload_part, methods=["PUT"]),
        Route("/api/runs", studio.runs),
        Route("/runs/{run}/{what}", studio.look),
        Route("/compare", studio.compare),
    ]
    return Guard(Starlette(routes=routes), token)
