"""What stands in an HTML page: text, tags, tables and references."""

import html.parser


class Page(html.parser.HTMLParser):
    """A page taken apart.

    Attributes:
        text: list of str, outside of the style sheet.
        tags: list of all tags' names.
        attributes: dict from tag to a list of dicts.
        tables: list of pairs of the h3 before a table and its rows, lists of str.
        styles: list of the style attributes of HTML elements.
        ids, references: lists of str.
    """

    def __init__(self, page):
        super().__init__()
        self.text, self.tags, self.attributes, self.tables = [], [], {}, []
        self.styles, self.ids, self.references = [], [], []
        self._open, self._caption = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.attributes.setdefault(tag, []).append(attributes)
        if tag == "span" and "style" in attributes:
            self.styles.append(attributes["style"])
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.references += [attributes[key] for key in ("href", "src") if key in attributes]
        if tag not in ("meta", "img"):
            self._open.append(tag)
        if tag == "h3":
            self._caption = ""
        if tag == "table":
            self.tables.append((self._caption, []))
        if tag == "tr":
            self.tables[-1][1].append([])
        if tag in ("td", "th"):
            self.tables[-1][1][-1].append("")

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.text.append(data)
        if "h3" in self._open:
            self._caption += data
        if "td" in self._open or "th" in self._open:
            row = self.tables[-1][1][-1]
            row[-1] += (" " if "small" in self._open else "") + data
