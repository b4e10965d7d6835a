"""Check a built site without the network: ``python check_links.py FOLDER``.

Every link and picture within the site must be there, its anchor too, and no page may load a
script, style, font or picture from elsewhere. Links that a reader may follow out of the site
are not visited.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src"}
STYLE_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)")


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        found = {k: v or "" for k, v in attrs}
        self.anchors |= {found[k] for k in ("id", "name") if k in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "link" and found.get("rel") in ("stylesheet", "preload", "icon"):
            self.loaded.append(found.get("href", ""))
        if tag in LOADED and LOADED[tag] in found:
            self.loaded.append(found[LOADED[tag]])


def problems(site: Path) -> list[str]:
    """Return what is wrong with the site, one sentence each."""
    pages = {p: Page(p.read_text(encoding="utf-8")) for p in sorted(site.rglob("*.html"))}
    found = [
        f"{path.relative_to(site)}: {said}"
        for path, page in pages.items()
        for said in (*_of_loaded(path, page), *_of_links(path, page, pages))
    ]
    return found + [
        f"{style.relative_to(site)}: loads {url} from elsewhere"
        for style in sorted(site.rglob("*.css"))
        for url in STYLE_URL.findall(style.read_text(encoding="utf-8"))
        if _elsewhere(url)
    ]


def _elsewhere(url: str) -> bool:
    return url.startswith("//") or urlsplit(url).scheme in ("http", "https")


def _of_loaded(path: Path, page: Page) -> list[str]:
    out = []
    for url in page.loaded:
        if _elsewhere(url):
            out.append(f"loads {url} from elsewhere")
        elif not url.startswith("data:") and not _file(path, url).exists():
            out.append(f"loads {url}, which is not there")
    return out


def _of_links(path: Path, page: Page, pages: dict[Path, Page]) -> list[str]:
    out = []
    for url in page.links:
        if urlsplit(url).scheme or url.startswith("//"):
            continue
        target, anchor = _file(path, url), unquote(urlsplit(url).fragment)
        if not target.exists():
            out.append(f"links to {url}, which is not there")
        elif target in pages and anchor not in pages[target].anchors:
            out.append(f"links to {url}, a page without that anchor")
    return out


def _file(path: Path, url: str) -> Path:
    """Return the file that a link of a page means."""
    part = unquote(urlsplit(url).path)
    target = (path.parent / part).resolve() if part else path
    return target / "index.html" if target.is_dir() else target


def main() -> None:
    """Print every problem; exit with 1 if there is one."""
    site = Path(sys.argv[1]).resolve()
    found = problems(site)
    sys.stderr.writelines(f"{p}\n" for p in found)
    sys.stdout.write(f"{len(list(site.rglob('*.html')))} pages, {len(found)} problems\n")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
