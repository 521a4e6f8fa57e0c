"""Plain-text tables for summaries and scripts."""


def text_table(header, rows):
    """Aligns rows of strings under a header; numbers to the right, text to the left.

    Args:
        header: list of column titles.
        rows: list of rows, each as long as the header; values are shown with `str`.

    Returns:
        The table as one string without a final newline.

    Example:

    ```python
    print(text_table(["level", "params"], [["teacher", 1200], ["student", 300]]))
    ```
    """
    cells = [[str(value) for value in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [
        bool(column) and all(_is_number(value) for value in column)
        for column in (zip(*cells[1:], strict=True) if rows else [()] * len(header))
    ]

    def line(row):
        aligned = (
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(row, widths, numeric, strict=True)
        )
        return "  ".join(aligned).rstrip()

    ruler = "  ".join("-" * width for width in widths)
    return "\n".join([line(cells[0]), ruler, *map(line, cells[1:])])


def _is_number(text):
    return (
        text.replace(",", "").replace(".", "").replace("%", "").lstrip("-").isdigit() or text == "-"
    )
