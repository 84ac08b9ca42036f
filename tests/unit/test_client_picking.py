"""Which documents `ftf upload` sends for the paths that it is given."""

from __future__ import annotations

from pathlib import Path

from finetuneflow_client.picking import EXTENSIONS, pick
from services.ingest.core.filenames import EXTENSIONS as SERVED


def test_a_folder_stands_for_all_below_it_and_the_rest_is_named(tmp_path: Path) -> None:
    """Hidden files, links and other types are passed over, each with its reason; archives go along."""
    for name in ("b/deep/c.csv", "a.md", "docs.zip", "b/.git/config.txt", ".hidden.md", "program.exe"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "link.md").symlink_to(tmp_path / "a.md")

    found = pick([str(tmp_path), str(tmp_path / "a.md")])

    assert [path.relative_to(tmp_path).as_posix() for path in found.documents] == ["a.md", "b/deep/c.csv", "docs.zip"]
    assert found.inside[tmp_path / "b/deep/c.csv"] == "b/deep/c.csv"
    assert {Path(path).relative_to(tmp_path).as_posix(): why for path, why in found.skipped} == {
        ".hidden.md": "hidden",
        "b/.git": "hidden",
        "link.md": "a link",
        "program.exe": "not a type that is read",
    }


def test_the_client_sends_what_the_service_reads() -> None:
    """Both have the same list of extensions."""
    assert set(EXTENSIONS) == set(SERVED)
