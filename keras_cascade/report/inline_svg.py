"""matplotlib figures as SVG elements inside an HTML page, in the page's own colours and font.

Text stays text, so that it can be searched, is small, and follows the page's font. What is black
becomes the page's text colour, which differs between light, dark and paper; the ground is the
page's.
"""

import io
import re
from xml.etree import ElementTree

_RC = {"svg.fonttype": "none", "svg.hashsalt": "keras_cascade"}  # the same file for the same run
_FONT_FAMILY = re.compile(r"font-family: [^;]*;?\s*")
_REFERENCE = re.compile(r"url\(#([^)]*)\)")


def inline_svg(figure, name, alt):
    """A figure as an element of an HTML page.

    Args:
        figure: `matplotlib.figure.Figure`; what is drawn black follows the page.
        name: makes the identifiers in it unlike those of the page's other figures.
        alt: what it shows, for who does not see it.

    Returns:
        An `svg` element.
    """
    import matplotlib

    file = io.BytesIO()
    with matplotlib.rc_context(_RC):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = _plain(ElementTree.fromstring(file.getvalue()), name)
    view = svg.get("viewBox")
    svg.attrib.clear()
    svg.attrib |= {"viewBox": view, "role": "img", "aria-label": alt}
    return svg


def _plain(source, name):
    """The element and those in it as HTML takes them: without namespaces, metadata and styles."""
    made = ElementTree.Element(_local(source.tag))
    made.text, made.tail = _stripped(source.text), _stripped(source.tail)
    for key, value in source.attrib.items():
        key = _local(key)
        if key == "id" and made.tag == "g":
            continue  # names matplotlib's artists; nothing refers to it
        made.set(key, _attribute(key, value, name))
    for child in source:
        if _local(child.tag) not in ("metadata", "style"):
            made.append(_plain(child, name))
    return made


def _attribute(key, value, name):
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value.removeprefix('#')}"
    if key == "style":
        value = _FONT_FAMILY.sub("", value).replace("#000000", "currentColor")
    return _REFERENCE.sub(rf"url(#{name}-\1)", " ".join(value.split()))


def _local(name):
    return name.rpartition("}")[2]


def _stripped(text):
    return text.strip() if text else None
