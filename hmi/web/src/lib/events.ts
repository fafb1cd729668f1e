// Rows of the journal as a person reads them. The body of a row is the writer's own; what is not known is shown raw.

import type { SiteView } from "./app.svelte";
import type { AlarmInfo, EventRow } from "./protocol";

export interface AlarmEventRow {
  info: AlarmInfo;
  state: string;
  by: string | null;
  value: number | boolean | string | null;
}

/** The alarm a journal row speaks of, by number or by name; null when it is none of this site's alarms. */
export function eventAlarm(row: EventRow, view: Pick<SiteView, "alarm" | "site">): AlarmEventRow | null {
  if (row.kind !== "alarm") return null;
  const key = row.alarm ?? row.name ?? row.id;
  // The name outlives a change of configuration, the number does not: it is looked at first.
  const info =
    typeof key === "string" ? view.site.alarms.find((a) => a.name === key) : typeof key === "number" ? view.alarm(key) : null;
  if (!info) return null;
  const value = row.value;
  return {
    info,
    state: typeof row.state === "string" ? row.state : "",
    by: typeof row.by === "string" ? row.by : null,
    value: typeof value === "number" || typeof value === "boolean" || typeof value === "string" ? value : null,
  };
}

/** The rest of a row in words: `key: value` pairs, texts first. */
export function eventText(row: EventRow): string {
  if (typeof row.text === "string") return row.text;
  const parts: string[] = [];
  for (const [key, value] of Object.entries(row)) {
    if (key === "utc_ms" || key === "kind" || value === null || value === "" || typeof value === "object") continue;
    parts.push(key === "message" || key === "part" ? String(value) : `${key}: ${String(value)}`);
  }
  return parts.join(" · ");
}
