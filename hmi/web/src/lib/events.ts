// Rows of the journal as a person reads them. The body of a row is the writer's own; what is not known is shown raw.

import { tx, word } from "./i18n";
import type { SiteView } from "./app.svelte";
import type { AlarmInfo, DeviceInfo, EventRow, TagInfo, Value } from "./protocol";

/** What the journal's columns show; words are keys for the reader's language, resolved by the page. */
export interface EventView {
  alarm: AlarmInfo | null;
  tag: TagInfo | null;
  device: DeviceInfo | null;
  /** Words of the row where no alarm, tag or device names it. */
  text: string;
  /** `alarm`, `link`, `outcome` or `fault`: which dictionary the state belongs to. */
  state: { of: "state" | "link" | "outcome" | "event"; word: string } | null;
  /** Reason or message, in the runtime's own words. */
  message: string;
  value: Value | null;
  by: string;
}

type Names = Pick<SiteView, "alarm" | "tag" | "tagById" | "site">;

const str = (x: unknown): string => (typeof x === "string" ? x : "");

/** The alarm a row speaks of, by name or by number; null when it is none of this site's alarms. */
export function eventAlarm(row: EventRow, view: Pick<Names, "alarm" | "site">): { info: AlarmInfo; state: string } | null {
  if (row.kind !== "alarm") return null;
  const key = row.alarm ?? row.name ?? row.id;
  // The name outlives a change of configuration, the number does not: it is looked at first.
  const info =
    typeof key === "string" ? view.site.alarms.find((a) => a.name === key) : typeof key === "number" ? view.alarm(key) : null;
  return info ? { info, state: str(row.state) } : null;
}

/** The value a row carries, as the tag has it: the journal keeps values as text. */
export function eventValue(raw: unknown, tag: TagInfo | null): Value | null {
  if (typeof raw === "number" || typeof raw === "boolean") return raw;
  if (typeof raw !== "string" || raw === "") return null;
  if (tag?.type === "text") return raw;
  if (raw === "true" || raw === "false") return raw === "true";
  const number = Number(raw);
  return Number.isFinite(number) ? number : raw;
}

export function eventView(row: EventRow, view: Names): EventView {
  const alarm = eventAlarm(row, view);
  const tag = alarm ? view.tagById(alarm.info.tag) : view.tag(str(row.tag) || null);
  const device = row.kind === "link" ? (view.site.devices.find((d) => d.name === row.device) ?? null) : null;
  const named = alarm !== null || tag !== null || device !== null;
  return {
    alarm: alarm?.info ?? null,
    tag,
    device,
    text: named ? "" : row.kind === "fault" ? str(row.part) : row.kind === "object" ? objectText(row, view) : eventText(row),
    state: stateOf(row, alarm?.state ?? ""),
    message: str(row.message) || str(row.reason),
    value: eventValue(row.value, tag),
    by: str(row.by) || str(row.origin),
  };
}

function stateOf(row: EventRow, alarmState: string): EventView["state"] {
  if (alarmState !== "") return { of: "state", word: alarmState };
  if (row.kind === "link") return { of: "link", word: str(row.state) };
  if (row.kind === "outcome") return { of: "outcome", word: str(row.state) };
  if (row.kind === "object") return { of: "event", word: str(row.event) };
  if (row.kind === "fault") return { of: "event", word: row.active === false ? "mended" : "broken" };
  return null;
}

/** The object by its title; an interlock by its declared text and what made it act. */
function objectText(row: EventRow, view: Pick<Names, "site">): string {
  const info = (view.site.objects ?? []).find((o) => o.name === row.object);
  const name = info ? tx(info.title) : str(row.object);
  const cause = row.cause as { condition?: unknown; value?: unknown } | null | undefined;
  const seen = cause ? `${str(cause.condition)}${typeof cause.value === "string" ? ` (${cause.value})` : ""}` : "";
  const interlock = typeof row.when === "string" ? tx({ zh: str(row.zh), en: str(row.en) }) : "";
  const change = row.event === "mode" ? `${word("mode", str(row.old))} → ${word("mode", str(row.new))}` : "";
  return [name, interlock, seen, change].filter((x) => x !== "").join(" · ");
}

/** A row in words: `key: value` pairs, or its own text. */
export function eventText(row: EventRow): string {
  if (typeof row.text === "string") return row.text;
  const parts: string[] = [];
  for (const [key, value] of Object.entries(row)) {
    if (key === "utc_ms" || key === "kind" || value === null || value === "" || typeof value === "object") continue;
    parts.push(`${key}: ${String(value)}`);
  }
  return parts.join(" · ");
}
