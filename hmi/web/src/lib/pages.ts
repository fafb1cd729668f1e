// The site's own pages: the shape of `hmi/pages.yaml` as it arrives in /api/site, read with care and with a list of what
// is wrong with it. Nothing about a plant stands here.

import type { Text } from "./protocol";

export interface LimitBar {
  tag: string;
  title: Text | null;
  limit: number;
  lower: number | null;
  mean_hours: number;
}

export interface FlowEnd {
  tag: string;
  title: Text | null;
  kind: "source" | "load";
  /** A grid connection: counts as a source while positive and as a load (export) while negative. */
  signed: boolean;
}

export interface Flow {
  title: Text | null;
  unit: string;
  ends: FlowEnd[];
}

export interface Figure {
  tag: string;
  title: Text | null;
  limit: number | null;
  decimals: number | null;
}

export interface TrendSpec {
  title: Text | null;
  tags: string[];
  /** Short names of the pens, in the order of the tags; empty: the legend shows colours alone. */
  names: Text[];
  hours: number;
}

export interface Overview {
  mimic: string | null;
  limits_title: Text | null;
  limits: LimitBar[];
  flow: Flow | null;
  figures: Figure[];
  trends: TrendSpec[];
}

export interface Loop {
  title: Text | null;
  pv: string;
  sp: string | null;
  out: string | null;
}

export interface Section {
  title: Text | null;
  loops: Loop[];
  indicators: string[];
  switches: string[];
  entries: string[];
  trends: TrendSpec[];
}

export interface GroupPage {
  page: string;
  title: Text;
  icon: string;
  sections: Section[];
}

export interface Pages {
  overview: Overview;
  groups: GroupPage[];
}

export interface PagesResult {
  pages: Pages;
  /** What could not be used, in words for the engineer: shown on the system page, asserted empty by a test. */
  problems: string[];
}

type Dict = Record<string, unknown>;

class Reader {
  problems: string[] = [];

  dict(at: string, value: unknown): Dict {
    if (value === undefined || value === null) return {};
    if (typeof value === "object" && !Array.isArray(value)) return value as Dict;
    this.problems.push(`${at}: a mapping is expected`);
    return {};
  }

  list(at: string, value: unknown): unknown[] {
    if (value === undefined || value === null) return [];
    if (Array.isArray(value)) return value;
    this.problems.push(`${at}: a list is expected`);
    return [];
  }

  keys(at: string, dict: Dict, known: readonly string[]): void {
    for (const key of Object.keys(dict)) {
      if (!known.includes(key)) this.problems.push(`${at}: unknown key \`${key}\``);
    }
  }

  text(at: string, value: unknown): Text | null {
    if (value === undefined || value === null) return null;
    if (typeof value === "string") return { zh: value, en: value };
    const d = this.dict(at, value);
    if (typeof d.zh === "string" && typeof d.en === "string") return { zh: d.zh, en: d.en };
    this.problems.push(`${at}: a title is a text or { zh, en }`);
    return null;
  }

  tag(at: string, value: unknown): string | null {
    if (typeof value === "string" && value !== "") return value;
    this.problems.push(`${at}: a tag path is expected`);
    return null;
  }

  optionalTag(at: string, value: unknown): string | null {
    return value === undefined || value === null ? null : this.tag(at, value);
  }

  number(at: string, value: unknown): number | null {
    if (value === undefined || value === null) return null;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    this.problems.push(`${at}: a number is expected`);
    return null;
  }

  tags(at: string, value: unknown): string[] {
    return this.list(at, value).flatMap((v, i) => this.tag(`${at}[${i}]`, v) ?? []);
  }
}

/** Reads the site's pages. Never throws: what is wrong is left out and named. */
export function readPages(raw: unknown): PagesResult {
  const r = new Reader();
  const root = r.dict("pages", raw);
  r.keys("pages", root, ["overview", "groups"]);
  const overview = readOverview(r, r.dict("overview", root.overview));
  const groups = r.list("groups", root.groups).flatMap((g, i) => readGroup(r, `groups[${i}]`, g) ?? []);
  const seen = new Set<string>();
  for (const g of groups) {
    if (seen.has(g.page)) r.problems.push(`groups: page \`${g.page}\` stands twice`);
    seen.add(g.page);
  }
  return { pages: { overview, groups }, problems: r.problems };
}

function readOverview(r: Reader, d: Dict): Overview {
  r.keys("overview", d, ["mimic", "limits_title", "limits", "flow", "figures", "trends"]);
  return {
    mimic: typeof d.mimic === "string" ? d.mimic : null,
    limits_title: r.text("overview.limits_title", d.limits_title),
    limits: r.list("overview.limits", d.limits).flatMap((v, i) => readLimit(r, `overview.limits[${i}]`, v) ?? []),
    flow: d.flow === undefined ? null : readFlow(r, r.dict("overview.flow", d.flow)),
    figures: r.list("overview.figures", d.figures).flatMap((v, i) => readFigure(r, `overview.figures[${i}]`, v) ?? []),
    trends: r.list("overview.trends", d.trends).flatMap((v, i) => readTrend(r, `overview.trends[${i}]`, v) ?? []),
  };
}

function readLimit(r: Reader, at: string, raw: unknown): LimitBar | null {
  const d = r.dict(at, raw);
  r.keys(at, d, ["tag", "title", "limit", "lower", "mean_hours"]);
  const tag = r.tag(`${at}.tag`, d.tag);
  const limit = r.number(`${at}.limit`, d.limit);
  if (tag === null || limit === null) {
    if (limit === null) r.problems.push(`${at}: \`limit\` is missing`);
    return null;
  }
  return {
    tag,
    limit,
    title: r.text(`${at}.title`, d.title),
    lower: r.number(`${at}.lower`, d.lower),
    mean_hours: r.number(`${at}.mean_hours`, d.mean_hours) ?? 24,
  };
}

function readFlow(r: Reader, d: Dict): Flow {
  r.keys("overview.flow", d, ["title", "unit", "sources", "loads"]);
  const end = (kind: "source" | "load") => (raw: unknown, i: number): FlowEnd[] => {
    const at = `overview.flow.${kind}s[${i}]`;
    const e = r.dict(at, raw);
    r.keys(at, e, ["tag", "title", "signed"]);
    const tag = r.tag(`${at}.tag`, e.tag);
    return tag === null ? [] : [{ tag, title: r.text(`${at}.title`, e.title), kind, signed: e.signed === true }];
  };
  return {
    title: r.text("overview.flow.title", d.title),
    unit: typeof d.unit === "string" ? d.unit : "kW",
    ends: [
      ...r.list("overview.flow.sources", d.sources).flatMap(end("source")),
      ...r.list("overview.flow.loads", d.loads).flatMap(end("load")),
    ],
  };
}

function readFigure(r: Reader, at: string, raw: unknown): Figure | null {
  const d = r.dict(at, raw);
  r.keys(at, d, ["tag", "title", "limit", "decimals"]);
  const tag = r.tag(`${at}.tag`, d.tag);
  if (tag === null) return null;
  return {
    tag,
    title: r.text(`${at}.title`, d.title),
    limit: r.number(`${at}.limit`, d.limit),
    decimals: r.number(`${at}.decimals`, d.decimals),
  };
}

function readTrend(r: Reader, at: string, raw: unknown): TrendSpec | null {
  const d = r.dict(at, raw);
  r.keys(at, d, ["title", "tags", "names", "hours"]);
  const tags = r.tags(`${at}.tags`, d.tags);
  if (tags.length === 0) {
    r.problems.push(`${at}: no tags`);
    return null;
  }
  const names = r.list(`${at}.names`, d.names).flatMap((v, i) => r.text(`${at}.names[${i}]`, v) ?? []);
  if (names.length !== 0 && names.length !== tags.length) r.problems.push(`${at}: as many names as tags are needed`);
  return { title: r.text(`${at}.title`, d.title), tags, names: names.length === tags.length ? names : [], hours: r.number(`${at}.hours`, d.hours) ?? 24 };
}

function readGroup(r: Reader, at: string, raw: unknown): GroupPage | null {
  const d = r.dict(at, raw);
  r.keys(at, d, ["page", "title", "icon", "sections"]);
  const title = r.text(`${at}.title`, d.title);
  if (typeof d.page !== "string" || !/^[a-z0-9-]+$/.test(d.page) || title === null) {
    r.problems.push(`${at}: \`page\` (a-z, 0-9, -) and \`title\` are needed`);
    return null;
  }
  const sections = r.list(`${at}.sections`, d.sections).map((s, i) => readSection(r, `${at}.sections[${i}]`, s));
  return { page: d.page, title, icon: typeof d.icon === "string" ? d.icon : "group", sections };
}

function readSection(r: Reader, at: string, raw: unknown): Section {
  const d = r.dict(at, raw);
  r.keys(at, d, ["title", "loops", "indicators", "switches", "entries", "trends"]);
  return {
    title: r.text(`${at}.title`, d.title),
    loops: r.list(`${at}.loops`, d.loops).flatMap((v, i) => readLoop(r, `${at}.loops[${i}]`, v) ?? []),
    indicators: r.tags(`${at}.indicators`, d.indicators),
    switches: r.tags(`${at}.switches`, d.switches),
    entries: r.tags(`${at}.entries`, d.entries),
    trends: r.list(`${at}.trends`, d.trends).flatMap((v, i) => readTrend(r, `${at}.trends[${i}]`, v) ?? []),
  };
}

function readLoop(r: Reader, at: string, raw: unknown): Loop | null {
  const d = r.dict(at, raw);
  r.keys(at, d, ["title", "pv", "sp", "out"]);
  const pv = r.tag(`${at}.pv`, d.pv);
  if (pv === null) return null;
  return {
    title: r.text(`${at}.title`, d.title),
    pv,
    sp: r.optionalTag(`${at}.sp`, d.sp),
    out: r.optionalTag(`${at}.out`, d.out),
  };
}

/** Every loop of every page. */
export function allLoops(pages: Pages): Loop[] {
  return pages.groups.flatMap((g) => g.sections.flatMap((s) => s.loops));
}

/** Every tag path that the pages name, for checks against the site's tags. */
export function pageTags(pages: Pages): string[] {
  const found = new Set<string>();
  const add = (...paths: (string | null)[]): void => {
    for (const p of paths) if (p !== null) found.add(p);
  };
  const o = pages.overview;
  add(...o.limits.map((l) => l.tag), ...o.figures.map((f) => f.tag), ...(o.flow?.ends.map((e) => e.tag) ?? []));
  add(...o.trends.flatMap((t) => t.tags));
  for (const s of pages.groups.flatMap((g) => g.sections)) {
    add(...s.loops.flatMap((l) => [l.pv, l.sp, l.out]), ...s.indicators, ...s.switches, ...s.entries);
    add(...s.trends.flatMap((t) => t.tags));
  }
  return [...found];
}
