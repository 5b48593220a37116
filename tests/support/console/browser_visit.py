"""A visit to the console in a real browser, which remembers what went wrong."""

from __future__ import annotations

from importlib.resources import files

from tests.support.console.console_site import ACTION_TOKEN
from tests.support.timeouts import TIMEOUT_SECONDS

GRAVE_IMPACTS = {"serious", "critical"}


class Visit:
    """A tab of the browser, and everything that it complains of or asks of other hosts."""

    def __init__(self, chromium, address, width=1280, theme="light"):
        self.address = address
        self.complaints = []
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        context.set_default_timeout(TIMEOUT_SECONDS * 1000)
        self.page = context.new_page()
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", self._note_request)

    def _note_message(self, message):
        # A page that is not there, or not open to this token, is said to be so by its status.
        if (
            message.type in {"error", "warning"}
            and "responded with a status of 4" not in message.text
        ):
            self.complaints.append(message.text)

    def _note_request(self, request):
        if not request.url.startswith(self.address):
            self.complaints.append(request.url)

    def sign_in(self, token=ACTION_TOKEN):
        self.page.goto(f"{self.address}/login")
        self.page.fill("input[name=token]", token)
        self.page.fill("input[name=name]", "Anna")
        self.page.click("main button")

    def open(self, path):
        self.page.goto(self.address + path)
        self.wait()

    def wait(self):
        self.page.wait_for_selector("[data-job]", state="detached")
        self.page.wait_for_load_state("load")

    def find_faults(self):
        """Return what axe-core finds that keeps people from using the page."""
        script = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
        # By the browser's own tools, which the page's policy does not hold back.
        self.page.evaluate(script)
        found = self.page.evaluate("axe.run()")["violations"]
        return [
            f"{each['id']}: {each['nodes'][0]['html'][:200]}"
            for each in found
            if each["impact"] in GRAVE_IMPACTS
        ]
