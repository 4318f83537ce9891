"""A real vLLM as a process, started with exactly what the operator would put into its container."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from llmi_api.launch import API_KEY_DIR, HTTP_PORT, MODEL_DIR
from llmi_operator.plan.engine_files import build_engine_files
from llmi_operator.plan.engines.descriptor import FILES_DIR
from llmi_operator.plan.names import API_KEY_FILE
from llmi_operator.plan.pod import build_pod_template
from llmi_testing.eventually import eventually
from llmi_testing.free_ports import free_port
from llmi_testing.inference import DEFAULTS, make_resource

PYTHON = Path.home() / ".cache" / "llminference" / "peers" / "vllm" / "bin" / "python"
"""Made by ``python bench/peers.py vllm``."""
START_SECONDS = 900


class VllmProcess:
    """One container, without the container."""

    def __init__(self, folder: Path, model: Path, *, keys: str = "", **spec: Any) -> None:
        self.folder = folder
        self.resource = make_resource("llama", model={"claim": {"name": "models"}}, **spec)
        container = build_pod_template(self.resource, DEFAULTS)["spec"]["containers"][0]
        self.port = free_port()
        self._moved = {
            str(FILES_DIR): str(folder / "files"),
            str(API_KEY_DIR): str(folder / "keys"),
            str(MODEL_DIR): str(model),
            "/tmp": str(folder / "tmp"),
            "0.0.0.0": "127.0.0.1",
        }
        self.argv = [self._move(word) for word in (*container["command"], *container["args"])]
        self.hook = [self._move(word) for word in container["lifecycle"]["preStop"]["exec"]["command"]]
        self.environment = {item["name"]: self._move(item["value"]) for item in container["env"]}
        programs = f"{folder}:{PYTHON.parent}:{os.environ['PATH']}"
        self.environment |= {"PATH": programs, "LLMI_STATE_DIR": str(folder / "state")}
        self.environment["LLMI_TERMINATION_MESSAGE_PATH"] = str(folder / "termination")
        for name in ("files", "keys", "tmp"):
            (folder / name).mkdir()
        (folder / "keys" / API_KEY_FILE).write_text(keys)
        self._name_the_package()
        files = build_engine_files(self.resource)
        for name, text in (files or {"data": {}})["data"].items():
            (folder / "files" / name).write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it wrote."""
        return (self.folder / "log").read_text()

    @property
    def last_words(self) -> str:
        """What Kubernetes would show as the termination message."""
        told = self.folder / "termination"
        return told.read_text()[-4096:] if told.exists() else self.log[-2048:]

    def start(self) -> None:
        """Start it, and return at once."""
        with (self.folder / "log").open("wb") as log:
            # In a session of its own: its workers would go on computing when it is killed.
            self.process = subprocess.Popen(
                self.argv, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait_until_ready(self) -> None:
        """Wait for its health."""
        eventually(self._is_healthy, "vLLM is healthy", seconds=START_SECONDS)

    def stop(self) -> int:
        """Stop it as a kubelet does: the hook, then the signal. Returns its exit code."""
        assert self.process
        subprocess.run(self.hook, env=self.environment, check=True, timeout=600)
        self.process.terminate()
        return self.process.wait(60)

    def _is_healthy(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise RuntimeError(f"vLLM ended with {self.process.returncode}: {self.last_words}")
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _name_the_package(self) -> None:
        """Its program asks for the version of a package named vllm, and the one for CPUs is named otherwise."""
        told = self.folder / "files" / "vllm-0.32.0+cpu.dist-info"
        told.mkdir()
        (told / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n")
        program = self.folder / "vllm"
        program.write_text(f'#!/bin/sh\nexec "{PYTHON}" -m vllm.entrypoints.cli.main "$@"\n')
        program.chmod(0o755)

    def _move(self, word: str) -> str:
        word = word.replace("$$", "$").replace(str(HTTP_PORT), str(self.port))
        for inside, outside in self._moved.items():
            if word == inside or word.startswith(f"{inside}/"):
                return word.replace(inside, outside, 1)
            if f"={inside}/" in word:
                return word.replace(f"={inside}/", f"={outside}/")
        return word


@contextmanager
def running_vllm(folder: Path, model: Path, *, keys: str = "", **spec: Any) -> Iterator[VllmProcess]:
    """A vLLM that answers."""
    vllm = VllmProcess(folder, model, keys=keys, **spec)
    vllm.start()
    try:
        vllm.wait_until_ready()
        yield vllm
    finally:
        assert vllm.process
        with suppress(ProcessLookupError):
            os.killpg(vllm.process.pid, signal.SIGKILL)
        vllm.process.wait()
