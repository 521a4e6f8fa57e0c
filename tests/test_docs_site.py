"""The documentation site builds without a network and is whole."""

import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import check_site  # noqa: E402

pytestmark = pytest.mark.slow
LOADS = "index.html loads"
# A proxy that is not there: whatever asks another host while building, fails.

NO_NETWORK = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "all")}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={"PATH": str(pathlib.Path(sys.executable).parent), "HOME": str(folder), **NO_NETWORK},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_site_is_whole(site):
    assert check_site.problems(site) == []


def test_every_page_is_built(site):
    sources = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    sources |= {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.ipynb")}
    left_out = {pathlib.Path("study", name) for name in ("findings.md", "table.md")}
    assert len(sources) > 20
    for source in sources - left_out:
        assert (site / source.with_suffix(".html")).is_file(), source


def test_notebooks_show_their_outputs(site):
    for page in (site / "notebooks").glob("*.html"):
        assert page.read_text().count("data:image/png;base64") >= 1, page


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("</head>", '<script src="https://example.org/x.js"></script></head>', LOADS),
        ("</head>", '<link rel="stylesheet" href="//example.org/x.css"></head>', LOADS),
        ("</head>", "<style>@import 'https://example.org/x.css';</style></head>", LOADS),
        ("</body>", '<img src="http://example.org/x.png"></body>', LOADS),
        ("</body>", '<pre class="mermaid"></pre></body>', "index.html has what the theme fetches"),
        ("</body>", '<a href="nowhere.html">x</a></body>', "index.html links to nowhere.html"),
        ("</body>", '<a href="speed.html#nothing">x</a></body>', "index.html links to speed.html"),
        ("</body>", '<img src="nothing.png"></body>', "index.html links to nothing.png"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(site, tmp_path, old, new, problem):
    broken = shutil.copytree(site, tmp_path / "site")
    page = broken / "index.html"
    page.write_text(page.read_text().replace(old, new))
    found = check_site.problems(broken)
    assert found and all(one.startswith(problem) for one in found), found


def test_a_public_name_without_entry_is_found(site, tmp_path):
    broken = shutil.copytree(site, tmp_path / "site")
    (broken / "api" / "prune.html").unlink()
    found = check_site.problems(broken)
    assert "the API reference lacks keras_cascade.prune" in found
    assert check_site.main(str(broken)) == 1
