// Figures, units, ages and civil times as a person reads them. Pure: the time zone and language come in.

import type { TagInfo, Value } from "./protocol";

export type Lang = "zh" | "en";

/** What stands where there is no figure to show. */
export const DASH = "—";

const MINUS = "\u2212";

/** A number with fixed decimals, thin-space thousands above 9999 and a real minus. */
export function formatNumber(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return DASH;
  const places = Math.min(6, Math.max(0, Math.trunc(decimals)));
  const rounded = Math.abs(value).toFixed(places);
  const negative = value < 0 && Number(rounded) !== 0;
  const dot = rounded.indexOf(".");
  const whole = dot < 0 ? rounded : rounded.slice(0, dot);
  const rest = dot < 0 ? "" : rounded.slice(dot);
  const grouped = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, "\u2009") : whole;
  return (negative ? MINUS : "") + grouped + rest;
}

/** A number with the decimals it was written with, at most four: limits, steps, prices. */
export function formatPlain(value: number): string {
  const decimals = (String(Number(value.toFixed(4))).split(".")[1] ?? "").length;
  return formatNumber(value, decimals);
}

/** A number where only six characters fit, as at the end of a scale: from 100 000 on three figures with k, M or G. */
export function formatShort(value: number): string {
  const size = Math.abs(value);
  if (size < 1e5) return formatPlain(value);
  const [by, prefix] = size < 999_500 ? [1e3, "k"] : size < 999.5e6 ? [1e6, "M"] : [1e9, "G"];
  return `${formatPlain(Number((value / by).toPrecision(3)))}\u2009${prefix}`;
}

/** Decimals that keep about three figures, for quantities without a declared number of decimals. */
export function decimalsFor(value: number): number {
  const size = Math.abs(value);
  if (size >= 100 || size === 0) return 0;
  if (size >= 10) return 1;
  return size >= 1 ? 2 : 3;
}

/** Decimals that show every multiple of an axis step as it is: 0.25 needs two, 0.5 one. */
export function stepDecimals(step: number): number {
  for (let places = 0; places < 6; places += 1) {
    const scaled = step * 10 ** places;
    if (Math.abs(scaled - Math.round(scaled)) < 1e-6 * Math.max(1, scaled)) return places;
  }
  return 6;
}

/** The text of a tag's value: figures, or the name of its state. */
export function formatValue(tag: TagInfo, value: Value | null, lang: Lang): string {
  if (value === null) return DASH;
  const state = stateName(tag, value, lang);
  if (state !== null) return state;
  if (typeof value === "boolean") return lang === "zh" ? (value ? "是" : "否") : value ? "yes" : "no";
  if (typeof value === "string") return value;
  return formatNumber(value, tag.type === "int" ? 0 : tag.decimals);
}

/** The declared name of a switch's or mode's value, or null. */
export function stateName(tag: TagInfo, value: Value, lang: Lang): string | null {
  if (typeof value === "string" || tag.states.length === 0) return null;
  const code = typeof value === "boolean" ? Number(value) : value;
  const state = tag.states.find((s) => s.value === code);
  return state ? state[lang] : null;
}

const UNIT_SIGNS: Record<string, string> = {
  degC: "°C",
  "degC/h": "°C/h",
  us: "µs",
  "ug/L": "µg/L",
};

/** A unit as printed: superscripts and signs, the currency in the reader's language. */
export function formatUnit(unit: string, lang: Lang): string {
  const sign = UNIT_SIGNS[unit];
  if (sign) return sign;
  let text = unit.replace(/\bN?m3\b/g, (m) => m.replace("3", "³")).replace(/\bm2\b/g, "m²");
  text = text.replace("CO2e", "CO₂e").replace("N2O", "N₂O");
  if (lang === "zh") text = text.replace("CNY", "元").replace("samples", "个").replace("starts/h", "次/h");
  return text;
}

/** An age in the largest two sensible steps: `< 1 s`, `12 s`, `3 min`, `2 h 05 min`, `4 d`. */
export function formatAge(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return DASH;
  if (ms < 1000) return "< 1 s";
  const seconds = Math.floor(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d`;
}

/** A short age for narrow places: `12s`, `3m`, `2h`, `4d`. */
export function formatAgeShort(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return DASH;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 100) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 100) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`;
}

/** Microseconds with a sensible unit. */
export function formatMicros(us: number): string {
  if (!Number.isFinite(us)) return DASH;
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 1_000_000) return `${(us / 1000).toFixed(us < 10_000 ? 2 : 1)} ms`;
  return `${(us / 1_000_000).toFixed(2)} s`;
}

/** Bytes with a binary unit. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

interface CivilParts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(timeZone: string): Intl.DateTimeFormat {
  let found = formatters.get(timeZone);
  if (!found) {
    const options: Intl.DateTimeFormatOptions = {
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      hourCycle: "h23",
    };
    try {
      found = new Intl.DateTimeFormat("en-GB", { ...options, timeZone });
    } catch {
      found = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" });
    }
    formatters.set(timeZone, found);
  }
  return found;
}

/** The civil date and time of an instant in a time zone. */
export function civil(ms: number, timeZone: string): CivilParts {
  const parts: Record<string, number> = {};
  for (const part of formatter(timeZone).formatToParts(new Date(ms))) {
    if (part.type !== "literal") parts[part.type] = Number(part.value);
  }
  return {
    year: parts.year ?? 1970,
    month: parts.month ?? 1,
    day: parts.day ?? 1,
    hour: parts.hour ?? 0,
    minute: parts.minute ?? 0,
    second: parts.second ?? 0,
  };
}

const two = (n: number): string => String(n).padStart(2, "0");

/** `09:41:07` in the site's time zone. */
export function formatClock(ms: number | null | undefined, timeZone: string): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return DASH;
  const c = civil(ms, timeZone);
  return `${two(c.hour)}:${two(c.minute)}:${two(c.second)}`;
}

/** `2026-11-22` in the site's time zone. */
export function formatDate(ms: number, timeZone: string): string {
  const c = civil(ms, timeZone);
  return `${c.year}-${two(c.month)}-${two(c.day)}`;
}

/** `11-22 09:41:07`, or only the time when it is within the day of `now`. */
export function formatMoment(ms: number | null | undefined, now: number, timeZone: string): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return DASH;
  const date = formatDate(ms, timeZone);
  const time = formatClock(ms, timeZone);
  if (date === formatDate(now, timeZone)) return time;
  const year = date.slice(0, 4) === formatDate(now, timeZone).slice(0, 4) ? date.slice(5) : date;
  return `${year} ${time}`;
}

/** Labels of the time axis for ticks `step` ms apart, in the site's time; the date stands where a day begins. */
export function timeLabels(at: readonly number[], step: number, timeZone: string): string[] {
  let day = "";
  return at.map((ms) => {
    const c = civil(ms, timeZone);
    const date = `${two(c.month)}-${two(c.day)}`;
    if (step >= 28 * 86_400_000) return `${c.year}-${two(c.month)}`;
    if (step >= 86_400_000) return date;
    const time = step < 60_000 ? `${two(c.hour)}:${two(c.minute)}:${two(c.second)}` : `${two(c.hour)}:${two(c.minute)}`;
    const label = day !== "" && day !== date ? `${date} ${time}` : time;
    day = date;
    return label;
  });
}

/** The instant at which a civil date begins in a time zone; months and days may overflow (month 13, day 0). */
export function civilStart(year: number, month: number, day: number, timeZone: string): number {
  const wanted = Date.UTC(year, month - 1, day);
  let guess = wanted;
  // Two rounds settle every offset; a midnight skipped by a clock change lands on the first instant after it.
  for (let round = 0; round < 3; round += 1) {
    const c = civil(guess, timeZone);
    const shown = Date.UTC(c.year, c.month - 1, c.day, c.hour, c.minute, c.second);
    if (shown === wanted) break;
    guess += wanted - shown;
  }
  return guess;
}

export type Period = "day" | "week" | "month";

/** The half-open span of the day, week (from Monday) or month that lies `offset` periods from the one holding `at`. */
export function periodSpan(period: Period, at: number, offset: number, timeZone: string): { from: number; to: number } {
  const c = civil(at, timeZone);
  if (period === "month") {
    return {
      from: civilStart(c.year, c.month + offset, 1, timeZone),
      to: civilStart(c.year, c.month + offset + 1, 1, timeZone),
    };
  }
  const days = period === "week" ? 7 : 1;
  const weekday = (new Date(Date.UTC(c.year, c.month - 1, c.day)).getUTCDay() + 6) % 7;
  const first = c.day - (period === "week" ? weekday : 0) + offset * days;
  return {
    from: civilStart(c.year, c.month, first, timeZone),
    to: civilStart(c.year, c.month, first + days, timeZone),
  };
}

/** A number typed by a person: comma or point, spaces allowed; null when it is not a finite number. */
export function parseEntry(text: string): number | null {
  const cleaned = text.trim().replace(/[\s\u2009]/g, "").replace(MINUS, "-").replace(",", ".");
  if (!/^[+-]?(\d+\.?\d*|\.\d+)$/.test(cleaned)) return null;
  const value = Number(cleaned);
  return Number.isFinite(value) ? value : null;
}

/** A sensible step for the ± buttons: one unit of the second figure of the span, never finer than what is shown. */
export function entryStep(limits: [number, number] | null, decimals: number): number {
  const finest = 10 ** -Math.max(0, decimals);
  if (!limits) return finest;
  const span = Math.abs(limits[1] - limits[0]);
  if (span <= 0) return finest;
  return Math.max(finest, 10 ** (Math.floor(Math.log10(span)) - 1));
}
