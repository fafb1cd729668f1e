import { describe, expect, it } from "vitest";
import { balance, stack } from "../src/lib/flow";
import { meterTree, type Summary } from "../src/lib/energy";
import { eventAlarm, eventText, eventValue, eventView } from "../src/lib/events";
import { parseRoute, routeHash } from "../src/lib/router.svelte";
import { search } from "../src/lib/search";
import { normalBand } from "../src/lib/tagview";
import { timeLabels } from "../src/lib/format";
import { back, followView, refreshEvery, shift, youngSpan, zoom } from "../src/lib/trendstate";
import type { Site } from "../src/lib/protocol";
import { alarm, tag } from "./helpers";

describe("the address", () => {
  it("holds page and query, and survives nonsense", () => {
    expect(parseRoute("")).toEqual({ name: "overview", sub: "", query: {} });
    expect(parseRoute("#/page/air?x=1")).toEqual({ name: "page", sub: "air", query: { x: "1" } });
    expect(parseRoute("#/%E0%A4%A")).toMatchObject({ sub: "" });
    const hash = routeHash("trends", "", { tags: "a/b,c/d&e", range: "600", to: "" });
    expect(hash).toBe("#/trends?tags=a/b,c/d%26e&range=600");
    expect(parseRoute(hash).query).toEqual({ tags: "a/b,c/d&e", range: "600" });
  });
});

describe("zooming", () => {
  it("goes in and comes back step by step, to follow the present again", () => {
    const now = 10_000_000;
    const start = followView(now, 3_600);
    const one = zoom(start, now - 2_000_000, now - 1_000_000);
    const two = zoom(one, now - 1_500_000, now - 1_400_000);
    expect(two.follow).toBe(false);
    expect(two.to - two.from).toBe(100_000);
    const again = back(two, now + 5_000);
    expect([again.from, again.to]).toEqual([one.from, one.to]);
    const out = back(again, now + 5_000);
    expect(out).toEqual({ follow: true, from: now + 5_000 - 3_600_000, to: now + 5_000, back: [] });
    expect(back(out, now)).toEqual(out);
  });

  it("never becomes too narrow nor leaves the present behind", () => {
    const view = zoom(followView(100_000, 60), 50_000, 50_001);
    expect(view.to - view.from).toBe(5_000);
    expect(shift(followView(100_000, 10), 0.5, 100_000).to).toBe(100_000);
    expect(refreshEvery(600_000)).toBe(2_000);
    expect(refreshEvery(365 * 86_400_000)).toBe(60_000);
  });

  it("shrinks to a young history, and to no less than ten minutes", () => {
    const day = 86_400_000;
    expect(youngSpan(null, 0, day)).toBe(0);
    expect(youngSpan(day / 4, 0, day)).toBe(0);
    expect(youngSpan(day - 60_000, 0, day)).toBe(day - 600_000);
    expect(youngSpan(day - 4_000_000, 0, day)).toBe(day - 4_120_000);
  });

  it("labels the axis in the site's time, with the date where a day begins", () => {
    const at = [Date.UTC(2026, 10, 21, 14), Date.UTC(2026, 10, 21, 15), Date.UTC(2026, 10, 21, 16)];
    expect(timeLabels(at, 3_600_000, "Asia/Shanghai")).toEqual(["22:00", "23:00", "11-22 00:00"]);
    expect(timeLabels([at[2] as number], 86_400_000, "Asia/Shanghai")).toEqual(["11-22"]);
    expect(timeLabels([(at[0] as number) + 5_000], 1_000, "UTC")).toEqual(["14:00:05"]);
  });
});

describe("the energy flow", () => {
  const end = (id: string, kind: "source" | "load", value: number | null, signed = false) => ({ id, kind, value, signed });

  it("turns an exporting grid into a load and shows what does not add up", () => {
    const b = balance([end("grid", "source", -50, true), end("pv", "source", 200), end("pumps", "load", 140)]);
    expect(b.sources).toEqual([{ id: "pv", value: 200 }]);
    expect(b.loads).toEqual([{ id: "grid", value: 50 }, { id: "pumps", value: 140 }]);
    expect(b.rest).toBe(10);
    expect(b.scale).toBe(200);
  });

  it("claims no balance while an end is missing", () => {
    const b = balance([end("grid", "source", 100, true), end("pumps", "load", null)]);
    expect(b.rest).toBeNull();
    expect(b.missing).toEqual(["pumps"]);
  });

  it("stacks in proportion", () => {
    expect(stack([{ id: "a", value: 3 }, { id: "b", value: 1 }], 4, 100, 0)).toEqual([
      { id: "a", top: 0, height: 75 },
      { id: "b", top: 75, height: 25 },
    ]);
  });
});

describe("the meter tree", () => {
  const meter = (name: string, parent: string | null) => ({ name, parent, title: { zh: name, en: name }, kind: "load", import_kwh: 1, export_kwh: null, coverage: { measured: 1, back_filled: 0, estimated: 0, missing: 0 } });
  const tree = (meters: unknown[], residuals: unknown[] = []): string[] =>
    meterTree({ meters, residuals } as unknown as Summary).map((r) => `${"-".repeat(r.depth)}${r.kind === "meter" ? r.meter.name : "rest"}`);

  it("puts each level's residual under its parent", () => {
    expect(tree([meter("grid", null), meter("a", "grid"), meter("b", "a"), meter("c", "grid")], [{ parent: "grid" }])).toEqual(["grid", "-a", "--b", "-c", "-rest"]);
  });

  it("hides no meter, whatever is wrong with the tree", () => {
    expect(tree([meter("a", "gone"), meter("x", "y"), meter("y", "x")])).toEqual(["a", "x", "-y"]);
  });
});

describe("search", () => {
  const tags = [tag({ path: "aer/z3/do", title: { zh: "3号池溶解氧", en: "Zone 3 dissolved oxygen" } }), tag({ id: 1, path: "sys/x", title: { zh: "系统", en: "do x" }, source: "system" })];
  it("finds by path, by either language, by every word", () => {
    const find = (q: string): string[] => search(q, { lang: "zh", pages: [{ key: "trends/", title: "趋势" }], tags, alarms: [alarm(4)] }).map((f) => f.key);
    expect(find("z3 do")).toEqual(["aer/z3/do"]);
    expect(find("溶解氧")).toEqual(["aer/z3/do"]);
    expect(find("dissolved 3")).toEqual(["aer/z3/do"]);
    expect(find("报警4")).toEqual(["4"]);
    expect(find("no such thing")).toEqual([]);
    expect(find("")).toEqual(["trends/"]);
    expect(find("do")[0]).toBe("aer/z3/do");
  });
});

describe("words from the journal and from limits", () => {
  const view = { site: { alarms: [alarm(0), alarm(1)] } as unknown as Site, alarm: (id: number) => (id === 1 ? alarm(1) : null) };
  it("reads alarms by name before number and leaves the rest as it is", () => {
    expect(eventAlarm({ utc_ms: 0, kind: "alarm", alarm: "alarm/0", state: "active" }, view)).toMatchObject({ info: { id: 0 }, state: "active" });
    expect(eventAlarm({ utc_ms: 0, kind: "alarm", id: 1 }, view)?.info.id).toBe(1);
    expect(eventAlarm({ utc_ms: 0, kind: "alarm", alarm: "gone" }, view)).toBeNull();
    expect(eventAlarm({ utc_ms: 0, kind: "fault", alarm: "alarm/0" }, view)).toBeNull();
    expect(eventText({ utc_ms: 0, kind: "newer", colour: "red", n: 2, empty: null })).toBe("colour: red · n: 2");
    expect(eventText({ utc_ms: 0, kind: "newer", text: "as written" })).toBe("as written");
  });

  it("shows every kind the runtime writes", () => {
    const valve = tag({ path: "v", id: 5 });
    const names = {
      ...view,
      site: { alarms: [alarm(0, { tag: 5 })], devices: [{ id: 0, name: "plc" }] } as unknown as Site,
      tag: (path: string | null | undefined) => (path === "v" ? valve : null),
      tagById: (id: number) => (id === 5 ? valve : null),
    };
    const see = (row: Record<string, unknown>) => eventView({ utc_ms: 0, ...row } as never, names);
    expect(see({ kind: "alarm", alarm: "alarm/0", state: "active", value: "2.5", by: null })).toMatchObject({ alarm: { id: 0 }, tag: { id: 5 }, value: 2.5, state: { of: "state", word: "active" } });
    expect(see({ kind: "command", tag: "v", value: "40", origin: "user op" })).toMatchObject({ tag: { id: 5 }, value: 40, by: "user op", state: null });
    expect(see({ kind: "outcome", tag: "v", state: "failed", message: "no answer" })).toMatchObject({ state: { of: "outcome", word: "failed" }, message: "no answer" });
    expect(see({ kind: "link", device: "plc", state: "down", reason: "refused" })).toMatchObject({ device: { id: 0 }, state: { of: "link", word: "down" }, message: "refused" });
    expect(see({ kind: "fault", part: "task a", message: "broke", active: false })).toMatchObject({ text: "task a", state: { of: "event", word: "mended" } });
    expect(eventValue("true", valve)).toBe(true);
    expect(eventValue("1e3", tag({ type: "text" }))).toBe("1e3");
    expect(eventValue(null, valve)).toBeNull();
  });

  it("takes the normal band from the innermost limits", () => {
    const alarms = [alarm(0, { kind: "above", limit: 8 }), alarm(1, { kind: "above", limit: 6 }), alarm(2, { kind: "below", limit: 1 }), alarm(3, { kind: "bad", limit: null }), alarm(4, { tag: 9, limit: 2 })];
    expect(normalBand(tag(), alarms)).toEqual([1, 6]);
    expect(normalBand(tag(), [])).toBeNull();
    expect(normalBand(tag({ range: null }), alarms)).toBeNull();
  });
});
