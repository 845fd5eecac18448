"""Drive a ComfyUI host by its API: queue an API-format graph, follow it over the WebSocket, fetch what it made."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


class GraphRefused(RuntimeError):
    """The host did not accept the graph, or a node failed; the message is the host's."""


@dataclass
class Result:
    """What one run left behind: the `ui` outputs by node id, and the events in their order."""

    prompt_id: str
    outputs: dict = field(default_factory=dict)
    events: list = field(default_factory=list)


class Client:
    def __init__(self, url: str):
        self.url = url.rstrip("/")

    def call(self, path: str, data: dict | None = None):
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"} if body else {})
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def upload(self, path: Path, name: str | None = None) -> str:
        """Put a picture into the host's input folder; returns the name that LoadImage takes."""
        boundary, name = uuid.uuid4().hex, name or path.name
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'
        tail = f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{boundary}--\r\n'
        request = urllib.request.Request(
            self.url + "/upload/image",
            head.encode() + path.read_bytes() + tail.encode(),
            {"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            stored = json.load(answer)
        return "/".join(part for part in (stored["subfolder"], stored["name"]) if part)

    def run(self, prompt: dict, on_event: Callable[[str, dict], None] | None = None) -> Result:
        """Queue `prompt` (API format) and wait for its end. Raises GraphRefused with the host's own words."""
        return asyncio.run(self._run(prompt, on_event or (lambda event, data: None)))

    async def _run(self, prompt: dict, on_event) -> Result:
        import aiohttp

        client_id = uuid.uuid4().hex
        async with aiohttp.ClientSession() as session:
            address = self.url.replace("http", "ws", 1) + f"/ws?clientId={client_id}"
            async with session.ws_connect(address, max_msg_size=0, heartbeat=60) as socket:
                result = Result(self._queue(prompt, client_id))
                failure = None
                async for message in socket:
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        continue
                    event = json.loads(message.data)
                    kind, data = event["type"], event.get("data") or {}
                    if data.get("prompt_id", result.prompt_id) != result.prompt_id:
                        continue
                    result.events.append((kind, data))
                    on_event(kind, data)
                    if kind == "executed" and data.get("output"):
                        result.outputs[data["node"]] = data["output"]
                    elif kind == "execution_error":
                        failure = f"{data['node_type']}: {data['exception_message'].strip()}"
                    elif kind == "execution_interrupted":
                        failure = f"{data.get('node_type', 'the run')} was interrupted"
                    elif kind == "executing" and data.get("node") is None:
                        break
        if failure:
            raise GraphRefused(failure)
        return result

    def _queue(self, prompt: dict, client_id: str) -> str:
        try:
            answer = self.call("/prompt", {"prompt": prompt, "client_id": client_id})
        except urllib.error.HTTPError as error:
            raise GraphRefused(_readable(json.loads(error.read()))) from None
        # The host answers 200 and drops outputs that failed validation: that is a refusal too.
        if answer.get("node_errors"):
            raise GraphRefused(_readable(answer))
        return answer["prompt_id"]

    def fetch(self, picture: dict) -> bytes:
        """The bytes of one entry of a ui `images` list."""
        query = urllib.parse.urlencode({key: picture.get(key, "") for key in ("filename", "subfolder", "type")})
        with urllib.request.urlopen(f"{self.url}/view?{query}", timeout=120) as answer:
            return answer.read()


def _readable(answer: dict) -> str:
    parts = [answer["error"]["message"]] if answer.get("error") else []
    for node_id, node in (answer.get("node_errors") or {}).items():
        for error in node["errors"]:
            parts.append(f"node {node_id} ({node['class_type']}): {error['message']}: {error['details']}")
    return "; ".join(parts) or json.dumps(answer)
