import { describe, expect, it } from "vitest";
import { align, closePen, GAP_MS_MIN, gapLimit, timeMean, toPen, valueAt, yRange } from "../src/lib/history";
import type { HistoryPoint, HistorySeries, QualityClass } from "../src/lib/protocol";

const p = (t: number, v: number | null, q: QualityClass = "g"): HistoryPoint => [t, v, v, v, q];
const series = (points: HistoryPoint[], raw = true): HistorySeries => ({ tag: "a", raw, points });

describe("from a series to a pen", () => {
  it("breaks the line in a gap and nowhere else", () => {
    const pen = toPen(series([p(0, 1), p(100, 2), p(500, 3), p(600, 4)]), 200);
    expect(pen.times).toEqual([0, 100, 101, 500, 600]);
    expect(pen.last).toEqual([1, 2, null, 3, 4]);
  });

  it("never draws the value a bad sample kept", () => {
    const pen = toPen(series([p(0, 1), p(100, 7, "b"), p(200, 2)]), 1_000);
    expect(pen.last).toEqual([1, null, 2]);
    expect(pen.spans).toEqual([{ from: 100, to: 200, quality: "b" }]);
  });

  it("keeps the usable part of a bucket that also held bad samples, and says so", () => {
    const pen = toPen(series([[0, 1, 3, 2, "b"], [100, 1, 1, 1, "g"]], false), 1_000);
    expect(pen.last).toEqual([2, 1]);
    expect(pen.banded).toBe(true);
    expect(pen.spans).toEqual([{ from: 0, to: 100, quality: "b" }]);
  });

  it("joins equal qualities, parts different ones, and ends a span where the quality turns good", () => {
    const pen = toPen(series([p(0, 1, "u"), p(10, 1, "u"), p(20, null, "b"), p(30, 1), p(40, 1), p(50, 1, "u")]), 1_000);
    expect(pen.spans).toEqual([
      { from: 0, to: 20, quality: "u" },
      { from: 20, to: 30, quality: "b" },
      { from: 50, to: 50, quality: "u" },
    ]);
    closePen(pen, 90, 1_000);
    expect(pen.spans[2]).toEqual({ from: 50, to: 90, quality: "u" });
  });

  it("does not stretch a bad span over a gap, nor a finished one to the end", () => {
    const gap = toPen(series([p(0, null, "b"), p(900, null, "b")]), 100);
    expect(gap.spans).toEqual([{ from: 0, to: 0, quality: "b" }, { from: 900, to: 900, quality: "b" }]);
    const finished = toPen(series([p(0, null, "b"), p(50, 1)]), 100);
    closePen(finished, 90, 100);
    expect(finished.spans).toEqual([{ from: 0, to: 50, quality: "b" }]);
  });

  it("lets a value that held reach the end, but not over a gap and not when it is bad", () => {
    const held = toPen(series([p(0, 2), p(60, 2)]), 100);
    closePen(held, 90, 100);
    expect([held.times, held.last]).toEqual([[0, 60, 90], [2, 2, 2]]);
    const old = toPen(series([p(0, 2)]), 100);
    closePen(old, 500, 100);
    expect(old.times).toEqual([0]);
    const bad = toPen(series([p(0, 2), p(60, 2, "b")]), 100);
    closePen(bad, 90, 100);
    expect(bad.times).toEqual([0, 60]);
  });

  it("drops points out of order", () => {
    expect(toPen(series([p(100, 1), p(50, 9), p(100, 9), p(200, 2)]), 1_000).times).toEqual([100, 200]);
  });

  it("allows wider distances in coarser series", () => {
    expect(gapLimit(0, 3_600_000, 800, true)).toBe(GAP_MS_MIN);
    expect(gapLimit(0, 365 * 86_400_000, 800, false)).toBe((3 * 365 * 86_400_000) / 800);
  });
});

describe("pens together", () => {
  it("share one axis: undefined joins on, null breaks", () => {
    const a = toPen(series([p(0, 1), p(200, 3)]), 1_000);
    const b = toPen(series([p(100, 5), p(200, null, "b")]), 1_000);
    const { x, y } = align([a, b]);
    expect(x).toEqual([0, 100, 200]);
    expect(y).toEqual([[1, undefined, 3], [undefined, 5, null]]);
  });

  it("give the value that held at the cursor", () => {
    const pen = toPen(series([p(0, 1), p(100, 2), p(900, 3)]), 200);
    expect(valueAt(pen, -1)).toBeNull();
    expect(valueAt(pen, 50)).toBe(1);
    expect(valueAt(pen, 100)).toBe(2);
    expect(valueAt(pen, 500)).toBeNull();
    expect(valueAt(pen, 5_000)).toBe(3);
  });

  it("weigh a mean by time, and stop at gaps and bad stretches", () => {
    const points = series([p(0, 10), p(100, 20), p(400, null, "b"), p(500, 30)]);
    expect(timeMean(points, 600, 1_000)?.mean).toBeCloseTo((10 * 100 + 20 * 300 + 30 * 100) / 500);
    expect(timeMean(series([p(0, 10), p(1_000, 20)]), 1_100, 100)).toEqual({ mean: 15, covered_ms: 200 });
    expect(timeMean(series([]), 100, 100)).toBeNull();
  });

  it("give an axis with room, without inventing a negative side", () => {
    const pen = toPen(series([p(0, 0), p(10, 10)]), 100);
    expect(yRange([pen], 0, 10)).toEqual([0, 10.8]);
    const flat = yRange([toPen(series([p(0, 50)]), 100)], 0, 10);
    expect(flat).toEqual([45, 55]);
    expect(yRange([pen], 100, 200)).toBeNull();
  });
});
