"""The parts that HTML reports are made of: one file that needs nothing but itself.

A page is built as a tree of elements and written by `xml.etree`, which escapes whatever text the
results hold. One style sheet serves screens of any width, light and dark, and paper.
"""

import base64
from xml.etree import ElementTree

_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --faint: #5c5c5c; --ground: #fff;
  --line: #d5d5d5; --band: #f4f4f4; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6e6; --faint: #a8a8a8;
  --ground: #16181b; --line: #3a3d42; --band: #202328; } }
body { max-width: 80rem; margin: 0 auto; padding: 1rem; color: var(--text);
  background: var(--ground); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
p, li, dd { max-width: 46rem; } a { color: inherit; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .35rem 1rem; }
dt { font-weight: 600; } dd { margin: 0; min-width: 0; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { background: var(--band); padding: .6rem; white-space: pre-wrap; }
pre span { display: inline-block; max-width: 100%; }
.table { overflow-x: auto; border: 1px solid var(--line); margin: 1rem 0; width: fit-content;
  max-width: 100%; }
.table:focus-visible { outline: 2px solid; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .4rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
thead th { white-space: normal; vertical-align: bottom; background: var(--band); }
th[scope=row], th.words, td.words { text-align: left; }
th.words, td.words { white-space: normal; }
td.long { white-space: normal; min-width: 16rem; text-align: left; }
th[scope=row] { position: sticky; left: 0; background: var(--ground); font-weight: 400; }
th[scope=row] small { display: block; color: var(--faint); }
thead th:first-child { position: sticky; left: 0; }
.bar { display: block; min-width: clamp(1.8rem, 7vw, 6rem); height: .5rem;
  border: 1px solid var(--faint); }
.bar span { display: block; height: 100%; print-color-adjust: exact; }
figure { margin: 1.5rem 0; } figcaption { color: var(--faint); max-width: 46rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr));
  gap: 0 1.5rem; }
img { max-width: 100%; height: auto; background: #fff; border: 1px solid var(--line); }
svg { width: 100%; max-width: 36rem; height: auto; fill: currentColor; stroke-linejoin: round;
  print-color-adjust: exact; }
@media (max-width: 40rem) { dl { display: block; } dd { margin-bottom: .5rem; }
  th, td { padding: .3rem .25rem; }
  th[scope=row] { white-space: normal; min-width: 6.5rem; overflow-wrap: anywhere; } }
@media print { :root { --text: #000; --faint: #333; --ground: #fff; --line: #999;
  --band: #eee; } @page { size: landscape; margin: 1cm; } body { max-width: none; padding: 0; }
  .table { overflow: visible; border: 0; } table { font-size: .55rem; }
  th, td { padding: .1rem .25rem; } th[scope=row] { position: static; white-space: normal; }
  .bar { min-width: 2cm; } .figures {
  grid-template-columns: repeat(auto-fill, minmax(7.5cm, 1fr)); }
  img { max-height: 15cm; } figure, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; } }
"""


def whole_page(title, sections):
    """A page as a string.

    Args:
        title: of the page, str.
        sections: iterable of elements that follow the heading.

    Returns:
        HTML.
    """
    page = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", title),
            element("style", _STYLE),
        ),
        element("body", element("main", element("h1", title), *sections)),
        lang="en",
    )
    return "<!DOCTYPE html>\n" + ElementTree.tostring(page, encoding="unicode", method="html")


def element(tag, *children, **attributes):
    """An element with text and elements inside, as they come.

    Args:
        tag: its name.
        *children: str or elements.
        **attributes: str; that of the name `class` is set afterwards, in `attrib`.
    """
    made = ElementTree.Element(tag, attributes)
    for child in children:
        if not isinstance(child, str):
            made.append(child)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + child
        else:
            made.text = (made.text or "") + child
    return made


def table(caption, header, rows):
    """A table that scrolls in a box of its own; the first column names the rows.

    Args:
        caption: stands above it.
        header: list of str.
        rows: lists of str, or of elements in their stead, as long as the header.

    Returns:
        An element.
    """
    numeric = [all(_is_numeric(row[i]) for row in rows) for i in range(len(header))]

    def cell(i, content):
        if i == 0:
            return element("th", content, scope="row")
        return element("td", content, **_kind(content, numeric[i]))

    made = element(
        "table",
        element(
            "thead",
            element(
                "tr",
                *(
                    element("th", text, scope="col", **_kind(text, numeric[i] and i > 0))
                    for i, text in enumerate(header)
                ),
            ),
        ),
        element("tbody", *(element("tr", *map(cell, range(len(row)), row)) for row in rows)),
    )
    box = element("div", made, role="region", tabindex="0")
    box.attrib |= {"class": "table", "aria-label": caption}
    return element("section", element("h3", caption), box)


def pairs(terms):
    """A list of terms and what is said of each.

    Args:
        terms: iterable of pairs of str; one that has nothing said of it is left out.

    Returns:
        An element.
    """
    children = []
    for term, text in terms:
        if text:
            children += [element("dt", term), element("dd", text)]
    return element("dl", *children)


def command(text):
    """A command line, broken only between its words.

    Args:
        text: str.

    Returns:
        An element.
    """
    words = text.split(" ")
    pieces = [piece for word in words for piece in (" ", element("span", word))][1:]
    return element("pre", element("code", *pieces))


def png_figure(png, alt, caption):
    """A figure with a picture inside the page.

    Args:
        png: bytes.
        alt: what it shows, for who does not see it.
        caption: stands below it.

    Returns:
        An element.
    """
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return element("figure", element("img", src=source, alt=alt), element("figcaption", caption))


def svg_figure(svg, caption):
    """A figure drawn in the page's own colours.

    Args:
        svg: an element, see `inline_svg`.
        caption: stands below it.

    Returns:
        An element.
    """
    return element("figure", svg, element("figcaption", caption))


def figures(children):
    """Figures side by side where the screen is wide enough, else below each other.

    Args:
        children: iterable of figures.

    Returns:
        An element.
    """
    grid = element("div", *children)
    grid.set("class", "figures")
    return grid


def _is_numeric(content):
    if not isinstance(content, str):
        return True  # a bar with its number
    return content == "-" or content.lstrip("+-")[:1].isdigit()


def _kind(content, numeric):
    if numeric:
        return {}
    return {"class": "long" if len(content) > 60 else "words"}
