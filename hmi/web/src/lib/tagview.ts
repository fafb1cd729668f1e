// What every picture of a tag needs, from its path: figures, unit, quality in words, age.

import { app } from "./app.svelte";
import { formatAge, formatAgeShort, formatUnit, formatValue } from "./format";
import { t, tx, word } from "./i18n";
import { live } from "./live.svelte";
import { prefs } from "./prefs.svelte";
import type { AlarmInfo, TagInfo } from "./protocol";
import { ABSENT, type Assessed, usableNumber } from "./quality";

export interface TagView {
  tag: TagInfo | null;
  path: string;
  title: string;
  assessed: Assessed;
  /** How it is drawn: the worth, or `quiet` for a computed quantity that has no value yet and need not have one. */
  look: Assessed["worth"] | "quiet";
  text: string;
  unit: string;
  /** Usable number, or null. */
  number: number | null;
  /** Reason in words; empty when good. */
  reason: string;
  /** Reason and age, short, for beside the figure; empty when good. */
  note: string;
}

/** The present view of a tag; reactive: call it inside a derived value. */
export function tagView(path: string | null | undefined): TagView {
  const tag = app.view?.tag(path) ?? null;
  const assessed = tag ? live.assess(tag.id) : ABSENT;
  // A device that never answered is abnormal; a rate of the day before anything happened is not.
  const quiet = assessed.worth === "absent" && assessed.reason === "never-received" && tag?.source === "system";
  const reason = assessed.worth === "good" ? "" : quiet ? t("reason.none-yet") : word("reason", assessed.reason);
  const aged = assessed.worth !== "good" && assessed.worth !== "uncertain" && assessed.worth !== "absent";
  const age = aged && assessed.ageMs !== null ? formatAgeShort(assessed.ageMs) : "";
  return {
    tag,
    path: path ?? "",
    title: tag ? tx(tag.title) : (path ?? ""),
    assessed,
    look: quiet ? "quiet" : assessed.worth,
    text: tag ? formatValue(tag, assessed.value, prefs.lang) : "—",
    unit: tag && typeof assessed.value !== "boolean" && tag.states.length === 0 ? formatUnit(tag.unit, prefs.lang) : "",
    number: usableNumber(assessed),
    reason,
    // While the feed is down the banner gives the reason once for the whole screen.
    note: assessed.worth === "lost" ? (age === "" ? "" : t("note.old", { age })) : [reason, age].filter((s) => s !== "").join(" "),
  };
}

/** Everything known about a tag's sample in words: for tooltips. */
export function tagTooltip(v: TagView): string {
  const lines = [v.title, v.path];
  if (v.reason !== "") lines.push(v.reason);
  if (v.note !== "" && v.assessed.ageMs !== null) lines.push(`${t("age")} ${formatAge(v.assessed.ageMs)}`);
  return lines.join("\n");
}

/** The span in which no declared alarm of the tag would stand, within its range. */
export function normalBand(tag: TagInfo, alarms: readonly AlarmInfo[]): [number, number] | null {
  if (!tag.range) return null;
  let [low, high] = tag.range;
  let found = false;
  for (const alarm of alarms) {
    if (alarm.tag !== tag.id || alarm.limit === null) continue;
    if (alarm.kind === "above" && alarm.limit < high) [high, found] = [alarm.limit, true];
    if (alarm.kind === "below" && alarm.limit > low) [low, found] = [alarm.limit, true];
  }
  return found && low < high ? [low, high] : null;
}
