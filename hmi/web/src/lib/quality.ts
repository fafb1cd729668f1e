// What a sample is worth at this moment, decided in one place for every picture, table and drawer.

import type { QualityClass, Value } from "./protocol";

/** A tag's last sample as received; `receivedAt` is on the monotonic clock of this screen. */
export interface LiveSample {
  value: Value | null;
  quality: QualityClass;
  reason: string;
  sourceMs: number;
  /** When the runtime received it, on this screen's monotonic clock (ms). */
  receivedAt: number;
}

export type Worth = "good" | "uncertain" | "bad" | "stale" | "lost" | "absent";

export interface Assessed {
  worth: Worth;
  value: Value | null;
  /** The reason's word; empty when good. */
  reason: string;
  /** Computed when asked for: a picture that shows no age is not redrawn because time passes. */
  readonly ageMs: number | null;
}

export const ABSENT: Assessed = { worth: "absent", value: null, reason: "unknown-tag", ageMs: null };

/**
 * The worth of a sample. Without a live connection nothing on this screen is current, whatever its quality was: every
 * sample is then `lost`, so that a frozen figure is never taken for a live one.
 */
export function assess(sample: LiveSample | undefined, connected: boolean, now: () => number): Assessed {
  if (!sample) return { ...ABSENT, reason: connected ? "never-received" : "connection" };
  const { value, receivedAt } = sample;
  const made = (worth: Worth, reason: string): Assessed => ({
    worth,
    value,
    reason,
    get ageMs() {
      return Math.max(0, now() - receivedAt);
    },
  });
  if (!connected) return made("lost", "connection");
  if (sample.quality === "g") return made("good", "");
  if (sample.quality === "u") return made("uncertain", sample.reason);
  if (value === null) return made("absent", sample.reason);
  return made(sample.reason === "stale" ? "stale" : "bad", sample.reason);
}

/** True where the figure may carry a picture (a bar, a flow): usable in the engine's sense and current. */
export function isUsable(a: Assessed): boolean {
  return a.worth === "good" || a.worth === "uncertain";
}

/** The number of a usable sample; switches count 0 and 1; null otherwise. */
export function usableNumber(a: Assessed): number | null {
  if (!isUsable(a)) return null;
  if (typeof a.value === "number") return a.value;
  return typeof a.value === "boolean" ? Number(a.value) : null;
}
