"""What is said of a dataset without a version: by the check of a run, and by the client before it asks."""

from __future__ import annotations

import pytest

from finetuneflow.common.v1 import work_pb2
from finetuneflow.dataset.v1 import dataset_pb2
from finetuneflow_client.planning import unfrozen
from services.common.errors import NotReady
from services.training.versions import find_version


@pytest.mark.parametrize(
    ("state", "imported", "remedy"),
    [
        ("RUNNING", False, "wait"),
        ("SUCCEEDED", False, "ftf dataset freeze"),
        ("FAILED", False, "ftf dataset resume"),
        ("PAUSED", False, "ftf dataset resume"),
        ("CANCELLED", False, "ftf dataset resume"),
        ("FAILED", True, "import the file again"),
        ("CANCELLED", True, "import the file again"),
        ("RUNNING", True, "wait for the import"),
    ],
)
def test_the_remedy_fits_the_state(state: str, imported: bool, remedy: str) -> None:
    """To wait helps only where something goes on."""
    work = work_pb2.Work(state=work_pb2.WorkState.Value(f"WORK_STATE_{state}"))
    dataset = dataset_pb2.Dataset(name="d", work=work, imported=dataset_pb2.ImportedFile() if imported else None)
    with pytest.raises(NotReady) as refused:
        find_version(dataset, 0, False)

    assert remedy in refused.value.message.lower()
    assert remedy in unfrozen(dataset)


def test_a_version_that_is_not_there_is_told_with_the_command_that_lists_them() -> None:
    """The dataset is named in it."""
    dataset = dataset_pb2.Dataset(name="projects/p/datasets/d", versions=[dataset_pb2.DatasetVersion(version=1)])
    with pytest.raises(NotReady, match=r"has no version 9\. See its versions with `ftf dataset show d`\."):
        find_version(dataset, 9, False)
