"""Lists the modules' public interface as Markdown, from the symbol graphs that Swift extracts.

interface.py ROOT GRAPH [GRAPH ...] prints an index of all names, then a section for each folder of the sources. A section has a table
of the folder's functions, and one for each of its types with the type's members: how each is written, linked to its file, and the first
sentence of its documentation.
"""

import collections
import json
import pathlib
import re
import sys
from typing import NamedTuple
from urllib.parse import unquote, urlparse


class Declaration(NamedTuple):
    file: str
    line: int
    owner: str  # the type that it is a member of, "" for none
    name: str
    is_type: bool
    text: str
    summary: str

    @property
    def folder(self):
        return pathlib.PurePosixPath(self.file).parent.as_posix().removeprefix("Sources/")

    @property
    def section(self):
        """The outermost type that it belongs to; "" for a function."""
        path = f"{self.owner}.{self.name}" if self.owner else self.name
        return path.split(".")[0] if self.owner or self.is_type else ""

    def row(self):
        nested = self.owner.partition(".")[2]
        where = f"in `{nested}`: " if nested else ""
        return f"| {where}[`{self.text}`](../{self.file}) | {self.summary} |"


def summary(symbol):
    """The first sentence of a declaration's documentation."""
    lines = [line["text"] for line in symbol.get("docComment", {}).get("lines", [])]
    paragraph = " ".join(line.strip() for line in "\n".join(lines).split("\n\n")[0].splitlines())
    # ``symbol`` links become code; a vertical bar would end the cell.
    paragraph = re.sub(r"``([^`]+)``", lambda link: f"`{link[1]}`", paragraph)
    paragraph = re.sub(r"<doc:(\w+)>", r"the guide \1", paragraph).replace("|", "\\|")
    end = re.search(r"(?<![A-Z])[.:](\s|$)", paragraph)
    return paragraph[: end.start()] if end else paragraph


def written(symbol):
    text = "".join(part["spelling"] for part in symbol["declarationFragments"])
    text = re.sub(r"@\w+(\([^)]*\))? ", "", re.sub(r"\s+", " ", text)).replace("|", "\\|")
    return text.replace(" { get }", "").replace(" { get set }", "")


def declarations(root, graphs):
    """What is declared in the package and documented there, in the order of the sources."""
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
            *owners, name = symbol["pathComponents"]
            is_type = symbol["kind"]["identifier"] in ("swift.struct", "swift.class", "swift.enum", "swift.protocol")
            found[symbol["identifier"]["precise"]] = Declaration(
                file, symbol["location"]["position"]["line"], ".".join(owners), name, is_type, written(symbol),
                summary(symbol))
    return sorted(found.values())


class Headings:
    """Markdown's headings, with the anchors that GitHub gives them."""

    def __init__(self):
        self.counts = collections.Counter()

    def anchor(self, title):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        self.counts[slug] += 1
        number = self.counts[slug] - 1
        return f"{slug}-{number}" if number else slug


def main():
    root, graphs = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    headings = Headings()
    headings.anchor("The public interface")
    headings.anchor("Names")
    folders = collections.defaultdict(lambda: collections.defaultdict(list))
    for declaration in declarations(root, graphs):
        folders[declaration.folder][declaration.section].append(declaration)
    names, body = [], []
    for folder, sections in sorted(folders.items()):
        anchor = headings.anchor(folder)
        functions = sorted({entry.name.split("(")[0] for entry in sections.get("", [])}, key=str.lower)
        links = [f"[{name}](#{anchor})" for name in functions if name[0].isalpha()]
        body.append(f"\n## {folder}")
        # Functions first, then the types that the folder declares or extends.
        for section, entries in sorted(sections.items(), key=lambda item: item[0].lower()):
            if section:
                is_declared = any(entry.is_type and not entry.owner for entry in entries)
                title = section if is_declared else f"{section}, extended"
                links.append(f"[{section}](#{headings.anchor(title)})")
                body.append(f"\n### {title}")
            body.append("\n| declaration | what it is |\n| --- | --- |")
            # A type before its members.
            body += [entry.row() for entry in sorted(entries, key=lambda entry: (bool(entry.owner), entry))]
        names.append(f"- [{folder}](#{anchor}): {', '.join(links)}")
    print("# The public interface\n")
    print("What each file declares for users, with the first sentence of its documentation. `scripts/test-documentation")
    print("--write` makes this page; the documentation itself stands with the declarations.")
    print("\n## Names\n")
    print("\n".join(names))
    print("\n".join(body))


main()
