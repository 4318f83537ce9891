"""What the cluster is made from: mode, cache keys, configuration, and what counts as healthy."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

import cache
import docker_engine
import egress
import kind_cluster
import loading
import oci
from cache import Artifact, key_of
from kubectl import missing_of
from mode import PULLED_NODE_IMAGE, Mode, choose
from thin_archive import write_thin


@pytest.mark.parametrize(
    ("wanted", "is_local", "is_answered", "chosen"),
    [
        (Mode.AUTO, False, False, Mode.BUILD),
        (Mode.AUTO, False, True, Mode.PULL),
        (Mode.AUTO, True, False, Mode.PULL),
        (Mode.BUILD, True, True, Mode.BUILD),
        (Mode.PULL, False, False, Mode.PULL),
    ],
)
def test_the_mode_is_what_was_asked_for_or_what_can_be_had(wanted, is_local, is_answered, chosen) -> None:
    choice = choose(wanted, is_local=lambda _: is_local, is_answered=lambda _: is_answered)
    assert choice.mode is chosen
    assert choice.why


def test_a_forced_mode_asks_nobody() -> None:
    def never(_: str) -> bool:
        raise AssertionError("asked")

    assert choose(Mode.BUILD, is_local=never, is_answered=never).mode is Mode.BUILD


def test_a_key_changes_with_a_files_content_name_and_mode_and_with_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    file = folder / "a.txt"
    file.write_text("one")
    first = key_of(folder, "1.0")
    assert key_of(folder, "1.0") == first
    assert key_of(folder, "1.1") != first
    file.write_text("two")
    assert key_of(folder, "1.0") != first
    file.write_text("one")
    assert key_of(folder, "1.0") == first
    file.chmod(0o755)
    assert key_of(folder, "1.0") != first
    file.chmod(0o644)
    file.rename(folder / "b.txt")
    assert key_of(folder, "1.0") != first


def test_an_artifact_appears_as_a_whole_and_replaces_the_older_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cache, "cache_root", lambda: tmp_path)
    old, new = Artifact("thing", "a" * 12), Artifact("thing", "b" * 12)
    old.build(lambda target: (target / "x").write_text("old") and None)

    def fails(target: Path) -> None:
        (target / "half").touch()
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        new.build(fails)
    assert not new.is_built()
    assert old.is_built()
    new.build(lambda target: (target / "x").write_text("new") and None)
    assert (new.path / "x").read_text() == "new"
    assert not (new.path / "half").exists()
    assert not old.is_built()


def test_an_artifact_that_is_there_is_not_built_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cache, "cache_root", lambda: tmp_path)
    one = Artifact("thing", "a" * 12)
    one.build(lambda _: None)
    one.build(lambda _: pytest.fail("built twice"))


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_the_configuration_has_the_nodes_and_ports_that_are_promised(workers: int) -> None:
    config = json.loads(json.dumps(kind_cluster.configuration(Mode.PULL, workers)))
    assert [n["role"] for n in config["nodes"]] == ["control-plane"] + ["worker"] * workers
    assert {n["image"] for n in config["nodes"]} == {PULLED_NODE_IMAGE}
    ports = config["nodes"][0]["extraPortMappings"]
    assert {p["listenAddress"] for p in ports} == {"127.0.0.1"}
    assert 30080 in {p["hostPort"] for p in ports}


def test_the_lock_returns_only_for_inner_traffic_and_answers() -> None:
    inner, answers, refused = egress.rules("icmp-admin-prohibited")
    assert inner[:4] == ["-i", egress.BRIDGE, "-o", egress.BRIDGE]
    assert inner[-1] == answers[-1] == "RETURN"
    assert "REPLY" in answers
    assert "REJECT" in refused
    assert "-o" not in refused


@pytest.mark.parametrize(("bounding", "lacks"), [("000001fffeffffff", True), ("000001ffffffffff", False)])
def test_a_missing_capability_is_read_from_the_bounding_set(bounding, lacks) -> None:
    assert docker_engine.lacks_sys_resource(f"Name:\tx\nCapBnd:\t{bounding}\n") is lacks


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("llminference/server:dev", "docker.io/llminference/server:dev"),
        ("localhost:5000/a", "localhost:5000/a:latest"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
    ],
)
def test_a_node_knows_an_image_by_its_full_name(given: str, full: str) -> None:
    assert loading.full_name(given) == full


def ready(kind: str, name: str, **more: object) -> dict[str, object]:
    return {"kind": kind, "metadata": {"name": name}, **more}


def healthy() -> list[dict[str, object]]:
    true = [{"type": "Ready", "status": "True"}, {"type": "Available", "status": "True"}]
    return [
        ready("Node", "n1", status={"conditions": true}),
        ready("Deployment", "coredns", spec={"replicas": 2}, status={"availableReplicas": 2}),
        ready("Deployment", "metrics-server", spec={"replicas": 1}, status={"availableReplicas": 1}),
        ready("DaemonSet", "labnet", status={"desiredNumberScheduled": 1, "numberAvailable": 1}),
        ready("APIService", "v1beta1.metrics.k8s.io", status={"conditions": true}),
    ]


def test_nothing_is_missing_from_a_healthy_cluster() -> None:
    assert missing_of(healthy(), 1) == []


@pytest.mark.parametrize(
    ("number", "change", "sentence"),
    [
        (0, {"status": {}}, "node n1 is not Ready"),
        (1, {"status": {}}, "coredns is not available"),
        (3, {"status": {"desiredNumberScheduled": 2, "numberAvailable": 1}}, "labnet does not run on every node"),
        (4, {"status": {}}, "API v1beta1.metrics.k8s.io is not available"),
        (2, {"metadata": {"name": "other"}}, "Deployment/metrics-server is absent"),
    ],
)
def test_what_is_missing_is_said(number: int, change: dict[str, object], sentence: str) -> None:
    objects = healthy()
    objects[number] |= change
    assert missing_of(objects, 1) == [sentence]


def test_a_wrong_number_of_nodes_is_said() -> None:
    assert missing_of(healthy(), 3) == ["there are 1 nodes instead of 3"]


def test_an_archive_for_nodes_leaves_out_layers_they_have(tmp_path: Path) -> None:
    saved, digests = docker_save(tmp_path)
    target = tmp_path / "thin.tar"
    assert write_thin(saved, "docker.io/x/y:1", {digests[0]}, target)
    with tarfile.open(target) as tar:
        names = tar.getnames()
        index = json.load(tar.extractfile("index.json"))
    assert f"blobs/sha256/{digests[0].partition(':')[2]}" not in names
    assert f"blobs/sha256/{digests[1].partition(':')[2]}" in names
    assert index["manifests"][0]["annotations"]["io.containerd.image.name"] == "docker.io/x/y:1"


def test_compressed_layers_are_left_to_the_original_archive(tmp_path: Path) -> None:
    saved, _ = docker_save(tmp_path, b"\x1f\x8b")
    assert not write_thin(saved, "docker.io/x/y:1", set(), tmp_path / "thin.tar")


def docker_save(folder: Path, prefix: bytes = b"") -> tuple[Path, list[str]]:
    """Write what `docker save` writes: two layers, the first under a link too."""
    digests = ["sha256:" + "1" * 64, "sha256:" + "2" * 64]
    path = folder / "saved.tar"
    with tarfile.open(path, "w") as tar:
        files = {
            "aa/layer.tar": prefix + b"first",
            "bb/layer.tar": prefix + b"second",
            "config.json": json.dumps({"rootfs": {"diff_ids": [*digests, digests[0]]}}).encode(),
            "manifest.json": json.dumps(
                [{"Config": "config.json", "Layers": ["aa/layer.tar", "bb/layer.tar", "cc/layer.tar"]}]
            ).encode(),
        }
        for name, data in files.items():
            (folder / "data").write_bytes(data)
            with (folder / "data").open("rb") as content:
                oci.add_file(tar, name, content, len(data))
        link = tarfile.TarInfo("cc/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../aa/layer.tar"
        tar.addfile(link)
    return path, digests
