// A site's mimic: made harmless, then bound to tags by its data attributes. Generic: the drawing names the tags.
//
// Attributes understood (documented for the one who draws in the site's pages.yaml):
//   data-value="tag"     on <text>: the figure; data-unit="yes" adds the unit
//   data-state="tag"     on <text>: the name of the state
//   data-bar="tag"       on <rect>: a vertical bar over the tag's range; data-sp="tag" draws the set-point tick
//   data-level="tag"     on <rect>: filled from the bottom over the range
//   data-open="tag"      on <rect>: filled from the left over the range (valve position)
//   data-running="tag"   on any shape or group: class m-on, m-off or m-unknown; data-on="2 5" names the values that mean on
//   data-shown="tag"     on any element: shown only while the switch is on and usable
//   data-alarm="a b/"    on an empty <g>: the mark of the most urgent standing alarm of these tags ("b/" takes all below)
//   data-mode="a b"      on an empty <g>: badge while one of these outputs is driven by hand or stands in its fallback
//   data-open-page="p"   on any element: opens the site's page p; data-faceplate="tag": opens a faceplate
//   data-zh, data-en     on <text>: the label in both languages

const SVG_NS = "http://www.w3.org/2000/svg";

const ELEMENTS = new Set([
  "svg", "g", "defs", "title", "desc", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan",
  "pattern", "marker", "clipPath", "symbol", "use",
]);

const ATTRIBUTES = new Set([
  "id", "class", "viewBox", "preserveAspectRatio", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "dx", "dy",
  "width", "height", "d", "points", "transform", "fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "opacity",
  "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "stroke-opacity", "text-anchor", "dominant-baseline",
  "font-size", "font-weight", "letter-spacing", "patternUnits", "patternTransform", "clip-path", "clipPathUnits",
  "marker-end", "marker-start", "markerWidth", "markerHeight", "refX", "refY", "orient", "markerUnits", "href",
  "role", "aria-label", "xmlns", "vector-effect",
]);

export interface Sanitised {
  svg: SVGSVGElement;
  /** What was taken out, for the engineer. */
  removed: string[];
}

/**
 * Parses a drawing and keeps only known drawing elements and attributes: no script, no foreign content, no event handler,
 * no style, no reference that leaves the file.
 *
 * @throws Error when the text is not an SVG document.
 */
export function sanitiseSvg(text: string): Sanitised {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
  const root = parsed.documentElement;
  if (root.nodeName !== "svg" || parsed.getElementsByTagName("parsererror").length > 0) {
    throw new Error("the drawing is not a well-formed SVG document");
  }
  const removed: string[] = [];
  clean(root, removed);
  return { svg: document.importNode(root, true) as unknown as SVGSVGElement, removed };
}

function clean(element: Element, removed: string[]): void {
  for (const attribute of [...element.attributes]) {
    if (!isAllowed(attribute.name, attribute.value)) {
      removed.push(`${element.nodeName}@${attribute.name}`);
      element.removeAttributeNode(attribute);
    }
  }
  for (const child of [...element.childNodes]) {
    if (child.nodeType === Node.TEXT_NODE) continue;
    const known = child.nodeType === Node.ELEMENT_NODE && isKnownElement(child as Element);
    if (known) {
      clean(child as Element, removed);
    } else {
      if (child.nodeType === Node.ELEMENT_NODE) removed.push(child.nodeName);
      child.remove();
    }
  }
}

function isKnownElement(element: Element): boolean {
  return element.namespaceURI === SVG_NS && ELEMENTS.has(element.localName);
}

function isAllowed(name: string, value: string): boolean {
  if (/^data-[a-z-]+$/.test(name)) return true;
  if (name === "xmlns") return value === SVG_NS;
  if (!ATTRIBUTES.has(name)) return false;
  if (name === "href") return /^#[\w-]+$/.test(value);
  // url(#id) stays inside the file; anything else in url() does not.
  return !/url\s*\(\s*['"]?(?!['"]?#)/i.test(value) && !/javascript:/i.test(value);
}

/** How a tag stands, as the binder needs it. */
export interface MimicValue {
  text: string;
  unit: string;
  worth: "good" | "uncertain" | "bad" | "stale" | "lost" | "absent" | "quiet";
  /** Reason and age in words; empty when good. */
  note: string;
  /** Reason alone, short. */
  reason: string;
  /** The usable number, or null. */
  number: number | null;
  range: [number, number] | null;
  title: string;
}

export interface MimicAlarm {
  priority: number;
  unacknowledged: boolean;
}

/** Who drives an output that its program does not drive now: the letter of the badge and its meaning in words. */
export interface MimicMode {
  letter: string;
  text: string;
}

export interface MimicSource {
  value(tag: string): MimicValue;
  alarm(tags: readonly string[]): MimicAlarm | null;
  mode(tags: readonly string[]): MimicMode | null;
  lang(): "zh" | "en";
}

export interface MimicActions {
  openTag(tag: string): void;
  openPage(page: string): void;
}

type Update = (source: MimicSource) => void;

/** A drawing bound to tags. `update` writes what changed; it makes no decision about quality itself. */
export class Mimic {
  readonly svg: SVGSVGElement;
  /** Every tag the drawing names. */
  readonly tags: string[];
  /** Those that are shown as figures, each once. */
  readonly figures: string[];
  #updates: Update[] = [];

  constructor(svg: SVGSVGElement, actions: MimicActions) {
    this.svg = svg;
    const tags = new Set<string>();
    const each = (name: string, make: (element: SVGElement, tag: string) => Update): void => {
      for (const element of svg.querySelectorAll<SVGElement>(`[${name}]`)) {
        const tag = element.getAttribute(name) ?? "";
        if (name === "data-mode") for (const one of tagList(tag)) tags.add(one);
        else if (name !== "data-alarm" && tag !== "") tags.add(tag);
        this.#updates.push(make(element, tag));
      }
    };
    each("data-bar", bindBar);
    each("data-level", (e, tag) => bindFill(e, tag, "up", "m-level"));
    each("data-open", (e, tag) => bindFill(e, tag, "right", "m-open"));
    each("data-running", bindRunning);
    each("data-shown", bindShown);
    each("data-value", (e, tag) => bindText(e, tag));
    each("data-state", (e, tag) => bindText(e, tag));
    each("data-alarm", bindAlarm);
    each("data-mode", bindMode);
    for (const element of svg.querySelectorAll<SVGElement>("[data-sp]")) tags.add(element.getAttribute("data-sp") ?? "");
    for (const element of svg.querySelectorAll<SVGElement>("[data-zh]")) this.#updates.push(bindLabel(element));
    this.#bindActions(actions);
    this.tags = [...tags].filter((t) => t !== "");
    this.figures = [...new Set([...svg.querySelectorAll("[data-value]")].map((e) => e.getAttribute("data-value") ?? ""))].filter((t) => t !== "");
  }

  update(source: MimicSource): void {
    for (const update of this.#updates) update(source);
  }

  #bindActions(actions: MimicActions): void {
    const names = ["data-faceplate", "data-value", "data-state", "data-bar", "data-level", "data-open", "data-running"];
    const targets = new Set<SVGElement>();
    for (const name of [...names, "data-open-page"]) {
      for (const element of this.svg.querySelectorAll<SVGElement>(`[${name}]`)) targets.add(element);
    }
    for (const element of targets) {
      const page = element.getAttribute("data-open-page");
      const tag = names.map((n) => element.getAttribute(n)).find((v) => v !== null && v !== "");
      const act = (event: Event): void => {
        event.stopPropagation();
        if (tag) actions.openTag(tag);
        else if (page) actions.openPage(page);
      };
      element.classList.add("m-act");
      element.setAttribute("role", "button");
      // One stop per object for the keyboard: the figure, or what has an action of its own.
      if (element.hasAttribute("data-value") || element.hasAttribute("data-faceplate") || !tag) {
        element.setAttribute("tabindex", "0");
      }
      element.addEventListener("click", act);
      element.addEventListener("keydown", (event) => {
        const key = (event as KeyboardEvent).key;
        if (key === "Enter" || key === " ") {
          event.preventDefault();
          act(event);
        }
      });
    }
  }
}

function make<K extends keyof SVGElementTagNameMap>(name: K, className: string): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG_NS, name);
  element.setAttribute("class", className);
  return element;
}

function num(element: Element, name: string): number {
  const value = Number(element.getAttribute(name));
  return Number.isFinite(value) ? value : 0;
}

function set(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

const WORTHS = ["good", "uncertain", "bad", "stale", "lost", "absent", "quiet"] as const;

function setWorth(element: Element, worth: MimicValue["worth"]): void {
  for (const w of WORTHS) element.classList.toggle(`q-${w}`, w === worth);
}

function tooltip(element: Element): SVGTitleElement {
  const found = [...element.children].find((c) => c.localName === "title");
  if (found) return found as SVGTitleElement;
  const title = document.createElementNS(SVG_NS, "title");
  element.prepend(title);
  return title;
}

function bindText(element: SVGElement, tag: string): Update {
  const withUnit = element.hasAttribute("data-unit");
  const figure = document.createElementNS(SVG_NS, "tspan");
  const unit = make("tspan", "m-unit");
  const title = tooltip(element);
  element.replaceChildren(title, figure, unit);
  element.classList.add("m-figure");
  // The frame and the hatching of a doubtful value stand behind its text. The reason in words stands below it only where
  // the drawing has room and says so: when a whole cabinet is gone, forty reasons would hide the picture.
  const frame = make("rect", "m-frame");
  frame.setAttribute("visibility", "hidden");
  element.before(frame);
  const reason = element.hasAttribute("data-reason") ? make("text", "m-reason") : null;
  reason?.setAttribute("text-anchor", element.getAttribute("text-anchor") ?? "start");
  if (reason) element.after(reason);
  return (source) => {
    const v = source.value(tag);
    setText(figure, v.worth === "uncertain" ? `${v.text}?` : v.text);
    setText(unit, withUnit && v.unit !== "" ? ` ${v.unit}` : "");
    setText(title, [v.title, tag, v.note].filter((s) => s !== "").join("\n"));
    setWorth(element, v.worth);
    placeFrame(element as unknown as SVGTextElement, frame, v.worth);
    if (!reason) return;
    const words = v.worth === "bad" || v.worth === "absent" || v.worth === "stale" ? v.reason : "";
    setText(reason, words);
    setWorth(reason, v.worth);
    set(reason, "x", element.getAttribute("x") ?? "0");
    set(reason, "y", String(num(element, "y") + 15));
  };
}

function placeFrame(text: SVGTextElement, frame: SVGRectElement, worth: MimicValue["worth"]): void {
  const framed = worth === "uncertain" || worth === "bad" || worth === "absent";
  set(frame, "visibility", framed ? "visible" : "hidden");
  setWorth(frame, worth);
  if (!framed || typeof text.getBBox !== "function") return;
  const box = text.getBBox();
  set(frame, "x", (box.x - 3).toFixed(1));
  set(frame, "y", (box.y - 1).toFixed(1));
  set(frame, "width", (box.width + 6).toFixed(1));
  set(frame, "height", (box.height + 2).toFixed(1));
}

/** From where to where a bar is filled, as shares of its range: from zero where the range holds zero, else from its low end. */
export function fillSpan(value: number | null, range: [number, number] | null): [number, number] | null {
  const part = share(value, range);
  if (part === null || !range) return null;
  const zero = range[0] < 0 && range[1] > 0 ? (share(0, range) ?? 0) : 0;
  return part < zero ? [part, zero] : [zero, part];
}

/** The share of the range, clamped to 0..1; null when there is nothing to draw. */
export function share(value: number | null, range: [number, number] | null): number | null {
  if (value === null || !range || range[1] <= range[0]) return null;
  return Math.min(1, Math.max(0, (value - range[0]) / (range[1] - range[0])));
}

function bindBar(element: SVGElement, tag: string): Update {
  const sp = element.getAttribute("data-sp");
  const x = num(element, "x");
  const y = num(element, "y");
  const width = num(element, "width");
  const height = num(element, "height");
  element.classList.add("m-bar-frame");
  const title = tooltip(element);
  const fill = make("rect", "m-bar-fill");
  set(fill, "x", String(x + 1));
  set(fill, "width", String(Math.max(0, width - 2)));
  const tick = make("path", "m-sp");
  element.after(fill, tick);
  const own = ownRange(element);
  return (source) => {
    const v = source.value(tag);
    const range = own ?? v.range;
    const [low, high] = fillSpan(v.number, range) ?? [0, 0];
    set(fill, "height", ((high - low) * height).toFixed(1));
    set(fill, "y", (y + height - high * height).toFixed(1));
    setWorth(fill, v.worth);
    setWorth(element, v.worth);
    setText(title, [v.title, tag, v.note].filter((s) => s !== "").join("\n"));
    if (!sp) return;
    const at = share(source.value(sp).number, range);
    set(tick, "visibility", at === null ? "hidden" : "visible");
    const ty = y + height - (at ?? 0) * height;
    set(tick, "d", `M${x - 9} ${(ty - 4).toFixed(1)}l7 4l-7 4zM${x - 2} ${ty.toFixed(1)}H${x + width + 2}`);
  };
}

function ownRange(element: Element): [number, number] | null {
  const low = element.getAttribute("data-low");
  const high = element.getAttribute("data-high");
  return low === null || high === null ? null : [Number(low), Number(high)];
}

function bindFill(element: SVGElement, tag: string, way: "up" | "right", name: string): Update {
  const x = num(element, "x");
  const y = num(element, "y");
  const width = num(element, "width");
  const height = num(element, "height");
  element.classList.add(`${name}-frame`);
  const fill = make("rect", `${name}-fill`);
  element.after(fill);
  const own = ownRange(element);
  return (source) => {
    const v = source.value(tag);
    const part = share(v.number, own ?? v.range ?? (way === "right" ? [0, 100] : null)) ?? 0;
    set(fill, "x", String(x));
    set(fill, "y", (way === "up" ? y + height * (1 - part) : y).toFixed(1));
    set(fill, "width", (way === "right" ? width * part : width).toFixed(1));
    set(fill, "height", (way === "up" ? height * part : height).toFixed(1));
    setWorth(fill, v.worth);
    setWorth(element, v.worth);
  };
}

function bindRunning(element: SVGElement, tag: string): Update {
  const title = tooltip(element);
  const named = element.getAttribute("data-on")?.split(/\s+/).map(Number);
  return (source) => {
    const v = source.value(tag);
    const on = v.number !== null && (named ? named.includes(v.number) : v.number !== 0);
    element.classList.toggle("m-on", on);
    element.classList.toggle("m-off", v.number !== null && !on);
    element.classList.toggle("m-unknown", v.number === null);
    setWorth(element, v.worth);
    setText(title, [v.title, tag, v.text, v.note].filter((s) => s !== "").join("\n"));
  };
}

function bindShown(element: SVGElement, tag: string): Update {
  return (source) => {
    const v = source.value(tag);
    set(element, "visibility", v.number !== null && v.number !== 0 ? "visible" : "hidden");
  };
}

/** Outlines of the four priorities in a 20 × 20 field: square, diamond, triangle, circle. */
export const PRIORITY_PATHS: readonly string[] = [
  "M2 2h16v16h-16z",
  "M10 0.5l9.5 9.5l-9.5 9.5l-9.5 -9.5z",
  "M10 1l9.5 17.5h-19z",
  "M10 1a9 9 0 1 1 0 18a9 9 0 1 1 0 -18z",
];

function tagList(tags: string): string[] {
  return tags.split(/\s+/).filter((t) => t !== "");
}

function bindMode(element: SVGElement, tags: string): Update {
  const paths = tagList(tags);
  const title = make("title", "");
  const frame = make("rect", "m-badge-frame");
  for (const [name, value] of [["width", "17"], ["height", "17"], ["rx", "3"]] as const) set(frame, name, value);
  const letter = make("text", "m-badge-letter");
  set(letter, "x", "8.5");
  set(letter, "y", "13");
  set(letter, "text-anchor", "middle");
  element.replaceChildren(title, frame, letter);
  element.classList.add("m-badge");
  return (source) => {
    const mode = source.mode(paths);
    set(element, "visibility", mode ? "visible" : "hidden");
    setText(letter, mode?.letter ?? "");
    setText(title, mode?.text ?? "");
  };
}

function bindAlarm(element: SVGElement, tags: string): Update {
  const paths = tagList(tags);
  const shape = make("path", "m-alarm-shape");
  const figure = make("text", "m-alarm-figure");
  figure.setAttribute("x", "10");
  figure.setAttribute("y", "14.5");
  figure.setAttribute("text-anchor", "middle");
  element.replaceChildren(shape, figure);
  element.classList.add("m-alarm");
  return (source) => {
    const alarm = source.alarm(paths);
    set(element, "visibility", alarm ? "visible" : "hidden");
    if (!alarm) return;
    set(shape, "d", PRIORITY_PATHS[alarm.priority - 1] ?? "");
    setText(figure, String(alarm.priority));
    set(figure, "y", alarm.priority === 3 ? "16.5" : "14.5");
    for (const p of [1, 2, 3, 4]) element.classList.toggle(`p${p}`, p === alarm.priority);
    element.classList.toggle("m-unack", alarm.unacknowledged);
  };
}

function bindLabel(element: SVGElement): Update {
  const zh = element.getAttribute("data-zh") ?? "";
  const en = element.getAttribute("data-en") ?? zh;
  return (source) => setText(element, source.lang() === "zh" ? zh : en);
}
