"""The verb ``samples``: write sample data in the published layout of a data set."""

from __future__ import annotations

import ast
import re
from argparse import ArgumentError
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from jsonargparse import ArgumentParser

from blockyard import samples
from blockyard.commands.parser import Parser, listed
from blockyard.mistakes import nearest


class Writer(NamedTuple):
    """What writes a kind of sample data, as its source; some of the modules take torch, to read what they wrote.

    Attributes:
        function: ``write_<name>`` of the module ``samples.<name>``.
        aliases: Types that the module has names for.
    """

    function: ast.FunctionDef
    aliases: dict[str, str]


def writers() -> dict[str, Writer]:
    """What can be written, by name."""
    found = {}
    for file in sorted(Path(path) for folder in samples.__path__ for path in Path(folder).glob("*.py")):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        aliases = {
            ast.unparse(node.targets[0]): ast.unparse(node.value) for node in body if isinstance(node, ast.Assign)
        }
        for node in body:
            if isinstance(node, ast.FunctionDef) and node.name == f"write_{file.stem}":
                found[file.stem] = Writer(node, aliases)
    return found


def main(arguments: list[str]) -> int:
    """Write sample data; what was finished before is left as it is.

    Args:
        arguments: Command line tokens after the verb: a name, then options called as the writer's arguments.

    Returns:
        The exit code, 0.

    Raises:
        ValueError: If there is no such data, or an option is wrong.
    """
    known = writers()
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: blockyard samples NAME --root FOLDER [options]\n")
        print(listed({name: _documented(writer)[0].splitlines()[0] for name, writer in known.items()}))
        print("\nblockyard samples NAME --help shows the options of one.")
        return 0
    name, *options = arguments
    if name not in known:
        raise ValueError(f"no sample data {name}; {nearest(name, known)}")
    _parser(name, known[name]).read(options)
    write = getattr(import_module(f"{samples.__name__}.{name}"), f"write_{name}")
    parser = ArgumentParser(prog=f"blockyard samples {name}", exit_on_error=False)
    parser.add_function_arguments(write, as_positional=False)
    try:
        chosen = parser.parse_args(options)
    except ArgumentError as error:
        from blockyard.composing.parser_messages import explain  # knows every class, which takes seconds

        raise ValueError(explain(str(error))) from error
    print(write(**chosen))
    return 0


def _parser(name: str, writer: Writer) -> Parser:
    """Knows the options of a writer by name, but not what they may be."""
    summary, documented = _documented(writer)
    parser = Parser(f"samples {name}", summary)
    signature = writer.function.args
    required = len(signature.args) - len(signature.defaults)
    defaults = [*[None] * required, *signature.defaults, *signature.kw_defaults]
    for argument, default in zip([*signature.args, *signature.kwonlyargs], defaults, strict=True):
        kind = ast.unparse(argument.annotation) if argument.annotation else "str"
        said = [writer.aliases.get(kind, kind), *([f"default: {ast.unparse(default)}"] if default else [])]
        text = f"{documented.get(argument.arg, '')} ({'; '.join(said)})".replace("%", "%%")
        parser.add_argument(f"--{argument.arg}", required=default is None, help=text, metavar="VALUE")
    return parser


def _documented(writer: Writer) -> tuple[str, dict[str, str]]:
    """The first paragraph of a writer's docstring, and what it says of each argument."""
    text = ast.get_docstring(writer.function) or ""
    _, _, arguments = text.partition("Args:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", arguments.partition("\n\n")[0], re.MULTILINE)
    return text.partition("\n\n")[0], {name: " ".join(said.split()) for name, said in entries}
