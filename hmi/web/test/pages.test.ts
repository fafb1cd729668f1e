import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { ICONS } from "../src/lib/nav";
import { pageTags, readPages } from "../src/lib/pages";
import { Mimic, sanitiseSvg } from "../src/lib/svg";

const CONFIGS = join(import.meta.dirname, "../../../configs");

function sources(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? sources(join(dir, e.name)) : [join(dir, e.name)]));
}

describe("pages.yaml", () => {
  it("is read with care: what is wrong is named, the rest stands", () => {
    const { pages, problems } = readPages({
      overview: { mimic: "m", limits: [{ tag: "a", limit: 5 }, { tag: "b" }], figure: [] },
      groups: [{ page: "air", title: "Air", sections: [{ indicators: ["a", 7] }] }, { page: "No Good", title: "x" }, { page: "air", title: "again" }],
    });
    expect(pages.overview.limits.map((l) => l.tag)).toEqual(["a"]);
    expect(pages.groups[0]?.sections[0]?.indicators).toEqual(["a"]);
    expect(problems).toHaveLength(5);
    expect(problems.join("\n")).toContain("unknown key `figure`");
    expect(problems.join("\n")).toContain("page `air` stands twice");
  });

  it.each([[undefined], [null], [[]], ["text"], [42], [{ overview: [], groups: {} }], [{ groups: [null, 3, "x"] }]])("survives %j", (raw) => {
    expect(() => readPages(raw)).not.toThrow();
  });
});

// The sites of this repository: their pages must have no fault that this screen would have to report.
const sites = existsSync(CONFIGS) ? readdirSync(CONFIGS).filter((s) => existsSync(join(CONFIGS, s, "hmi/pages.yaml"))) : [];

describe.each(sites)("site %s", (site) => {
  const dir = join(CONFIGS, site);
  const { pages, problems } = readPages(parse(readFileSync(join(dir, "hmi/pages.yaml"), "utf8")));
  const texts = sources(dir).filter((f) => f.endsWith(".yaml") && !f.includes("/hmi/")).map((f) => readFileSync(f, "utf8")).join("\n");
  // A device without a prefix takes the tags of its profile as they are.
  const whole = texts.split(/^device: /m).filter((device) => !/^prefix: /m.test(device)).flatMap((device) => [...device.matchAll(/^profile: ([\w-]+)/gm)].map((m) => m[1]));
  const profiles = whole.map((name) => readFileSync(join(CONFIGS, "profiles", `${name}.yaml`), "utf8"));
  const declared = new Set([texts, ...profiles].flatMap((text) => [...text.matchAll(/\btag: ?([\w/]+)/g)].map((m) => m[1])));
  // Tags of a device profile stand behind the prefix of each device that uses it.
  const prefixes = [...texts.matchAll(/^prefix: ([\w/]+)/gm)].map((m) => m[1]);
  const known = (path: string): boolean =>
    declared.has(path) || prefixes.some((p) => path.startsWith(`${p}/`)) || /^(sys|energy|carbon)\//.test(path);

  it("has pages without a fault", () => {
    expect(problems).toEqual([]);
    expect(pages.overview.figures.length).toBeLessThanOrEqual(4);
    for (const group of pages.groups) expect(Object.keys(ICONS), group.page).toContain(group.icon);
  });

  it("names only tags that the site declares", () => {
    expect(pageTags(pages).filter((p) => !known(p))).toEqual([]);
  });

  it("names the pens of a trend one by one or not at all, and no trend twice in a section", () => {
    for (const section of pages.groups.flatMap((g) => g.sections)) {
      const keys = section.trends.map((t) => t.tags.join());
      expect(new Set(keys).size).toBe(keys.length);
    }
    expect(readPages({ overview: { trends: [{ tags: ["a", "b"], names: ["x"] }] } }).problems).toEqual(["overview.trends[0]: as many names as tags are needed"]);
    expect(readPages({ overview: { trends: [{ tags: ["a"], names: [{ zh: "甲", en: "x" }] }] } }).pages.overview.trends[0]?.names).toEqual([{ zh: "甲", en: "x" }]);
  });

  it("has a mimic that is harmless as it stands and names only declared tags", () => {
    if (pages.overview.mimic === null) return;
    const { svg, removed } = sanitiseSvg(readFileSync(join(dir, "hmi", `${pages.overview.mimic}.svg`), "utf8"));
    expect(removed).toEqual([]);
    const mimic = new Mimic(svg, { openTag: () => undefined, openPage: () => undefined });
    expect(mimic.tags.length).toBeGreaterThan(0);
    expect(mimic.tags.filter((p) => !known(p))).toEqual([]);
    for (const label of svg.querySelectorAll("[data-zh]")) expect(label.getAttribute("data-en"), label.getAttribute("data-zh") ?? "").toBeTruthy();
  });

  it("is not known to the screen's own code", () => {
    const src = sources(join(import.meta.dirname, "../src")).map((f) => readFileSync(f, "utf8")).join("\n");
    const named = [...declared].filter((p) => p !== undefined && p.includes("/") && src.includes(p));
    expect(named).toEqual([]);
    expect(src).not.toContain(site);
  });
});
