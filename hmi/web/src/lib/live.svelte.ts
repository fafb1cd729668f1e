// What is true now, as far as this screen knows: samples, alarms, outputs, links, tasks, and whether the feed lives.

import { Feed } from "./feed";
import type { AlarmItem, LinkItem, LiveMessage, ObjectItem, OutputItem, TaskItem, ValueRow } from "./protocol";
import { ABSENT, type Assessed, assess, type LiveSample } from "./quality";

/** One tag's place: a picture that reads it is redrawn when this tag changes, and only then. */
class Cell {
  sample = $state.raw<LiveSample | undefined>(undefined);
}

class OutputCell {
  item = $state.raw<OutputItem | undefined>(undefined);
}

export class Live {
  /** True from the first values of a connection until it ends. */
  connected = $state(false);
  /** Site time (UTC ms) since when values are old; null while connected or before the first connection. */
  lostSince = $state<number | null>(null);
  /** Monotonic time of this screen, moved on twice a second: ages hang on it. */
  now = $state(0);
  /** Site time (UTC ms) moved on every ten seconds: enough for what only asks which day it is. */
  coarse = $state(Date.now());
  alarms = $state.raw<ReadonlyMap<number, AlarmItem>>(new Map());
  links = $state.raw<readonly LinkItem[]>([]);
  tasks = $state.raw<readonly TaskItem[]>([]);
  objects = $state.raw<ReadonlyMap<number, ObjectItem>>(new Map());
  #cells = new Map<number, Cell>();
  #outputs = new Map<number, OutputCell>();
  // Site time minus monotonic time, from the runtime's own clock: a panel with a wrong clock still shows plant time.
  #offset = Date.now() - monotonic();
  #lastMessage = 0;

  /** Site time in UTC ms. */
  get utc(): number {
    return this.now + this.#offset;
  }

  tick(): void {
    this.now = monotonic();
    this.coarse = Math.floor(this.utc / 10_000) * 10_000;
  }

  /**
   * Makes the places of a site's tags before any picture asks for them: a derived value does not follow what was made while
   * it was computed, and would never learn of the first sample.
   */
  prepare(tags: readonly { id: number; writable: unknown }[]): void {
    for (const { id, writable } of tags) {
      this.cell(id);
      if (writable === "output") this.#outputCell(id);
    }
  }

  cell(id: number): Cell {
    let cell = this.#cells.get(id);
    if (!cell) {
      cell = new Cell();
      this.#cells.set(id, cell);
    }
    return cell;
  }

  /** The worth of a tag's value now. */
  assess(id: number | null): Assessed {
    if (id === null) return ABSENT;
    return assess(this.cell(id).sample, this.connected, () => this.now);
  }

  output(id: number): OutputItem | undefined {
    return this.#outputCell(id).item;
  }

  #outputCell(id: number): OutputCell {
    let cell = this.#outputs.get(id);
    if (!cell) {
      cell = new OutputCell();
      this.#outputs.set(id, cell);
    }
    return cell;
  }

  /** Takes one message of the feed; what cannot be read is ignored, the rest of the screen lives on. */
  take(text: string): void {
    let message: LiveMessage;
    try {
      message = JSON.parse(text) as LiveMessage;
    } catch {
      return;
    }
    this.#lastMessage = monotonic();
    if (message.type === "values") this.#takeValues(message.utc_ms, message.values);
    else if (message.type === "alarms") this.alarms = new Map(message.items.map((i) => [i.id, i]));
    else if (message.type === "outputs") for (const item of message.items) this.#outputCell(item.tag).item = item;
    else if (message.type === "objects") this.objects = new Map([...this.objects, ...message.items.map((i) => [i.object, i] as const)]);
    else if (message.type === "links") this.links = message.items;
    else if (message.type === "tasks") this.tasks = message.items;
  }

  #takeValues(utcMs: number, rows: readonly ValueRow[]): void {
    const at = monotonic();
    this.#offset = utcMs - at;
    if (!this.connected) this.tick();
    for (const [id, value, quality, reason, sourceMs, ageMs] of rows) {
      this.cell(id).sample = { value, quality, reason, sourceMs, receivedAt: at - Math.max(0, ageMs) };
    }
    this.connected = true;
    this.lostSince = null;
  }

  /** The feed ended. What is known stays for showing, as old. */
  lose(): void {
    if (this.connected || this.lostSince === null) {
      this.lostSince = (this.#lastMessage || monotonic()) + this.#offset;
    }
    this.connected = false;
  }

  /** Forgets everything: another site, another user. */
  clear(): void {
    this.connected = false;
    this.lostSince = null;
    this.alarms = new Map();
    this.links = [];
    this.tasks = [];
    this.objects = new Map();
    for (const cell of this.#cells.values()) cell.sample = undefined;
    for (const cell of this.#outputs.values()) cell.item = undefined;
  }
}

export function monotonic(): number {
  return performance.now();
}

export const live = new Live();

/** A feed over the browser's WebSocket that fills `live`. */
export function browserFeed(ready: () => Promise<"go" | "wait" | "stop">): Feed {
  return new Feed({
    open: () => {
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      const socket = new WebSocket(`${scheme}://${location.host}/api/live`);
      return socket as unknown as import("./feed").SocketLike;
    },
    ready,
    message: (data) => live.take(data),
    lost: () => live.lose(),
    setTimer: (run, ms) => window.setTimeout(run, ms),
    clearTimer: (id) => window.clearTimeout(id),
    random: Math.random,
  });
}
