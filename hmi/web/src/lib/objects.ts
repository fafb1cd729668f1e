// Controlled objects on a screen: what may be selected and why not, and the words for what stands in the way.

import type { ObjectCause, ObjectInfo, ObjectItem, OutputItem, Role, TagInfo, Value } from "./protocol";

const RANK: Record<Role, number> = { viewer: 0, operator: 1, engineer: 2 };

/** Why a person cannot select a mode now; null where they can. Words are keys of the dictionaries. */
export type Refusal = "role" | "locked" | "local" | "permissive" | "same";

export function refusal(info: ObjectInfo, item: ObjectItem, mode: string, role: Role | undefined): Refusal | null {
  if (item.selected === mode) return "same";
  if (item.lock) return "locked";
  if (item.mode === "local") return "local";
  const least = info.modes.find((m) => m.mode === mode)?.role ?? "engineer";
  if (RANK[role ?? "viewer"] < RANK[least]) return "role";
  if (item.selected === "off" && mode !== "off" && item.permissives.some((p) => p.met !== true)) return "permissive";
  return null;
}

/** May this person take the lock away? The one who set it, or an engineer. */
export function mayUnlock(item: ObjectItem, user: { user: string; role: Role } | null): boolean {
  return item.lock !== null && user !== null && (item.lock.who === user.user || user.role === "engineer");
}

/**
 * The comparison with the value it saw: `aer/b1/vibration 7.4 mm/s > 7.1`. `needs`: the word between the value and a
 * comparison that did not hold, `tank/level 3.1 %, needs > 4 %`; otherwise it would read as if it held.
 */
export function causeText(
  cause: ObjectCause,
  tag: TagInfo | null,
  show: (tag: TagInfo, value: Value) => string,
  unit: (text: string) => string,
  needs = " ",
): string {
  const path = tag?.path ?? "";
  if (tag === null || cause.value === null || !cause.text.startsWith(path)) return cause.text;
  const rest = cause.text.slice(path.length).trim();
  const value = `${show(tag, cause.value)}${tag.states.length > 0 ? "" : ` ${unit(tag.unit)}`}`.trim();
  return rest === "" ? `${path} = ${value}` : `${path} ${value}${needs}${rest}`;
}

/** Why an output is not driven by its program; null where it is. */
export type OffAutoMode = "manual" | "fallback" | "lock" | "local" | "interlock" | "off";

export function offAutoMode(item: OutputItem): OffAutoMode | null {
  const holder = item.holder ?? "";
  for (const word of ["lock", "local", "interlock", "off"] as const) if (holder.startsWith(`${word} `)) return word;
  if (item.manual) return "manual";
  return item.fallback ? "fallback" : null;
}
