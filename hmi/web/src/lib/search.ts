// Search over pages, tags and alarms: every word typed must occur; whole beginnings rank before middles.

import type { Lang } from "./format";
import type { AlarmInfo, TagInfo } from "./protocol";

export interface Found {
  kind: "page" | "tag" | "alarm";
  key: string;
  title: string;
}

export interface SearchIn {
  lang: Lang;
  pages: readonly { key: string; title: string }[];
  tags: readonly TagInfo[];
  alarms: readonly AlarmInfo[];
}

/** More rows than this are not read, they are searched again. */
export const RESULTS_MAX = 40;

/** Smaller is better; null does not match. */
export function rank(words: readonly string[], fields: readonly string[]): number | null {
  const texts = fields.map((f) => f.toLowerCase());
  let score = 0;
  for (const word of words) {
    let best: number | null = null;
    texts.forEach((text, i) => {
      const at = text.indexOf(word);
      if (at < 0) return;
      const startsWord = at === 0 || /[\s/_.-]/.test(text[at - 1] ?? "");
      const cost = (startsWord ? 0 : 4) + i + Math.min(3, text.length / 40);
      if (best === null || cost < best) best = cost;
    });
    if (best === null) return null;
    score += best;
  }
  return score;
}

export function search(query: string, source: SearchIn): Found[] {
  const words = query.toLowerCase().split(/\s+/).filter((w) => w !== "");
  const pages: Found[] = source.pages.map((p) => ({ kind: "page", key: p.key, title: p.title }));
  if (words.length === 0) return pages;
  const scored: { found: Found; score: number }[] = [];
  const add = (found: Found, fields: string[], handicap: number): void => {
    const score = rank(words, fields);
    if (score !== null) scored.push({ found, score: score + handicap });
  };
  for (const page of pages) add(page, [page.title], 0);
  const lang = source.lang;
  for (const tag of source.tags) {
    const system = tag.source === "system" ? 3 : 0;
    add({ kind: "tag", key: tag.path, title: tag.title[lang] }, [tag.path, tag.title.zh, tag.title.en], 0.5 + system);
  }
  for (const alarm of source.alarms) {
    add({ kind: "alarm", key: String(alarm.id), title: alarm.title[lang] }, [alarm.title.zh, alarm.title.en, alarm.name], 1.5);
  }
  scored.sort((a, b) => a.score - b.score || a.found.key.localeCompare(b.found.key));
  return scored.slice(0, RESULTS_MAX).map((s) => s.found);
}
