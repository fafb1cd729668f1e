import { describe, expect, it } from "vitest";
import { type AlarmRow, compareAlarms, countAlarms, newestUnacknowledged, pageOf, StillList } from "../src/lib/alarms";
import { alarm, item } from "./helpers";

const row = (id: number, priority: "critical" | "high" | "medium" | "low", state: "active" | "acknowledged" | "returned", raised = 1000): AlarmRow => ({
  info: alarm(id, { priority }),
  item: item(id, state, raised),
});

describe("the order of alarms", () => {
  it("puts what nobody has acknowledged first, then urgency, then the newest", () => {
    const rows = [
      row(1, "critical", "acknowledged", 9_000),
      row(2, "low", "active", 5_000),
      row(3, "high", "active", 1_000),
      row(4, "high", "active", 2_000),
      row(5, "critical", "returned", 3_000),
      row(6, "low", "active", 5_000),
    ];
    expect([...rows].sort(compareAlarms).map((r) => r.info.id)).toEqual([4, 3, 2, 6, 5, 1]);
    expect([...rows].reverse().sort(compareAlarms).map((r) => r.info.id)).toEqual([4, 3, 2, 6, 5, 1]);
  });

  it("counts every priority, zeros too", () => {
    const counts = countAlarms([row(1, "high", "active"), row(2, "high", "acknowledged"), row(3, "low", "returned")]);
    expect(counts.map((c) => [c.priority, c.standing, c.unacknowledged])).toEqual([
      ["critical", 0, 0],
      ["high", 2, 1],
      ["medium", 0, 0],
      ["low", 1, 1],
    ]);
  });

  it("shows the newest of the most urgent on the alarm line", () => {
    const rows = [row(1, "low", "active", 9_000), row(2, "high", "active", 1_000), row(3, "high", "returned", 2_000), row(4, "critical", "acknowledged", 9_999)];
    expect(newestUnacknowledged(rows)?.info.id).toBe(3);
    expect(newestUnacknowledged([row(4, "critical", "acknowledged")])).toBeNull();
  });
});

describe("the list that stays still", () => {
  it("keeps its order while alarms change, and counts the new ones", () => {
    const list = new StillList();
    list.refresh([row(1, "low", "active"), row(2, "low", "active")]);
    const now = [row(9, "critical", "active"), row(2, "low", "acknowledged"), row(1, "low", "active")];
    expect(list.ids).toEqual([1, 2]);
    expect(list.fresh(now)).toEqual([9]);
    list.refresh(now);
    expect(list.ids).toEqual([9, 2, 1]);
    expect(list.fresh(now)).toEqual([]);
  });

  it("pages without ever standing outside", () => {
    const items = [1, 2, 3, 4, 5];
    expect(pageOf(items, 1, 2)).toEqual({ items: [3, 4], page: 1, pages: 3 });
    expect(pageOf(items, 9, 2)).toEqual({ items: [5], page: 2, pages: 3 });
    expect(pageOf(items, -3, 2).page).toBe(0);
    expect(pageOf([], 4, 2)).toEqual({ items: [], page: 0, pages: 1 });
  });
});
