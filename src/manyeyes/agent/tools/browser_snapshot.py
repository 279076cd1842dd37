"""What a rendered page shows, as a numbered `Page`, and the elements behind its numbers.

A script walks over what is visible, shadow roots and frames of the same site included, and writes plain HTML in which
everything that can be clicked or filled is a link to `ref:N`; the N-th element stays behind as a handle. `html_walk`
and `Page` then make of it what they make of every page: numbered lines, numbered links.

    L7: [Name (text field): ""](#4) [Country (choice): "Iceland"](#5) [Send (button)](#6)

The script runs where the page's own scripts run, so what it says is as trustworthy as the page, and no more: it is
taken as text of bounded length and of a known form.

Report: App. E.8 (click, type, find, scroll).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from manyeyes.agent.tools.browser_context import BrowserError
from manyeyes.agent.tools.html_walk import walked
from manyeyes.agent.tools.page import Link, Page

MOST_NODES = 200_000
MOST_HTML = 1_000_000
"""Characters; what comes after them is not read."""
MOST_ELEMENTS = 3_000
LONG = 100_000
"""Characters from which on it is made readable in a thread."""
LONGEST_KIND, LONGEST_ADDRESS = 40, 8_000
REF = "ref:"

SCRIPT = r"""
([mostNodes, mostText, mostElements, ref]) => {
  const out = [], elements = [], about = [];
  let size = 0, nodes = 0;
  const skipped = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "CANVAS", "OBJECT", "EMBED", "HEAD", "VIDEO",
    "AUDIO", "OPTION", "DATALIST"]);
  const blocks = new Set(["P", "UL", "OL", "LI", "DL", "DT", "DD", "TABLE", "TR", "TD", "TH", "BLOCKQUOTE", "PRE",
    "H1", "H2", "H3", "H4", "H5", "H6", "HR", "BR"]);
  const roles = new Set(["button", "link", "tab", "menuitem", "checkbox", "radio", "switch", "option", "combobox",
    "textbox", "searchbox", "spinbutton", "slider", "treeitem"]);
  const put = (text) => { size += text.length; out.push(text); };
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const flat = (text) => (text || "").replace(/\s+/g, " ").trim();
  const words = (text, most) => {
    text = flat(text).replace(/\[/g, "(").replace(/\]/g, ")");
    return text.length > most ? text.slice(0, most) + "…" : text;
  };
  const kindOf = (el, style, parent) => {
    const tag = el.tagName, role = el.getAttribute("role") || "", type = (el.type || "").toLowerCase();
    if (tag === "A" && el.hasAttribute("href")) return "link";
    if (tag === "INPUT") {
      if (type === "hidden") return "";
      if (["button", "submit", "reset", "image"].includes(type)) return "button";
      if (type === "checkbox" || type === "radio") return type;
      if (type === "file") return "file field";
      return type === "password" ? "password field" : "text field";
    }
    if (tag === "TEXTAREA") return "text field";
    if (tag === "SELECT") return "choice";
    if (tag === "BUTTON" || tag === "SUMMARY") return "button";
    if (el.isContentEditable && !(el.parentElement && el.parentElement.isContentEditable)) return "text field";
    if (["textbox", "searchbox"].includes(role)) return "text field";
    if (roles.has(role)) return role;
    if (el.hasAttribute("onclick")) return "button";
    if (style.cursor === "pointer" && !(parent && getComputedStyle(parent).cursor === "pointer")) return "button";
    return "";
  };
  const nameOf = (el) => {
    const byId = flat((el.getAttribute("aria-labelledby") || "").split(/\s+/).slice(0, 5)
      .map((id) => (id && el.ownerDocument.getElementById(id) || {}).textContent || "").join(" "));
    const label = el.labels && el.labels.length ? el.labels[0].textContent : "";
    const picture = el.querySelector ? el.querySelector("img[alt], svg title") : null;
    const field = ["INPUT", "TEXTAREA", "SELECT"].includes(el.tagName);
    const button = el.tagName === "INPUT" && ["button", "submit", "reset"].includes(el.type);
    const said = field || el.isContentEditable ? "" : el.innerText;
    return [el.getAttribute("aria-label"), byId, said, button ? el.value : "", label, el.getAttribute("placeholder"),
      el.getAttribute("title"), el.getAttribute("alt"), picture && (picture.getAttribute("alt") || picture.textContent),
      el.getAttribute("name"), el.tagName === "A" ? el.href.split(/[?#]/)[0].split("/").filter(Boolean).pop() : "",
    ].map(flat).find(Boolean) || "no name";
  };
  const described = (el, kind, name) => {
    if (kind === "link") return name;
    const off = el.disabled || el.getAttribute("aria-disabled") === "true" ? ", disabled" : "";
    if (kind === "checkbox" || kind === "radio" || kind === "switch") {
      const on = el.checked || el.getAttribute("aria-checked") === "true" ? "on" : "off";
      return `${name} (${kind}, ${on}${off})`;
    }
    if (kind === "choice") {
      const options = [...el.options].slice(0, 30).map((option) => words(option.label, 40));
      const chosen = [...el.selectedOptions].map((option) => words(option.label, 40)).join(", ");
      return `${name} (choice${off}): "${chosen}" of ${options.join(", ")}${el.options.length > 30 ? ", …" : ""}`;
    }
    if (kind === "password field") return `${name} (${kind}${off}): ${el.value ? "filled" : '""'}`;
    if (kind === "text field") return `${name} (${kind}${off}): "${words(el.value ?? el.innerText, 120)}"`;
    return `${name} (${kind}${off})`;
  };
  const element = (el, kind) => {
    const whole = nameOf(el), long = whole.length > 200 && !("value" in el);
    const shown = described(el, kind, words(whole, long ? 80 : 200));
    const here = kind === "link" ? el.href : "";
    elements.push(el);
    about.push([kind, typeof here === "string" ? here : ""]);
    put(`<a href="${ref}${elements.length - 1}">${escaped(shown)}</a>${/field|choice/.test(kind) ? "<br>" : " "}`);
    return long;
  };
  const walk = (node, hidden) => {
    if (++nodes > mostNodes || size > mostText) return;
    if (node.nodeType === 3) {
      if (!hidden) put(escaped(node.data));
      return;
    }
    if (node.nodeType !== 1 && node.nodeType !== 11) return;
    if (node.nodeType === 1) {
      const tag = node.tagName.toUpperCase();
      if (skipped.has(tag) || (tag === "SVG")) return;
      const style = getComputedStyle(node);
      if (style.display === "none") return;
      hidden = style.visibility !== "visible" || style.opacity === "0";
      if (tag === "IFRAME" || tag === "FRAME") {
        let inner = null;
        try { inner = node.contentDocument; } catch (error) { inner = null; }
        if (inner && inner.body) { put("<div>"); walk(inner.body, hidden); put("</div>"); }
        else if (!hidden && node.src) put(`<div>(frame of another site: ${escaped(node.src.slice(0, 300))})</div>`);
        return;
      }
      const kind = kindOf(node, style, node.parentElement);
      const usable = kind && (!hidden || node.tagName === "INPUT") && elements.length < mostElements;
      if (usable && !element(node, kind)) return;
      if (tag === "IMG") { if (!hidden && node.alt) put(` ${escaped(flat(node.alt))} `); return; }
      if (tag === "BR" || tag === "HR") { put(`<${tag.toLowerCase()}>`); return; }
      const name = blocks.has(tag) ? tag.toLowerCase()
        : /^(inline|contents|ruby)/.test(style.display) ? "" : "div";
      if (name) put(`<${name}>`);
      const root = node.shadowRoot || node;
      for (const child of root.childNodes) {
        if (child.tagName === "SLOT") for (const given of child.assignedNodes({flatten: true})) walk(given, hidden);
        else walk(child, hidden);
      }
      put(name ? `</${name}>` : "");
    }
  };
  if (document.body) walk(document.body, false);
  const more = nodes > mostNodes || size > mostText;
  return {elements, told: JSON.stringify([out.join("").slice(0, mostText), document.title.slice(0, 500), about, more])};
}
"""
TOLD = "([found, most]) => typeof found.told === 'string' && found.told.length <= most ? found.told : ''"
"""Nothing in here can be replaced by a page, so that no page makes us read more than we want to."""
MOST_TOLD = 4 * MOST_HTML


@dataclass(frozen=True, slots=True)
class Control:
    """Something that can be clicked or filled.

    Attributes:
        place: among the elements of its snapshot.
        kind: such as "link", "button", "text field".
        url: where a link leads; "" for what is no link.
    """

    place: int
    kind: str
    url: str


@dataclass(frozen=True, slots=True)
class RenderedPage(Page):
    """A page as the browser showed it.

    Attributes:
        controls: number n of the page is `controls[n - 1]`; None for a link that stood in the page's text.
        elements: a handle to the elements themselves; of use as long as the page is loaded.
    """

    controls: tuple[Control | None, ...] = ()
    elements: Any = field(default=None, compare=False, repr=False)


async def taken(page: Any) -> RenderedPage:
    """What a page of playwright shows now."""
    found = await page.evaluate_handle(SCRIPT, [MOST_NODES, MOST_HTML, MOST_ELEMENTS, REF])
    elements = await found.get_property("elements")
    told = await page.evaluate(TOLD, [found, MOST_TOLD])
    await found.dispose()
    html, title, about, more = _told(told)
    html += "<p>(the page goes on, but is too long to be shown whole)" if more else ""
    arguments = (str(page.url), title, html)
    read = await asyncio.to_thread(_read, *arguments) if len(html) > LONG else _read(*arguments)
    controls = tuple(_control(link, about) for link in read.links)
    links = tuple(
        link if control is None else Link(link.text, control.url)
        for link, control in zip(read.links, controls, strict=True)
    )
    return RenderedPage(read.url, read.title, read.lines, links, read.date, controls, elements)


def _told(text: str) -> tuple[str, str, list[tuple[str, str]], bool]:
    try:
        return msgspec.json.decode(text, type=tuple[str, str, list[tuple[str, str]], bool])
    except (msgspec.DecodeError, UnicodeEncodeError):
        raise BrowserError("this page keeps itself from being read; try a screenshot, or another page") from None


def _read(url: str, title: str, html: str) -> Page:
    return Page.from_markdown(url, title, walked(html).text)


def _control(link: Link, about: Sequence[tuple[str, str]]) -> Control | None:
    place = link.url.removeprefix(REF)
    if place == link.url or not place.isdecimal() or int(place) >= len(about):
        return None
    kind, url = about[int(place)]
    return Control(int(place), kind[:LONGEST_KIND], url[:LONGEST_ADDRESS])
