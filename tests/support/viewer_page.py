"""The 3D viewer of a page in the browser: its controls set, its words read, its picture taken."""

from io import BytesIO

import numpy as np
from PIL import Image

READY = """new Promise(done => { const look = () =>
  document.getElementById('viewer-hu').textContent && !document.getElementById('viewer-stage').ariaBusy
  || !document.getElementById('viewer-unable').hidden ? done(true) : setTimeout(look, 30); look(); })"""
SET = """(() => {{ const e = document.getElementById('viewer-{0}');
  e[e.type === 'checkbox' ? 'checked' : 'value'] = {1};
  e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')); }})()"""
SETTLED = "new Promise(done => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 120))"
BOX = "(r => [r.left, r.top, r.right, r.bottom])(document.getElementById('viewer-canvas').getBoundingClientRect())"


class Viewer:
    def __init__(self, page, folder):
        self.page, self.folder = page, folder

    def open(self, path, *, width=720, scheme="light"):
        self.page.show_as(width, height=600, scheme=scheme)
        self.page.open(path)
        self.wait()

    def wait(self):
        assert self.page.ask(READY)

    def set(self, name, value):
        self.page.ask(SET.format(name, repr(value) if isinstance(value, str) else str(value).lower()))
        self.page.ask(READY)
        self.page.ask(SETTLED)

    def text(self, name):
        return self.page.ask(f"document.getElementById('viewer-{name}').textContent")

    def picture(self):
        """What is seen of the canvas, RGB."""
        self.page.ask("document.getElementById('viewer-stage').scrollIntoView()")
        self.page.ask(SETTLED)
        path = self.folder / "shot.png"
        self.page.screenshot(path)
        left, top, right, bottom = (round(edge) for edge in self.page.ask(BOX))
        shot = np.asarray(Image.open(BytesIO(path.read_bytes())).convert("RGB")).astype(int)
        return shot[max(0, top) : bottom, left:right]

    def press(self, *keys):
        self.page.ask("document.getElementById('viewer-canvas').focus()")
        for key in keys:
            self.page.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key)
            self.page.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)
        self.page.ask(SETTLED)


def differ(first, second):
    return first.shape != second.shape or (np.abs(first - second).max(axis=2) > 24).mean() > 0.002


def is_coloured(picture):
    return (picture.max(axis=2) - picture.min(axis=2) > 40).mean()
