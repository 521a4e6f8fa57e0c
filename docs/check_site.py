"""Checks the built documentation site: `make docs` runs it behind mkdocs.

    python docs/check_site.py site

No page may load anything from another host, every link within the site must lead somewhere, its
anchor too, and every public name must have its entry in the API reference. mkdocs checks the links
of Markdown sources only, not what plugins and themes make of them.
"""

import ast
import html.parser
import pathlib
import re
import sys
import urllib.parse

PACKAGE = pathlib.Path(__file__).parents[1] / "keras_cascade"
# Attributes whose address a browser loads, by tag. Of <link>, only some relations are loaded.
_LOADS = {
    "audio": ["src"], "embed": ["src"], "iframe": ["src"], "image": ["href", "xlink:href"],
    "img": ["src", "srcset"], "input": ["src"], "object": ["data"], "script": ["src"],
    "source": ["src", "srcset"], "track": ["src"], "use": ["href", "xlink:href"],
    "video": ["src", "poster"],
}  # fmt: skip
_NOT_LOADED = {"alternate", "author", "canonical", "next", "prev", "edit"}
# What the theme's script fetches things for: diagrams by Mermaid, and a repository's stars.
_FETCHING = re.compile(r'class="[^"]*\bmermaid\b|data-md-component="source"')
_IN_STYLES = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])([^'\")\s]+)")


class Page(html.parser.HTMLParser):
    """What a page loads, where it links to, and which anchors it has.

    Attributes:
        loads: list of addresses that a browser loads with the page.
        links: list of addresses that a reader can follow.
        anchors: set of the ids in it.
    """

    def __init__(self, path):
        super().__init__()
        self.loads, self.links, self.anchors, self._in_style = [], [], set(), False
        text = path.read_text()
        self.fetches = bool(_FETCHING.search(text))
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        self.anchors |= {found[key] for key in ("id", "name") if key in found}
        self.loads += [found[key] for key in _LOADS.get(tag, ()) if key in found]
        self.loads += _IN_STYLES.findall(found.get("style", ""))
        if tag == "link" and not set(found.get("rel", "").split()) <= _NOT_LOADED:
            self.loads.append(found.get("href", ""))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])

    def handle_data(self, data):
        if self._in_style:
            self.loads += _IN_STYLES.findall(data)

    def handle_endtag(self, tag):
        self._in_style = False


def problems(site):
    """What is wrong with a built site.

    Args:
        site: `pathlib.Path` of its folder.

    Returns:
        List of strings, one for each problem.
    """
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    found = [] if pages else [f"{site} has no pages"]
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name} loads {load[:80]}" for load in page.loads if _is_elsewhere(load)]
        if page.fetches:
            found.append(f"{name} has what the theme fetches from another host")
        if path.name != "404.html":  # its links count from the root of a host
            links = [*page.links, *page.loads]
            found += [f"{name} links to {one}" for one in links if _is_dead(one, path, pages)]
    for path in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        page = Page(path) if path.suffix == ".svg" else None
        loads = page.loads if page else _IN_STYLES.findall(path.read_text())
        found += [f"{path.relative_to(site)} loads {load}" for load in loads if _is_elsewhere(load)]
    entries = set().union(*(page.anchors for path, page in pages.items() if "api" in path.parts))
    found += [f"the API reference lacks {name}" for name in sorted(public_names() - entries)]
    return found


def public_names():
    """The names in `keras_cascade.__all__`, as the API reference calls them; read, not imported."""
    names, homes = set(), {}
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            homes |= {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            names = set(ast.literal_eval(node.value))
    # A function that is called like its package, and the version, stand under their full names.
    ambiguous = {name for name in names if (PACKAGE / name).is_dir() or name == "__version__"}
    return {homes[name] if name in ambiguous else f"keras_cascade.{name}" for name in names}


def _is_elsewhere(address):
    parts = urllib.parse.urlsplit(address.strip())
    return bool(parts.netloc) or parts.scheme not in ("", "data")


def _is_dead(address, path, pages):
    """Whether an address within the site leads nowhere; of addresses elsewhere nothing is known."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme or parts.netloc:
        return False
    target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if target not in pages:
        return not target.is_file()
    fragment = urllib.parse.unquote(parts.fragment)
    return bool(fragment) and fragment not in pages[target].anchors


def main(site):
    """Prints what is wrong; returns the exit code."""
    found = problems(pathlib.Path(site).resolve())
    print("\n".join(found) or f"The site is whole: {site}/index.html")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
