// What an operator should know of the configuration that runs: it is not the one that a person last put in force, or is
// still being watched.

import type { Assessed } from "./quality";

/** The tags that the runtime publishes of its configuration. */
export const CONFIG_TAGS = {
  number: "sys/config/number",
  probation: "sys/config/probation_s",
  wentBack: "sys/config/went_back",
  folderUnused: "sys/config/folder_unused",
} as const;

export type ConfigNote = { kind: "wentBack" | "folderUnused" | "probation"; number: number; seconds: number };

/**
 * The one thing to tell, the gravest first; null where a person's configuration runs unwatched, or nothing is known. A tag
 * without a current value says nothing: the banner of the lost connection speaks then.
 */
export function configNote(of: (path: string) => Assessed): ConfigNote | null {
  const value = (path: string): unknown => {
    const assessed = of(path);
    return assessed.worth === "good" ? assessed.value : null;
  };
  const number = Number(value(CONFIG_TAGS.number) ?? 0);
  const seconds = Number(value(CONFIG_TAGS.probation) ?? 0);
  if (value(CONFIG_TAGS.wentBack) === true) return { kind: "wentBack", number, seconds };
  if (value(CONFIG_TAGS.folderUnused) === true) return { kind: "folderUnused", number, seconds };
  return seconds > 0 ? { kind: "probation", number, seconds } : null;
}
