"""A page's file: whole or as it was."""

import pytest

from dcam_dist.offline_page import write_page


def test_a_page_takes_the_place_of_the_old_one_and_nothing_else_is_left(tmp_path):
    page = tmp_path / "a.html"
    page.write_text("old")
    write_page(page, "né \udcff")
    assert page.read_text("utf-8") == "né ?" and list(tmp_path.iterdir()) == [page]


def test_what_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "a.html" / "kept").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_page(tmp_path / "a.html", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    (tmp_path / "file").write_text("kept")
    with pytest.raises(NotADirectoryError):
        write_page(tmp_path / "file" / "b.html", "new")
