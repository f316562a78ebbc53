"""What a newcomer has: a page to follow, an empty folder, and nothing installed."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import http.cookiejar
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import time
import typing as t
import urllib.parse
import urllib.request

from tests.rig.coordinator import PATIENCE


class Recipe:
    """The examples of a page of the handbook.

    :param text: the page, as Markdown.
    """

    def __init__(self, text: str) -> None:
        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        self.programs: t.Final = [code for language, code in blocks if language == "python"]
        """The examples in Python, in their order."""
        self.commands: t.Final = [
            shlex.split(line.removeprefix("$ "))
            for language, code in blocks
            if language == "console"
            for line in code.splitlines()
            if line.startswith("$ ")
        ]
        """What is to be typed at the terminal, in its order."""

    def command(self, program: str) -> list[str]:
        """The one command of a program."""
        (found,) = [command for command in self.commands if command[0] == program]
        return found


class Folder:
    """A folder with a virtual environment in it."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path: t.Final = path
        self._programs = path / ".venv" / "bin"
        self._log = path / "log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLASK_")}
        kept.pop("PYTHONPATH", None)  # only what is installed is to be found
        path_variable = f"{self._programs}{os.pathsep}{kept['PATH']}"
        self._environment = {**kept, "PATH": path_variable, "PYTHONUNBUFFERED": "1"}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [str(self._programs / command[0]), *command[1:]],
            cwd=self.path,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    @contextlib.contextmanager
    def serve(self, *command: str) -> cabc.Iterator[str]:
        """Run a server, stopped at the end; gives the address that it says."""
        with (
            self._log.open("wb") as log,
            subprocess.Popen(
                [str(self._programs / command[0]), *command[1:]],
                cwd=self.path,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                yield self._address(process)
                process.terminate()
                process.wait(PATIENCE)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        text = self._log.read_text()
        assert "Traceback" not in text, text

    def _address(self, process: subprocess.Popen[bytes]) -> str:
        given_up = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < given_up:
            found = re.search(r"(?:Running on|Listening at:) (http://[\w.:]+)", self.log())
            if found is not None:
                return found[1]
        raise AssertionError(f"no address:\n{self.log()}")

    def log(self) -> str:
        """What the server has written."""
        return self._log.read_text()


class Visitor:
    """Somebody with a browser, who keeps what cookies are given. All servers are the same to it."""

    def __init__(self) -> None:
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        # No proxy, whatever the environment says: the server is on this machine.
        self._opener = urllib.request.build_opener(jar, urllib.request.ProxyHandler({}))

    def get(self, url: str) -> t.Any:
        """The page, as what its JSON holds."""
        with self._opener.open(url, timeout=PATIENCE) as answer:
            return json.load(answer)

    def post(self, url: str, **form: str) -> t.Any:
        """Send a form; the page that it leads to."""
        data = urllib.parse.urlencode(form).encode()
        with self._opener.open(url, data, timeout=PATIENCE) as answer:
            return json.load(answer)
