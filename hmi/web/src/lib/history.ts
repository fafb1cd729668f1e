// From stored series to what a chart draws: gaps stay gaps, bad stretches become spans, nothing is invented between.

import type { HistoryPoint, HistorySeries, QualityClass } from "./protocol";

/** A point nobody confirmed for longer than this is not joined to the next one, unless the points lie wider by nature. */
export const GAP_MS_MIN = 150_000;
/** In downsampled series this many absent buckets in a row are a gap. */
export const GAP_BUCKETS = 3;

export interface Span {
  from: number;
  to: number;
  quality: "u" | "b";
}

/** One pen ready to draw: times rise strictly; null in `last` breaks the line. */
export interface Pen {
  tag: string;
  times: number[];
  last: (number | null)[];
  min: (number | null)[];
  max: (number | null)[];
  spans: Span[];
  banded: boolean;
}

/** The longest distance between two points that still counts as continuous. */
export function gapLimit(from: number, to: number, buckets: number, raw: boolean): number {
  if (raw) return GAP_MS_MIN;
  return Math.max(GAP_MS_MIN, (GAP_BUCKETS * (to - from)) / Math.max(1, buckets));
}

/**
 * A series as a pen. A Bad point breaks the line (its value is not to be used); where points lie further apart than
 * `gapMs` a break is put right after the earlier one. Times out of order or doubled are dropped.
 */
export function toPen(series: HistorySeries, gapMs: number): Pen {
  const pen: Pen = { tag: series.tag, times: [], last: [], min: [], max: [], spans: [], banded: false };
  let previous = Number.NEGATIVE_INFINITY;
  let before: QualityClass = "g";
  const push = (t: number, min: number | null, max: number | null, last: number | null): void => {
    pen.times.push(t);
    pen.min.push(min);
    pen.max.push(max);
    pen.last.push(last);
  };
  for (const point of series.points) {
    const [t] = point;
    if (!(t > previous)) continue;
    if (previous > Number.NEGATIVE_INFINITY && t - previous > gapMs) push(previous + 1, null, null, null);
    const value = usable(point, series.raw);
    push(t, value === null ? null : point[1], value === null ? null : point[2], value);
    if (value !== null && point[1] !== null && point[2] !== null && point[2] > point[1]) pen.banded = true;
    const open = pen.spans[pen.spans.length - 1];
    // A quality holds from its point until the next one.
    if (open && before !== "g" && t - previous <= gapMs) open.to = t;
    if (point[4] !== "g" && !(open && before === point[4] && open.to === t)) {
      pen.spans.push({ from: t, to: t, quality: point[4] });
    }
    before = point[4];
    previous = t;
  }
  return pen;
}

// A Bad sample's value is kept for showing only and never drawn. A bucket holds usable values alone, so what it has counts
// even where its worst quality is bad.
function usable(point: HistoryPoint, raw: boolean): number | null {
  const last = point[3];
  if (last === null || !Number.isFinite(last)) return null;
  return raw && point[4] === "b" ? null : last;
}

/**
 * Lets a pen reach `to`: a value that did not change is stored again only now and then and holds until the next point, and
 * what was bad at the last point is bad until something better arrives. Neither reaches further than a gap.
 */
export function closePen(pen: Pen, to: number, gapMs: number): void {
  closeSpans(pen, to, gapMs);
  const end = pen.times.length - 1;
  const value = pen.last[end];
  const last = pen.times[end];
  if (last === undefined || value === undefined || value === null || to <= last || to - last > gapMs) return;
  pen.times.push(to);
  pen.last.push(value);
  pen.min.push(value);
  pen.max.push(value);
}

function closeSpans(pen: Pen, to: number, gapMs: number): void {
  const open = pen.spans[pen.spans.length - 1];
  const end = pen.times[pen.times.length - 1];
  if (!open || end === undefined) return;
  // A span that began at the last point is still open; one that merely ended there is not.
  if (open.from === end || (open.to === end && pen.last[pen.last.length - 1] === null)) open.to = Math.max(open.to, Math.min(to, end + gapMs));
}

/** Columns on one common time axis: `undefined` where a pen has no point of its own, `null` where its line breaks. */
export function align(pens: readonly Pen[]): { x: number[]; y: (number | null | undefined)[][] } {
  const all = new Set<number>();
  for (const pen of pens) for (const t of pen.times) all.add(t);
  const x = [...all].sort((a, b) => a - b);
  const at = new Map(x.map((t, i) => [t, i]));
  const y = pens.map((pen) => {
    const column: (number | null | undefined)[] = new Array(x.length).fill(undefined);
    pen.times.forEach((t, i) => {
      column[at.get(t) as number] = pen.last[i];
    });
    return column;
  });
  return { x, y };
}

/** The pen's value that held at `t` (the last point at or before it), or null in a gap. */
export function valueAt(pen: Pen, t: number): number | null {
  let low = 0;
  let high = pen.times.length - 1;
  let found = -1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if ((pen.times[middle] as number) <= t) {
      found = middle;
      low = middle + 1;
    } else {
      high = middle - 1;
    }
  }
  return found < 0 ? null : (pen.last[found] ?? null);
}

/** A mean over time, and how long the stretches are that it stands on. */
export interface TimeMean {
  mean: number;
  covered_ms: number;
}

/** Mean over time of the usable stretches (each value holds until the next point or the gap); null when there is none. */
export function timeMean(series: HistorySeries, to: number, gapMs: number): TimeMean | null {
  let area = 0;
  let length = 0;
  series.points.forEach((point, i) => {
    const value = usable(point, series.raw);
    if (value === null) return;
    const next = series.points[i + 1]?.[0] ?? to;
    const dt = Math.min(next - point[0], gapMs);
    if (dt <= 0) return;
    area += value * dt;
    length += dt;
  });
  return length > 0 ? { mean: area / length, covered_ms: length } : null;
}

/** The y range of a set of pens, with room above and below; a flat line gets room of its own size. */
export function yRange(pens: readonly Pen[], from: number, to: number): [number, number] | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const pen of pens) {
    pen.times.forEach((t, i) => {
      if (t < from || t > to) return;
      const min = pen.min[i] ?? pen.last[i];
      const max = pen.max[i] ?? pen.last[i];
      if (typeof min === "number" && min < low) low = min;
      if (typeof max === "number" && max > high) high = max;
    });
  }
  if (low > high) return null;
  const room = high > low ? (high - low) * 0.08 : Math.max(Math.abs(high) * 0.1, 0.1);
  // A quantity that never goes below zero is not given a negative axis by the room alone.
  const bottom = low >= 0 && low - room < 0 ? 0 : low - room;
  return [bottom, high + room];
}
