"""A search engine with Elasticsearch's interface, a real process, with deploy/observability/logging's pipeline."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import search_engine
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port

SETUP = Path(__file__).parents[3] / "deploy" / "observability" / "logging" / "setup"
STREAM = "logs-llminference-default"
START_SECONDS = 180


@dataclass(frozen=True)
class SearchEngine:
    """The engine, and how to speak to it."""

    http: httpx.Client

    def write(self, documents: Iterable[dict[str, Any]]) -> None:
        """Write documents as shippers do, all at once, and have them found."""
        body = "".join(f'{{"create": {{}}}}\n{json.dumps(document)}\n' for document in documents)
        headers = {"content-type": "application/x-ndjson"}
        answer = self.http.post(f"/{STREAM}/_bulk", params={"refresh": "true"}, content=body, headers=headers)
        result = answer.raise_for_status().json()
        assert not result["errors"], [item for item in result["items"] if item["create"]["status"] != 201]

    def search(self, **term: str) -> list[dict[str, Any]]:
        """Find documents by one exact field; its dots are written as double underscores."""
        exact = {name.replace("__", "."): value for name, value in term.items()}
        query = {"query": {"term": exact}, "sort": ["@timestamp"], "size": 1000}
        hits = self.http.post(f"/{STREAM}/_search", json=query).raise_for_status().json()["hits"]["hits"]
        return [hit["_source"] for hit in hits]

    def process(self, line: str) -> dict[str, Any]:
        """Let the pipeline take a line apart without keeping it."""
        body = {"docs": [{"_source": {"log": line}}]}
        answer = self.http.post("/_ingest/pipeline/llminference-logs/_simulate", json=body).raise_for_status()
        source: dict[str, Any] = answer.json()["docs"][0]["doc"]["_source"]
        return source


@contextmanager
def running_search_engine(folder: Path) -> Iterator[SearchEngine]:
    """Run an engine with our pipeline and template while the block runs."""
    port = free_port()
    with (folder / "engine.log").open("wb") as log:
        process = subprocess.Popen(search_engine.command(folder, port), stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
                eventually(lambda: _answers(process, http, folder / "engine.log"), "it answers", seconds=START_SECONDS)
                _prepare(http)
                yield SearchEngine(http)
        finally:
            process.kill()
            process.wait()


def _prepare(http: httpx.Client) -> None:
    pipeline = (SETUP / "pipeline.yaml").read_bytes()
    headers = {"content-type": "application/yaml"}
    http.put("/_ingest/pipeline/llminference-logs", content=pipeline, headers=headers).raise_for_status()
    template = json.loads((SETUP / "template.json").read_text())
    # Elasticsearch's own, of which OpenSearch has another form.
    del template["template"]["settings"]["index"]["lifecycle"]
    http.put("/_index_template/llminference-logs", json=template).raise_for_status()


def _answers(process: "subprocess.Popen[bytes]", http: httpx.Client, log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(log.read_text()[-4000:])
    try:
        return http.get("/").status_code == 200
    except httpx.TransportError:
        return False
