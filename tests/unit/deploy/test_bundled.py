"""The bundled stores of trials: on request only, pinned, with a volume, and none beside a store of your own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.deploy.chart import TRIAL, external, render, try_render

pytestmark = pytest.mark.cluster
STORES = ("mongodb", "minio", "nats")


def test_nothing_is_bundled_unless_asked_for() -> None:
    """Production brings its own."""
    assert list(external().all("StatefulSet")) == []
    assert external().names("Deployment") == {
        f"finetuneflow-{name}" for name in ("ingest", "dataset", "hardware", "training", "export")
    }


@pytest.mark.parametrize("store", STORES)
def test_a_store_keeps_its_data_on_a_volume(store: str) -> None:
    """It outlives the pod and the release."""
    found = render().one("StatefulSet", store)["spec"]
    (claim,) = found["volumeClaimTemplates"]
    mounts = found["template"]["spec"]["containers"][0]["volumeMounts"]

    assert found["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert claim["metadata"]["name"] in {mount["name"] for mount in mounts}


@pytest.mark.parametrize("store", STORES)
def test_a_store_without_a_size_has_a_folder_that_goes_with_the_pod(store: str) -> None:
    """For clusters without a storage class."""
    found = render({"bundled": {store: {"size": ""}}}).one("StatefulSet", store)["spec"]

    assert "volumeClaimTemplates" not in found
    assert {"name": "data", "emptyDir": {}} in found["template"]["spec"]["volumes"]


@pytest.mark.parametrize("store", STORES)
def test_every_volume_is_mounted_and_every_mount_has_a_volume(store: str) -> None:
    """With the claim and without."""
    for values in ({}, {"bundled": {store: {"size": ""}}}):
        found = render(values).one("StatefulSet", store)["spec"]
        volumes = {volume["name"] for volume in found["template"]["spec"]["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in found.get("volumeClaimTemplates", [])}
        mounts = {mount["name"] for mount in found["template"]["spec"]["containers"][0]["volumeMounts"]}

        assert mounts == volumes


def test_images_are_pinned() -> None:
    """Each has a tag that says which version it is."""
    for name, pod in render().pods():
        for container in pod["containers"]:
            tag = container["image"].rpartition(":")[2]
            assert any(letter.isdigit() for letter in tag), name
            assert "/" not in tag, name


@pytest.mark.parametrize(
    "values",
    [
        {"documents": {"url": "mongodb://elsewhere/"}},
        {"objects": {"url": "s3://elsewhere/b"}},
        {"nats": {"url": "nats://elsewhere:4222"}},
        {"nats": {"replicas": 3}},
    ],
    ids=str,
)
def test_two_answers_to_one_question_are_refused(values: dict[str, Any]) -> None:
    """A bundled store and one of your own: one of them would stand empty."""
    done = try_render(values, TRIAL)

    assert done.returncode != 0
    assert "bundled" in done.stderr
