import { beforeEach, describe, expect, it, vi } from "vitest";
import { Live } from "../src/lib/live.svelte";

describe("the live store", () => {
  let at = 10_000;
  beforeEach(() => {
    at = 10_000;
    vi.spyOn(performance, "now").mockImplementation(() => at);
  });

  const values = (rows: unknown[]): string => JSON.stringify({ type: "values", utc_ms: 5_000_000 + at, values: rows });

  it("takes ages from the runtime and counts them on", () => {
    const live = new Live();
    live.take(values([[7, 1.5, "g", "", 4_999_000, 400]]));
    expect(live.assess(7)).toMatchObject({ worth: "good", value: 1.5, ageMs: 400 });
    at += 2_000;
    live.tick();
    expect(live.assess(7).ageMs).toBe(2_400);
    expect(live.utc).toBe(5_012_000);
  });

  it("shows nothing as live from the moment the feed ends until values come again", () => {
    const live = new Live();
    expect(live.connected).toBe(false);
    live.take(values([[7, 1.5, "g", "", 0, 0]]));
    expect(live.connected).toBe(true);
    at += 3_000;
    live.lose();
    live.tick();
    expect(live.assess(7)).toMatchObject({ worth: "lost", value: 1.5, ageMs: 3_000 });
    // Old since the last message, not since the loss was noticed; a second failure does not move it.
    expect(live.lostSince).toBe(5_010_000);
    at += 20_000;
    live.lose();
    expect(live.lostSince).toBe(5_010_000);
    // Links and tasks alone do not make values live.
    live.take(JSON.stringify({ type: "links", items: [] }));
    expect(live.connected).toBe(false);
    live.take(values([]));
    expect(live.connected).toBe(true);
    expect(live.lostSince).toBeNull();
  });

  it("replaces alarms as a whole, merges outputs, and survives nonsense", () => {
    const live = new Live();
    const item = (id: number, state: string): unknown => ({ id, state });
    live.take(JSON.stringify({ type: "alarms", items: [item(1, "active"), item(2, "active")] }));
    live.take(JSON.stringify({ type: "alarms", items: [item(2, "acknowledged")] }));
    expect([...live.alarms.keys()]).toEqual([2]);
    live.take(JSON.stringify({ type: "outputs", items: [{ tag: 3, manual: true }, { tag: 4, manual: false }] }));
    live.take(JSON.stringify({ type: "outputs", items: [{ tag: 4, manual: true }] }));
    expect(live.output(3)?.manual).toBe(true);
    expect(live.output(4)?.manual).toBe(true);
    live.take("{ not json");
    live.take(JSON.stringify({ type: "something newer" }));
    expect(live.output(3)?.manual).toBe(true);
  });

  it("forgets everything for another user", () => {
    const live = new Live();
    live.take(values([[7, 1.5, "g", "", 0, 0]]));
    live.clear();
    live.take(values([]));
    expect(live.assess(7).worth).toBe("absent");
  });
});
