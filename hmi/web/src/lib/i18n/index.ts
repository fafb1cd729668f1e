// Words in two languages. A key missing in either is a compile error, and a test compares the placeholders too.

import { prefs } from "../prefs.svelte";
import type { Text } from "../protocol";
import { en } from "./en";
import { zh } from "./zh";

export type Key = keyof typeof zh;

const DICTIONARIES: Record<"zh" | "en", Record<Key, string>> = { zh, en };

/** The words of a key in the present language, with `{name}` replaced. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return DICTIONARIES[prefs.lang][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** A site's text in the present language; one language given stands for both. */
export function tx(text: Text | null | undefined): string {
  if (!text) return "";
  return text[prefs.lang] || text.zh || text.en;
}

/** The words of a key that is put together at run time, or the raw word when the runtime is newer than this screen. */
export function word(prefix: "mode" | "badge" | "reason" | "priority" | "state" | "link" | "kind" | "role" | "cond" | "fallback" | "source" | "rank" | "outcome" | "event" | "issue" | "bound" | "drop" | "happened" | "claim", name: string): string {
  const key = `${prefix}.${name}`;
  return key in zh ? t(key as Key) : name;
}

const LINK_REASONS: [RegExp, Key][] = [
  [/nothing listens|connection ?refused/i, "fail.refused"],
  [/closed the connection|connection reset|broken pipe/i, "fail.closed"],
  [/behind the gateway|no path to this unit/i, "fail.gateway"],
  [/checksum|answered in its place|no answer:|of an answer|question c(omes|ame) back|chatters/i, "fail.damaged"],
  [/no answer|timed? ?out|did not answer/i, "fail.silent"],
  [/unreachable|no route/i, "fail.unreachable"],
  [/certificate|security/i, "fail.security"],
  [/user|password|identity|access denied/i, "fail.login"],
];

/** Why a link is down, in the reader's language where the cause is a known one; else the driver's own words. */
export function linkReason(text: string): string {
  const known = LINK_REASONS.find(([pattern]) => pattern.test(text));
  return known ? t(known[1]) : text;
}

/** A program's bad input, `name: bad(link)`, as a person reads it. */
export function inputReason(text: string): string {
  return text.replace(/\b(bad|uncertain)\((\w[\w-]*)\)/g, (_whole, rank: string, reason: string) => `${word("rank", rank)} (${word("reason", reason)})`);
}

/** Who stands behind a claim or a command: the runtime's own words (`user anna`, `fallback on link`) in the present language. */
export function origin(text: string): string {
  if (text.startsWith("user ")) return text.slice(5);
  if (text.startsWith("lock ")) return t("origin.lock", { name: text.slice(5) });
  if (text.startsWith("off ")) return t("origin.off");
  if (text.startsWith("local ")) return t("origin.local");
  if (text.startsWith("interlock ")) return t("origin.interlock");
  if (text === "retained") return t("origin.retained");
  if (text.startsWith("program ")) return t("origin.program", { name: text.slice(8) });
  if (text.startsWith("remote ")) return t("origin.remote", { name: text.slice(7) });
  if (text.startsWith("fallback on ")) return t("origin.fallback", { cause: word("fallback", text.slice(12)) });
  return text;
}
