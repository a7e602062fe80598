"""A stand-in for a Hugging Face hub on this machine: what huggingface_hub asks of one, and no more.

It keeps repositories in memory, one commit each, and writes down what it was asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub:
    """Repositories by their names, each a map from the names of files to their contents."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        self.private: dict[str, bool] = {}
        self.refused = 0
        self.endpoint = ""

    def sha(self, repository: str) -> str:
        files = sorted(self.repositories[repository].items())
        return hashlib.sha1(repr(files).encode()).hexdigest()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return the status, the headers and the body of an answer."""
        self.asked.append(f"{method} {path}")
        if self.refused:
            return self.refused, {}, b'{"error": "no"}'
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            given = json.loads(body)
            name = f"{given['organization']}/{given['name']}"
            status = 409 if name in self.repositories else 200
            self.repositories.setdefault(name, {})
            self.private[name] = given.get("visibility") == "private"
            return status, {}, json.dumps({"url": f"{self.endpoint}/{name}"}).encode()
        if path == "/api/validate-yaml":
            return 200, {}, b'{"errors": [], "warnings": []}'
        if parts[:2] == ["api", "models"]:
            return self._model("/".join(parts[2:4]), parts[4:], body)
        return self._file("/".join(parts[:2]), parts[2:])

    def _model(self, name: str, rest: list[str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        files = self.repositories.get(name)
        if files is None:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        if rest[:1] == ["preupload"]:
            modes = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                for each in json.loads(body)["files"]
            ]
            return 200, {}, json.dumps({"files": modes}).encode()
        if rest[:1] == ["commit"]:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            done = {"commitUrl": f"{self.endpoint}/{name}/commit/1", "commitOid": self.sha(name)}
            return 200, {}, json.dumps(done).encode()
        if rest[:1] == ["revision"] and rest[1] not in ("main", self.sha(name)):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        listed = [{"rfilename": each} for each in files]
        about = {"id": name, "sha": self.sha(name), "siblings": listed}
        return 200, {}, json.dumps(about).encode()

    def _file(self, name: str, rest: list[str]) -> tuple[int, dict[str, str], bytes]:
        content = self.repositories.get(name, {}).get("/".join(rest[2:]))
        if content is None or rest[1] != self.sha(name):
            return 404, {"X-Error-Code": "EntryNotFound"}, b""
        tag = hashlib.sha256(content).hexdigest()
        return 200, {"ETag": f'"{tag}"', "X-Repo-Commit": self.sha(name)}, content


@contextmanager
def serving() -> Iterator[Hub]:
    """Run a hub on a free port of this machine, until the end."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.tokens.add(self.headers.get("Authorization"))
            status, headers, content = hub.answer(self.command, self.path.partition("?")[0], body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_HEAD = do_POST = _serve

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
