// The span a trend shows, and the way back through zooms. Pure, so that the steps can be tested.

/** Ranges offered, in seconds: 10 min to 1 year. */
export const RANGES: readonly number[] = [600, 3_600, 21_600, 86_400, 604_800, 2_592_000, 31_536_000];
/** The narrowest zoom: a second less would show nothing. */
export const SPAN_MS_MIN = 5_000;
/** Pens at a time: as many as there are colours that a person tells apart. */
export const PENS_MAX = 8;

export interface View {
  /** Follows the present: `to` is now. */
  follow: boolean;
  from: number;
  to: number;
  back: { follow: boolean; from: number; to: number }[];
}

export function followView(now: number, seconds: number): View {
  return { follow: true, from: now - seconds * 1000, to: now, back: [] };
}

/** Into a stretch of the present view; the view before is kept for the way back. */
export function zoom(view: View, from: number, to: number): View {
  const middle = (from + to) / 2;
  const half = Math.max(SPAN_MS_MIN, to - from) / 2;
  const { follow } = view;
  return { follow: false, from: middle - half, to: middle + half, back: [...view.back, { follow, from: view.from, to: view.to }].slice(-32) };
}

/** One step back; the outermost view stays. */
export function back(view: View, now: number): View {
  const last = view.back[view.back.length - 1];
  if (!last) return view;
  const length = last.to - last.from;
  const span = last.follow ? { from: now - length, to: now } : { from: last.from, to: last.to };
  return { follow: last.follow, ...span, back: view.back.slice(0, -1) };
}

/** A shift by a share of the span; never beyond now. */
export function shift(view: View, share: number, now: number): View {
  const length = view.to - view.from;
  const to = Math.min(now, view.to + length * share);
  return { follow: false, from: to - length, to, back: view.back };
}

/** The shortest span a trend shrinks to while there is little history. */
export const YOUNG_MS_MIN = 600_000;

/**
 * The span worth showing while history is younger than what was asked for: from a little before its first point, never
 * shorter than ten minutes. A full day with one minute at its edge would look empty.
 */
export function youngSpan(first: number | null, from: number, to: number): number {
  if (first === null || first < from + (to - from) / 2) return from;
  return Math.max(from, Math.min(first - (to - first) * 0.03, to - YOUNG_MS_MIN));
}

/** How often a followed span is read again: often enough to look live, seldom enough not to load the store. */
export function refreshEvery(spanMs: number): number {
  return Math.min(60_000, Math.max(2_000, spanMs / 600));
}
