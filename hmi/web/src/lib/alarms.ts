// Order, counts and paging of alarms. Pure functions over what the live feed holds.

import type { AlarmInfo, AlarmItem, PriorityWord } from "./protocol";

/** From the most to the least urgent; the number shown beside the shape is the index plus one. */
export const PRIORITIES: readonly PriorityWord[] = ["critical", "high", "medium", "low"];

export function priorityNumber(priority: PriorityWord): number {
  return PRIORITIES.indexOf(priority) + 1;
}

export interface AlarmRow {
  info: AlarmInfo;
  item: AlarmItem;
}

export function needsAcknowledge(item: AlarmItem): boolean {
  return item.state === "active" || item.state === "returned";
}

/** True while the alarm belongs in the list: the condition is there, or nobody has acknowledged that it was. */
export function isStanding(item: AlarmItem): boolean {
  return item.state !== "normal";
}

const STATE_RANK: Record<AlarmItem["state"], number> = { active: 0, returned: 1, acknowledged: 2, normal: 3 };

/**
 * The order of the list: what nobody has acknowledged first, active before returned, then by priority, then the newest
 * first; the id decides the rest so that the order never flickers.
 */
export function compareAlarms(a: AlarmRow, b: AlarmRow): number {
  return (
    STATE_RANK[a.item.state] - STATE_RANK[b.item.state] ||
    priorityNumber(a.info.priority) - priorityNumber(b.info.priority) ||
    (b.item.raised_ms ?? 0) - (a.item.raised_ms ?? 0) ||
    a.info.id - b.info.id
  );
}

export interface AlarmCount {
  priority: PriorityWord;
  standing: number;
  unacknowledged: number;
}

/** Per priority, most urgent first, zeros included: a missing counter would read as a missing alarm system. */
export function countAlarms(rows: Iterable<AlarmRow>): AlarmCount[] {
  const counts = PRIORITIES.map((priority) => ({ priority, standing: 0, unacknowledged: 0 }));
  for (const { info, item } of rows) {
    const count = counts[PRIORITIES.indexOf(info.priority)];
    if (!count || !isStanding(item)) continue;
    count.standing += 1;
    if (needsAcknowledge(item)) count.unacknowledged += 1;
  }
  return counts;
}

/** The alarm for the line at the top: the newest unacknowledged one of the most urgent priority present. */
export function newestUnacknowledged(rows: Iterable<AlarmRow>): AlarmRow | null {
  let best: AlarmRow | null = null;
  for (const row of rows) {
    if (!needsAcknowledge(row.item)) continue;
    if (best === null || isMoreUrgent(row, best)) best = row;
  }
  return best;
}

function isMoreUrgent(a: AlarmRow, b: AlarmRow): boolean {
  const byPriority = priorityNumber(a.info.priority) - priorityNumber(b.info.priority);
  if (byPriority !== 0) return byPriority < 0;
  return (a.item.raised_ms ?? 0) > (b.item.raised_ms ?? 0);
}

/**
 * A list that stays still: the ids frozen when the reader last asked, in that order. What was raised since is counted,
 * never inserted under the reader's finger.
 */
export class StillList {
  #ids: number[] = [];

  get ids(): readonly number[] {
    return this.#ids;
  }

  /** Takes the present order. */
  refresh(rows: readonly AlarmRow[]): void {
    this.#ids = rows.map((r) => r.info.id);
  }

  /** Ids that stand now and are not in the list yet. */
  fresh(rows: readonly AlarmRow[]): number[] {
    const known = new Set(this.#ids);
    return rows.map((r) => r.info.id).filter((id) => !known.has(id));
  }
}

/** One page of a list, with the page number brought into range. */
export function pageOf<T>(items: readonly T[], page: number, size: number): { items: T[]; page: number; pages: number } {
  const pages = Math.max(1, Math.ceil(items.length / size));
  const at = Math.min(Math.max(0, page), pages - 1);
  return { items: items.slice(at * size, (at + 1) * size), page: at, pages };
}
