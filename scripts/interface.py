"""Lists a module's public interface as Markdown, from the symbol graphs that Swift extracts.

interface.py ROOT GRAPH [GRAPH ...] prints one section for each folder of the sources and one table row for each
declaration: how it is written, and the first sentence of its documentation.
"""

import json
import pathlib
import re
import sys
from urllib.parse import unquote, urlparse

# Cases of an enumeration and properties of a structure stand with their type.
MEMBERS = {"swift.enum.case", "swift.property", "swift.method", "swift.init", "swift.type.property",
           "swift.type.method", "swift.func.op", "swift.subscript", "swift.type.subscript", "swift.typealias",
           "swift.associatedtype"}


def summary(symbol):
    """The first sentence of a declaration's documentation."""
    lines = [line["text"] for line in symbol.get("docComment", {}).get("lines", [])]
    paragraph = " ".join(line.strip() for line in "\n".join(lines).split("\n\n")[0].splitlines())
    # ``symbol`` links become code; a vertical bar would end the cell.
    paragraph = re.sub(r"``([^`]+)``", lambda link: f"`{link[1]}`", paragraph).replace("|", "\\|")
    end = re.search(r"(?<![A-Z])[.:](\s|$)", paragraph)
    return paragraph[: end.start()] if end else paragraph


def declaration(symbol):
    text = "".join(part["spelling"] for part in symbol["declarationFragments"])
    text = re.sub(r"@\w+(\([^)]*\))? ", "", re.sub(r"\s+", " ", text)).replace("|", "\\|")
    return text.replace(" { get }", "").replace(" { get set }", "")


def public_symbols(root, graphs):
    """(file, line, depth, declaration, summary) of what is declared in the package and documented there."""
    found = {}
    for graph in graphs:
        for symbol in json.loads(pathlib.Path(graph).read_text())["symbols"]:
            if symbol["accessLevel"] not in ("public", "open") or "location" not in symbol:
                continue
            if "::SYNTHESIZED::" in symbol["identifier"]["precise"] or "docComment" not in symbol:
                continue
            path = pathlib.Path(unquote(urlparse(symbol["location"]["uri"]).path))
            try:
                file = path.relative_to(root).as_posix()
            except ValueError:
                continue
            depth = len(symbol["pathComponents"]) - 1
            owner = ".".join(symbol["pathComponents"][:-1])
            found[symbol["identifier"]["precise"]] = (
                file, symbol["location"]["position"]["line"], depth, owner, declaration(symbol), summary(symbol))
    return sorted(found.values())


def main():
    root, graphs = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    print("# The public interface\n")
    print("What each file declares for users, with the first sentence of its documentation. `scripts/test-documentation")
    print("--write` makes this page; the documentation itself stands with the declarations.")
    folder = None
    for file, _, depth, owner, text, sentence in public_symbols(root, graphs):
        if (parent := pathlib.PurePosixPath(file).parent.as_posix()) != folder:
            folder = parent
            print(f"\n## {folder.removeprefix('Sources/')}\n\n| declaration | what it is |\n| --- | --- |")
        where = f"in `{owner}`: " if owner else ""
        print(f"| {where}[`{text}`](../{file}) | {sentence} |")


main()
