"""The parts of a page: foreign text is text, the script is whole, and what is not ours is what it says it is."""

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from support.viewer_cases import HOSTILE, HOSTILE_NAMES, NAMES, viewer_case

from dcam_dist.errors import EnvironmentFault
from dcam_dist.maps import ActivationMaps, MappedCase, Scene
from dcam_dist.offline_page import policy_hash
from dcam_dist.report.viewer import ViewerCase, viewer_parts, write_view
from dcam_dist.report.viewer.parts import NIIVUE
from dcam_dist.types import CaseRecord


class Reader(HTMLParser):
    """Elements, their text, and what is in inert scripts."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.inert, self._in = [], [], {}, None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "script":
            self._in = dict(attrs)["id"]
            assert dict(attrs)["type"] == "application/json"

    def handle_endtag(self, tag):
        self._in = None if tag == "script" else self._in

    def handle_data(self, data):
        if self._in:
            self.inert[self._in] = self.inert.get(self._in, "") + data
        else:
            self.texts.append(data.strip())


@pytest.fixture(scope="module")
def hostile():
    return viewer_parts([viewer_case(HOSTILE), viewer_case("second")], HOSTILE_NAMES)


def test_hostile_titles_notes_and_class_names_are_text(hostile):
    read = Reader(hostile.html)
    assert "img" not in read.tags and read.tags.count("script") == 3
    assert HOSTILE in read.texts
    settings = json.loads(read.inert["viewer-settings"])
    assert settings["cases"][0]["title"] == HOSTILE and settings["cases"][0]["note"] == f"About {HOSTILE}."
    assert settings["titles"][0] == HOSTILE
    assert "hacked" not in hostile.script + hostile.css


def test_the_script_cannot_end_early(hostile):
    assert not re.search(r"</script|<!--", hostile.script, re.IGNORECASE)
    assert not re.search(r"</style|<!--", hostile.css, re.IGNORECASE)
    assert hostile.script.startswith(NIIVUE.read_text("utf-8"))


def test_the_volumes_are_in_the_section(hostile):
    texts = json.loads(Reader(hostile.html).inert["viewer-volumes-1"])
    headers = [gzip.decompress(base64.b64decode(text))[344:348] for text in texts]
    assert headers == [b"n+1\0"] * 3


def test_what_is_not_ours_is_unchanged():
    readme = (NIIVUE.parent / "README.md").read_text("utf-8")
    listed = re.search(r"`niivue\.umd\.js` .* 0\.69\.0.*`([0-9a-f]{64})`", readme)
    assert listed and listed[1] == hashlib.sha256(NIIVUE.read_bytes()).hexdigest()
    assert "Copyright (c) 2021, Niivue" in (NIIVUE.parent / "LICENSE.niivue.txt").read_text("utf-8")


def test_the_page_allows_its_own_style_and_script_alone(tmp_path):
    page = write_view([viewer_case(HOSTILE)], NAMES, tmp_path / "view.html").read_text("utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    style, script = (re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[1] for tag in ("style", "script"))
    assert f"style-src '{policy_hash(style)}'" in policy and f"script-src '{policy_hash(script)}'" in policy
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert re.search(r"<title>&lt;/script&gt;", page) and "not a medical device" in page
    assert len(page.encode()) < 8_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["view.html"]


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(EnvironmentFault, match=r"view\.html: cannot be written"):
        write_view([viewer_case()], NAMES, tmp_path / "none" / "view.html")


def test_a_case_of_a_scene_has_its_arrays():
    case = viewer_case()
    record = CaseRecord("id-7", "p", "train", 0, case.native, case.native, case.grid)
    mapped = MappedCase(record, ActivationMaps(case.dense_KDHW, None, None), case.lungs_DHW, 2, None, None)
    made = ViewerCase.from_scene(Scene(mapped, case.hu_DHW, case.lungs_DHW), title="t", note="n")
    assert (made.case_id, made.cluster, made.title, made.note) == ("id-7", 2, "t", "n")
    assert made.hu_DHW is case.hu_DHW and made.lungs_DHW is case.lungs_DHW and made.dense_KDHW is case.dense_KDHW
    assert made.native == case.native and made.grid == case.grid
