"""A panel from its file: what it says, and on which line it says what cannot be."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from fanin.agent import Agent
from fanin.agent_run import ToolLimits
from fanin.answers import Choice, YesNo
from fanin.errors import ConfigError
from fanin.panel_file import read_panel
from fanin.seating import AGGREGATOR, Panel

TOOLS = '''
from beside_tools import WORD


def get_stock_price(symbol: str) -> str:
    """The price."""
    return f"{WORD} {symbol}"


def bare(symbol):
    """No hint."""


CONSTANT = 7
'''


def written(folder: Path, text: str, name: str = "panel.toml") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text), "utf-8")
    return path


def agents_of(panel: Panel) -> list[Agent]:
    return [member for member in panel.agents if isinstance(member, Agent)]


WHOLE = """\
    backend = "groq"
    model = "usual"
    temperature = 0.2
    answer = ["buy", "sell"]
    require_all = true
    max_chars = 5000

    [[agents]]
    name = "Ann"
    system = "You are Ann."

    [[agents]]
    name = "Bob"
    system = "You are Bob."
    backend = "openai"
    temperature = 1
    answer = "yes/no"
    max_tokens = 100
    native_tools = false
    limits = { turns = 3, timeout_s = 2 }

    [[agents]]
    name = "Cas"
    system = "You are Cas."
    model = "large"

    [aggregator]
    system = "Sum up."
"""


def test_an_agent_has_what_it_says_and_else_what_stands_at_the_top(tmp_path: Path) -> None:
    panel = read_panel(written(tmp_path, WHOLE))
    ann, bob, cas = agents_of(panel)
    choice = Choice(["buy", "sell"])
    common: dict[str, Any] = {"backend": "groq", "model": "usual", "temperature": 0.2}
    assert ann == Agent("Ann", "You are Ann.", answer=choice, **common)
    assert bob == Agent(
        "Bob",
        "You are Bob.",
        backend="openai",
        temperature=1,
        answer=YesNo(),
        max_tokens=100,
        native_tools=False,
        limits=ToolLimits(turns=3, timeout_s=2),
    )
    assert cas == Agent("Cas", "You are Cas.", answer=choice, **(common | {"model": "large"}))
    assert panel.aggregator == Agent("Aggregator", "Sum up.", **common)
    assert (panel.name, panel.require_all, panel.max_chars) == ("panel", True, 5000)


def test_defaults_go_before_the_top_and_after_an_agents_own(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    ann, bob, cas = agents_of(read_panel(path, {"backend": "ollama", "temperature": 0.5}))
    assert [(each.backend, each.model, each.temperature) for each in (ann, bob, cas)] == [
        ("ollama", None, 0.5),
        ("openai", None, 1),
        ("ollama", "large", 0.5),
    ]
    ann, bob, _ = agents_of(read_panel(path, {"model": "mine"}))
    assert [(each.backend, each.model) for each in (ann, bob)] == [("groq", "mine"), ("openai", None)]


LEAST = """\
    [[agents]]
    name = "Ann"
    system = "You are Ann."
"""


def test_the_least_is_one_agent(tmp_path: Path) -> None:
    panel = read_panel(written(tmp_path, LEAST))
    assert agents_of(panel) == [Agent("Ann", "You are Ann.")]
    assert panel.aggregator == AGGREGATOR


def test_the_vote_and_a_name_may_stand_at_the_top(tmp_path: Path) -> None:
    top = 'name = "Research"\nvote = "yes/no"\n'
    panel = read_panel(written(tmp_path, top + textwrap.dedent(LEAST)))
    assert (panel.name, panel.vote, panel.counted) == ("Research", YesNo(), YesNo())


def test_tools_are_looked_up_beside_the_file_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `json` is a module of Python's own too: the one beside the file wins.
    written(tmp_path, TOOLS, "json.py")
    written(tmp_path, "WORD = 'beside'", "beside_tools.py")
    (tmp_path / "inner").mkdir()
    written(tmp_path / "inner", "def f() -> int:\n    'It.'\n    return 1", "__init__.py")
    tools = 'tools = ["json:get_stock_price", "inner:f", "fanin.show:one_line"]'
    path = written(tmp_path, textwrap.dedent(LEAST) + tools)
    monkeypatch.chdir(tmp_path.parent)
    [ann] = agents_of(read_panel(path))
    assert [tool.__name__ for tool in ann.tools] == ["get_stock_price", "f", "one_line"]
    assert ann.tools[0]("AAPL") == "beside AAPL"
    assert agents_of(read_panel(path)) == [ann], "the same file is run once"


def test_a_package_beside_the_file_has_its_own_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "a.folder" / "beside_package"
    (package / "inner").mkdir(parents=True)
    plain = tmp_path / "a.folder" / "plain"
    plain.mkdir()
    for folder in (package, package / "inner"):
        written(folder, "", "__init__.py")
    written(package, "WORD = 'near'", "words.py")
    written(tmp_path / "a.folder", "WORD = 'far'", "beside_words.py")
    tool = "def f() -> str:\n    'It.'\n    return WORD\n"
    written(package / "inner", f"from ..words import WORD\n{tool}", "relative.py")
    written(package, f"from beside_package.words import WORD\n{tool}", "absolute.py")
    written(plain, f"from beside_words import WORD\n{tool}", "outside.py")
    tools = ["beside_package.inner.relative:f", "beside_package.absolute:f", "plain.outside:f"]
    text = "".join(f'[[agents]]\nname = "{tool}"\nsystem = "x"\ntools = ["{tool}"]\n' for tool in tools)
    panel = read_panel(written(tmp_path / "a.folder", text))
    assert [agent.tools[0]() for agent in agents_of(panel)] == ["near", "near", "far"]
    assert not {str(tmp_path / "a.folder"), str(plain)} & set(sys.path)
    for name in [each for each in sys.modules if each.startswith("beside_")]:
        monkeypatch.delitem(sys.modules, name)


def test_an_agent_may_be_a_panel_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    written(tmp_path / "sub", WHOLE, "finance.toml")
    path = written(
        tmp_path, '[[agents]]\nname = "Finance"\npanel = "sub/finance.toml"\n' + textwrap.dedent(LEAST)
    )
    inner, ann = read_panel(path, {"model": "mine"}).agents
    assert isinstance(inner, Panel)
    assert (inner.name, inner.require_all) == ("Finance", True)
    assert [(each.name, each.model) for each in agents_of(inner)] == [
        ("Ann", "mine"),
        ("Bob", None),
        ("Cas", "large"),
    ]
    assert ann == Agent("Ann", "You are Ann.", model="mine")


def test_a_panel_may_stand_twice_but_not_in_itself(tmp_path: Path) -> None:
    written(tmp_path, LEAST, "leaf.toml")
    twice = '[[agents]]\nname = "A"\npanel = "leaf.toml"\n\n[[agents]]\nname = "B"\npanel = "leaf.toml"\n'
    assert len(read_panel(written(tmp_path, twice)).agents) == 2
    written(tmp_path, f'[[agents]]\nname = "Up"\npanel = "../{tmp_path.name}/a.toml"\n', "b.toml")
    path = written(tmp_path, textwrap.dedent(LEAST) + '[[agents]]\nname = "B"\npanel = "b.toml"\n', "a.toml")
    with pytest.raises(ConfigError) as caught:
        read_panel(path)
    assert caught.value.problem == "line 3: a panel holds itself (a.toml -> b.toml -> a.toml)"
    assert caught.value.path.endswith("b.toml")


def test_a_file_gives_its_panel_the_name_it_has_room_for(tmp_path: Path) -> None:
    assert read_panel(written(tmp_path, LEAST, f"{'x' * 80}.toml")).name == "x" * 60


@pytest.mark.parametrize(
    ("text", "problem", "mend"),
    [
        ("", "there are no agents", "Name one or more, each under [[agents]]."),
        ("agents = []", "there are no agents", "Name one or more, each under [[agents]]."),
        ("agents = [1]", "line 1: agents must be tables, each under [[agents]]", None),
        ("agents = 1", "line 1: agents must be a list, not 1", None),
        ("[[agents]\n", "not valid TOML: ", None),
        ("\nbackend = 'x' 'y'", "not valid TOML: ", None),
        ("\n# what\nagent = 1", "line 3: there is no setting 'agent'", "Did you mean agents?"),
        ("base_url = 'http://x'", "line 1: there is no setting 'base_url'", "An address is given with"),
        ("temperature = true", "line 1: temperature must be a number, not True", None),
        ("limits = { turn = 1 }", "line 1: there is no setting 'turn'", "Did you mean turns?"),
        ("limits = { turns = 0 }", "line 1: turns must be a whole number from 1", None),
        ("vote = 'maybe'", "line 1: answer must be one of yes/no, number, text, date, quantity, not", None),
        ("vote = ['a']", "line 1: options must be at least two", None),
        ("max_chars = 7", "line 1: max_chars must be a whole number from 200", None),
        ("[aggregator]\nname = 'Ann'", "line 6: there are two agents called 'Ann'", "Give each a name"),
        ("[aggregator]\nsystems = 'x'", "line 7: there is no setting 'systems'", "Did you mean system?"),
        ("aggregator = 'me'", "line 1: aggregator must be a table, not 'me'", None),
        ("[[agents]]\nsystem = 'x'", "line 6: an agent has no name", 'Give it one: name = "...".'),
        ("[[agents]]\nname = 'x'", "line 6: an agent has no system", 'Give it one: system = "...".'),
        ("[[agents]]\nname = 'Ann'\nsystem = 'x'", "line 6: there are two agents called 'Ann'", "Give each"),
        (
            "[[agents]]\nname = 'Aggregator'\nsystem = 'x'",
            "line 6: there are two agents called 'Aggregator'",
            "Give each",
        ),
        ('[[agents]]\nname = "a\\nb"\nsystem = "x"', "line 7: name must be ", None),
        ("[[agents]]\nname = 'a === b'\nsystem = 'x'", "line 7: name must be ", None),
        ("[[agents]]\nname = 'B'\nsystem = 'x'\ntool = []", "line 9: there is no setting 'tool'", "Did you"),
        (
            "[[agents]]\nname = 'B'\nsystem = '''\nx\n\n'''\ntools = 'x:y'",
            "line 12: tools must be a list",
            None,
        ),
        (
            "[[agents]]\nname = 'B'\nsystem = 'x'\ntools = [\n 1,\n]",
            "line 9: tools must be a list of texts",
            None,
        ),
        ("[[agents]]\nname = 'B'\npanel = 'none.toml'", "there is no such file", None),
        (
            "[[agents]]\nname = 'B'\npanel = 'x'\nsystem = 'x'",
            "line 9: system does not go with panel",
            "An agent that is a panel has a name and a panel",
        ),
        ("[[agents]]\npanel = 'leaf.toml'", "line 6: an agent has no name", None),
    ],
)
def test_what_cannot_be_is_said_with_its_line(
    tmp_path: Path, text: str, problem: str, mend: str | None
) -> None:
    top = text if not text.startswith("[") else ""
    rest = text if text.startswith("[") else ""
    written(tmp_path, LEAST, "leaf.toml")
    least = "" if not text or text.startswith(("agents", "[[agents]\n")) else f"\n{textwrap.dedent(LEAST)}\n"
    with pytest.raises(ConfigError) as caught:
        read_panel(written(tmp_path, top + least + rest))
    assert caught.value.problem.startswith(problem)
    assert mend is None or str(caught.value.mend).startswith(mend)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("tool", "problem", "mend"),
    [
        ("prices", "'prices' names no tool", 'Write "module:function".'),
        (":f", "':f' names no tool", None),
        ("prices:get stock", "'prices:get stock' names no tool", None),
        (
            "prices:get_stock_prices",
            "there is no tool 'get_stock_prices' in prices",
            "Did you mean prices:get_stock_price?",
        ),
        ("prices:zzz", "there is no tool 'zzz' in prices", "It has: bare, get_stock_price."),
        ("prices:CONSTANT", "there is no tool 'CONSTANT' in prices", None),
        ("prices:bare", "bare", None),
        ("nowhere:f", "there is no module 'nowhere'", "Neither nowhere.py beside the file"),
        ("email.nowhere:f", "there is no module 'email.nowhere'", None),
        ("needy:f", "the module needy needs not_installed_at_all, which is not installed", None),
        ("broken:f", "the module broken cannot be loaded: ZeroDivisionError: division by zero", None),
        ("wrong:f", "the module wrong cannot be loaded: SyntaxError", None),
        ("leaves:f", "the module leaves cannot be loaded: SystemExit: 3", None),
        ("alone:f", "the module alone cannot be loaded: ImportError: attempted relative import", None),
        ("empty:f", "there is no tool 'f' in empty", "It has none."),
        ("../prices:f", "'../prices:f' names no tool", 'Write "module:function".'),
        ("prices/x:f", "'prices/x:f' names no tool", None),
        ("prices.:f", "'prices.:f' names no tool", None),
    ],
)
def test_a_tool_that_cannot_be_used_is_said_with_its_line(
    tmp_path: Path, tool: str, problem: str, mend: str | None
) -> None:
    written(tmp_path, TOOLS, "prices.py")
    written(tmp_path, "WORD = 'beside'", "beside_tools.py")
    written(tmp_path, "import not_installed_at_all", "needy.py")
    written(tmp_path, "1 / 0", "broken.py")
    written(tmp_path, "def f(:", "wrong.py")
    written(tmp_path, "raise SystemExit(3)", "leaves.py")
    written(tmp_path, "from .prices import CONSTANT", "alone.py")
    written(tmp_path, "", "empty.py")
    path = written(tmp_path, textwrap.dedent(LEAST) + f'\ntools = ["{tool}"]\n')
    with pytest.raises(ConfigError) as caught:
        read_panel(path)
    assert caught.value.problem.startswith("line 5: ")
    assert problem in caught.value.problem
    assert mend is None or str(caught.value.mend).startswith(mend)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path, problem in (
        (tmp_path / "none.toml", "there is no such file"),
        (tmp_path, "cannot be read"),
        (tmp_path / "latin.toml", "cannot be read"),
        (tmp_path / "deep.toml", "not valid TOML"),
    ):
        (tmp_path / "latin.toml").write_bytes(b'name = "\xff"')
        (tmp_path / "deep.toml").write_text("agents = " + "[" * 5000)
        with pytest.raises(ConfigError, match=problem):
            read_panel(path)
