"""Which access mode a request has: the nearest word counts."""

from __future__ import annotations

import collections.abc as cabc
import functools
import typing as t

import flask
import pytest
from flask.views import MethodView
from flask.views import View

from flask_state import session
from flask_state import session_access
from flask_state.errors import ConfigurationError
from flask_state.errors import SessionReadOnly
from tests.session.site import Site
from tests.session.together import is_leased
from tests.session.together import request

ALL_METHODS: t.Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
CHANGING: t.Final = ["POST", "PUT", "PATCH", "DELETE"]

Seen = list[str]


class Asked:
    """A site whose views say how they may use the session.

    What they may is found out by using it, not by asking.
    """

    def __init__(self, url: str, **config: t.Any) -> None:
        self.site = Site(url, **config)
        self.seen: Seen = []
        self._id = ""

    def look(self) -> str:
        """What this request may do."""
        if "user" not in session:
            self.seen.append("off")
        else:
            try:
                session["seen"] = flask.request.method
            except SessionReadOnly:
                self.seen.append("readonly")
            else:
                self.seen.append("exclusive" if is_leased(self.site, self._id) else "merge")
        return ""

    def mode(self, path: str, method: str = "GET") -> str:
        """What a request to a path may do."""
        if not self._id:
            _, self._id = self.site.sign_in(user="ann")
        self.seen.clear()
        request(self.site, self._id, lambda: None, path, method)
        (mode,) = self.seen
        assert not is_leased(self.site, self._id)
        return mode

    def add(self, path: str, view: t.Any, to: t.Any = None) -> None:
        """Add a view for all methods."""
        name = path.strip("/").replace("/", "_")
        add = (to or self.site.app).add_url_rule
        if isinstance(view, type):
            add(path, view_func=t.cast(type[View], view).as_view(name))
        else:
            add(path, name, view, methods=ALL_METHODS)


@pytest.fixture
def asked(url: str) -> cabc.Iterator[Asked]:
    """A site on each engine."""
    asked = Asked(url)
    yield asked
    asked.site.close()


# Each mode, on each place


@pytest.mark.parametrize("mode", ["exclusive", "merge", "readonly", "off"])
@pytest.mark.parametrize("method", ALL_METHODS)
def test_a_function_says_it(asked: Asked, mode: str, method: str) -> None:
    asked.add("/view", session_access(mode)(lambda: asked.look()))
    assert asked.mode("/view", method) == mode


@pytest.mark.parametrize("says", [True, False])
def test_auto_is_exclusive_for_what_changes_and_merge_for_the_rest(
    asked: Asked, says: bool
) -> None:
    """That is also the default."""
    view = session_access("auto")(lambda: asked.look()) if says else (lambda: asked.look())
    asked.add("/view", view)
    for method in CHANGING:
        assert asked.mode("/view", method) == "exclusive"
    for method in ["GET", "HEAD"]:
        assert asked.mode("/view", method) == "merge"


@pytest.mark.parametrize("mode", ["exclusive", "merge", "readonly", "off"])
def test_a_class_says_it_for_all_its_methods(asked: Asked, mode: str) -> None:
    @session_access(mode)
    class Page(MethodView):
        def get(self) -> str:
            return asked.look()

        post = get

    asked.add("/view", Page)
    assert [asked.mode("/view", method) for method in ("GET", "POST")] == [mode, mode]


def test_a_class_of_one_method_says_it(asked: Asked) -> None:
    @session_access("readonly")
    class Page(View):
        def dispatch_request(self) -> str:
            return asked.look()

    asked.add("/view", Page)
    assert asked.mode("/view") == "readonly"


def test_the_decorators_of_a_class_say_it(asked: Asked) -> None:
    class Page(MethodView):
        decorators: t.ClassVar = [session_access("exclusive")]

        def get(self) -> str:
            return asked.look()

    asked.add("/view", Page)
    assert asked.mode("/view") == "exclusive"


def test_a_method_says_it_for_itself(asked: Asked) -> None:
    @session_access("readonly")
    class Page(MethodView):
        @session_access("exclusive")
        def get(self) -> str:
            return asked.look()

        @session_access("merge")
        def post(self) -> str:
            return asked.look()

        def put(self) -> str:
            return asked.look()

    asked.add("/view", Page)
    modes = [asked.mode("/view", method) for method in ("GET", "POST", "PUT")]
    assert modes == ["exclusive", "merge", "readonly"]


def test_head_is_answered_by_get_and_has_its_mode(asked: Asked) -> None:
    class Page(MethodView):
        @session_access("readonly")
        def get(self) -> str:
            return asked.look()

    class Both(MethodView):
        @session_access("readonly")
        def get(self) -> str:
            return asked.look()

        @session_access("exclusive")
        def head(self) -> str:
            return asked.look()

    asked.add("/view", Page)
    asked.add("/both", Both)
    assert asked.mode("/view", "HEAD") == "readonly"
    assert asked.mode("/both", "HEAD") == "exclusive"


def test_a_derived_class_inherits_it_and_may_say_otherwise(asked: Asked) -> None:
    @session_access("readonly")
    class Base(MethodView):
        def get(self) -> str:
            return asked.look()

    class Same(Base):
        pass

    @session_access("exclusive")
    class Other(Base):
        pass

    for path, view in [("/same", Same), ("/other", Other), ("/base", Base)]:
        asked.add(path, view)
    modes = [asked.mode(path) for path in ("/same", "/other", "/base")]
    assert modes == ["readonly", "exclusive", "readonly"]


def test_a_blueprint_says_it_for_its_views(asked: Asked) -> None:
    blueprint = session_access("readonly")(flask.Blueprint("shop", "shop", url_prefix="/shop"))
    asked.add("/view", lambda: asked.look(), blueprint)
    asked.add("/own", session_access("exclusive")(lambda: asked.look()), blueprint)
    asked.site.app.register_blueprint(blueprint)
    asked.add("/elsewhere", lambda: asked.look())
    modes = [asked.mode(path) for path in ("/shop/view", "/shop/own", "/elsewhere")]
    assert modes == ["readonly", "exclusive", "merge"]


def test_the_inner_blueprint_says_it_before_the_outer_one(asked: Asked) -> None:
    outer = session_access("readonly")(flask.Blueprint("outer", "outer", url_prefix="/outer"))
    silent = flask.Blueprint("silent", "silent", url_prefix="/silent")
    inner = session_access("exclusive")(flask.Blueprint("inner", "inner", url_prefix="/inner"))
    for blueprint in (outer, silent, inner):
        asked.add("/view", lambda: asked.look(), blueprint)
    silent.register_blueprint(inner)
    outer.register_blueprint(silent)
    asked.site.app.register_blueprint(outer)
    paths = ["/outer/view", "/outer/silent/view", "/outer/silent/inner/view"]
    assert [asked.mode(path) for path in paths] == ["readonly", "readonly", "exclusive"]


def test_a_blueprint_under_another_name_says_the_same(asked: Asked) -> None:
    blueprint = session_access("readonly")(flask.Blueprint("shop", "shop"))
    asked.add("/view", lambda: asked.look(), blueprint)
    for name in ("north", "south"):
        asked.site.app.register_blueprint(blueprint, name=name, url_prefix=f"/{name}")
    assert asked.mode("/north/view") == asked.mode("/south/view") == "readonly"


@pytest.mark.parametrize("mode", ["exclusive", "merge", "readonly", "off"])
def test_the_setting_says_it_for_whoever_does_not(url: str, mode: str) -> None:
    # The views of the test itself store what they are to, so they say so.
    asked = Asked(url, STATE_SESSION_ACCESS=mode)
    session_access("auto")(asked.site.app.view_functions["task"])
    asked.add("/view", lambda: asked.look())
    asked.add("/auto", session_access("auto")(lambda: asked.look()))
    assert [asked.mode("/view", method) for method in ALL_METHODS] == [mode] * 5
    assert [asked.mode("/auto", method) for method in ("GET", "POST")] == ["merge", "exclusive"]
    asked.site.close()


def test_the_nearest_word_wins_whatever_it_is(url: str) -> None:
    """Setting, outer blueprint, inner blueprint, class, method: each against all behind it."""
    asked = Asked(url, STATE_SESSION_ACCESS="merge")

    @session_access("off")
    class Page(MethodView):
        @session_access("exclusive")
        def get(self) -> str:
            return asked.look()

        def post(self) -> str:
            return asked.look()

    outer = session_access("exclusive")(flask.Blueprint("outer", "outer", url_prefix="/outer"))
    inner = session_access("readonly")(flask.Blueprint("inner", "inner", url_prefix="/inner"))
    asked.add("/page", Page, inner)
    asked.add("/view", lambda: asked.look(), inner)
    asked.add("/view", lambda: asked.look(), outer)
    outer.register_blueprint(inner)
    asked.site.app.register_blueprint(outer)
    assert asked.mode("/outer/inner/page", "GET") == "exclusive"
    assert asked.mode("/outer/inner/page", "POST") == "off"
    assert asked.mode("/outer/inner/view", "POST") == "readonly"
    assert asked.mode("/outer/view", "GET") == "exclusive"
    asked.site.close()


# Around the view


def traced(view: cabc.Callable[..., t.Any]) -> cabc.Callable[..., t.Any]:
    """A decorator as applications have them."""

    @functools.wraps(view)
    def wrapper(*args: t.Any, **kwargs: t.Any) -> t.Any:
        return view(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize("order", ["inside", "outside", "between"])
def test_other_decorators_keep_it(asked: Asked, order: str) -> None:
    def view() -> str:
        return asked.look()

    decorators: list[t.Any] = {
        "inside": [session_access("readonly"), traced, traced],
        "outside": [traced, traced, session_access("readonly")],
        "between": [traced, session_access("readonly"), traced],
    }[order]
    decorated: t.Any = view
    for decorate in decorators:
        decorated = decorate(decorated)
    asked.add("/view", decorated)
    assert asked.mode("/view") == "readonly"


def test_of_two_words_on_one_view_the_outer_one_counts(asked: Asked) -> None:
    view = session_access("exclusive")(traced(session_access("readonly")(lambda: asked.look())))
    asked.add("/view", view)
    assert asked.mode("/view") == "exclusive"


def test_decorating_changes_neither_a_view_nor_what_it_wraps(asked: Asked) -> None:
    def view() -> str:
        """What it does."""
        return asked.look()

    assert session_access("merge")(view) is view
    wrapped = session_access("readonly")(traced(view))
    asked.add("/inner", view)
    asked.add("/outer", wrapped)
    assert [asked.mode("/inner", "POST"), asked.mode("/outer", "POST")] == ["merge", "readonly"]


@pytest.mark.parametrize("mode", ["exclusive", "merge", "readonly", "off"])
def test_an_async_view_says_it(asked: Asked, mode: str) -> None:
    @session_access(mode)
    async def view() -> str:
        return asked.look()

    asked.add("/view", view)
    assert asked.mode("/view", "POST") == mode


def test_an_async_view_that_says_nothing_has_the_mode_of_its_method(asked: Asked) -> None:
    async def view() -> str:
        return asked.look()

    asked.add("/view", view)
    assert [asked.mode("/view", "GET"), asked.mode("/view", "POST")] == ["merge", "exclusive"]


@pytest.mark.parametrize("mode", ["exclusive", "merge", "readonly", "off"])
def test_what_runs_before_the_view_has_its_mode(asked: Asked, mode: str) -> None:
    """The route is known by then."""

    @asked.site.app.before_request
    def before() -> None:
        if flask.request.endpoint == "view":
            asked.look()

    asked.add("/view", session_access(mode)(lambda: ""))
    assert asked.mode("/view", "POST") == mode


@pytest.mark.parametrize("path", ["/no such view", "/view"])
def test_where_there_is_no_view_the_mode_is_merge(url: str, path: str) -> None:
    """404 and 405, whatever the setting says: error pages show who is signed in."""
    asked = Asked(url, STATE_SESSION_ACCESS="off")
    session_access("auto")(asked.site.app.view_functions["task"])
    asked.site.app.add_url_rule("/view", "view", session_access("off")(lambda: ""))

    @asked.site.app.errorhandler(404)
    @asked.site.app.errorhandler(405)
    def handle(error: Exception) -> str:
        return asked.look()

    assert asked.mode(path, "POST") == "merge"
    asked.site.close()


def test_before_request_where_there_is_no_view_is_merge(asked: Asked) -> None:
    @asked.site.app.before_request
    def before() -> None:
        if flask.request.endpoint is None:
            asked.look()

    assert asked.mode("/no such view", "POST") == "merge"


def test_an_error_handler_has_the_mode_of_the_view_that_raised(asked: Asked) -> None:
    def view() -> str:
        raise LookupError

    @asked.site.app.errorhandler(LookupError)
    def handle(error: LookupError) -> str:
        return asked.look()

    asked.add("/view", session_access("readonly")(view))
    assert asked.mode("/view", "POST") == "readonly"


# Another word


@pytest.mark.parametrize("wrong", ["", "read-only", "READONLY", "none", None, True, 1])
def test_another_mode_is_refused_where_it_is_written(wrong: t.Any) -> None:
    with pytest.raises(ConfigurationError, match="'readonly'"):
        session_access(wrong)


def test_the_bare_decorator_is_refused_where_it_is_written() -> None:
    with pytest.raises(ConfigurationError, match="access mode"):
        session_access(lambda: "")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["read-only", "READONLY", True, 1])
def test_another_mode_in_the_settings_is_refused(wrong: t.Any) -> None:
    with pytest.raises(ConfigurationError, match="STATE_SESSION_ACCESS must be one of 'auto'"):
        Site(STATE_SESSION_ACCESS=wrong)
