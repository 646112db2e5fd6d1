"""What MkDocs is asked to do beside its plugins: formulas as MathML, so that they need no script and no font."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Replace TeX, as the Markdown extension marks it, by MathML, which browsers show by themselves."""
    content = BLOCK.sub(lambda tex: convert(html.unescape(tex[1]).strip(), display="block"), content)
    return INLINE.sub(lambda tex: convert(html.unescape(tex[1])), content)
