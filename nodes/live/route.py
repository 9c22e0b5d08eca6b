"""POST /gcfg/describe: the only request that the web interface sends to the server."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

PATH = "/gcfg/describe"
MOST_BYTES = 1 << 20


def add_routes() -> None:
    """Add the route to ComfyUI's server; do nothing if there is no server (tests, scripts).

    A second copy of this pack adds no second route, with which ComfyUI would not start.
    """
    server = sys.modules.get("server")
    instance = getattr(getattr(server, "PromptServer", None), "instance", None)
    if instance is None:
        return
    if any(getattr(route, "path", None) == PATH for route in instance.routes):
        logging.warning("GCFG: this pack is installed twice in custom_nodes; remove one of the copies.")
        return
    instance.routes.post(PATH)(answer)


async def answer(request: web.Request) -> web.Response:
    """Describe the nodes named in a request.

    Returns:
        {"nodes": {id: content of its panel}}, see ``describe_all``; or {"error": what is wrong} with status 400 or 413.
    """
    from aiohttp import web

    from .describe_all import describe_all  # when it is needed: ComfyUI starts sooner
    from .posted import read_posted

    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > MOST_BYTES:
            return web.json_response({"error": f"more than {MOST_BYTES} bytes: ask about fewer nodes."}, status=413)
    try:
        posted = read_posted(json.loads(body))
    except (ValueError, RecursionError) as error:
        return web.json_response({"error": str(error)}, status=400)
    return web.json_response({"nodes": describe_all(posted)})
