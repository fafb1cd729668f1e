// The session, the site and what is open on this screen.

import { type AlarmRow, compareAlarms, isStanding } from "./alarms";
import { api, ApiError, whenUnauthorised } from "./api";
import type { Feed } from "./feed";
import { browserFeed, live } from "./live.svelte";
import { type OffAutoMode, offAutoMode } from "./objects";
import { allLoops, type Loop, type Pages, readPages } from "./pages";
import type { AlarmInfo, DeviceInfo, ObjectInfo, OutputItem, Site, TagInfo, TaskInfo, User } from "./protocol";

export interface OffAuto {
  tag: TagInfo;
  item: OutputItem;
  mode: OffAutoMode;
}

export class SiteView {
  readonly site: Site;
  readonly pages: Pages;
  readonly pageProblems: string[];
  readonly loops: Loop[];
  readonly outputs: TagInfo[];
  readonly #byPath: Map<string, TagInfo>;
  readonly #byId: Map<number, TagInfo>;
  readonly #alarms: Map<number, AlarmInfo>;
  readonly #devices: Map<number, DeviceInfo>;
  readonly #tasks: Map<number, TaskInfo>;

  constructor(site: Site) {
    this.site = site;
    const read = readPages(site.pages);
    this.pages = read.pages;
    this.pageProblems = read.problems;
    this.loops = allLoops(read.pages);
    this.outputs = site.tags.filter((t) => t.writable === "output");
    this.#byPath = new Map(site.tags.map((t) => [t.path, t]));
    this.#byId = new Map(site.tags.map((t) => [t.id, t]));
    this.#alarms = new Map(site.alarms.map((a) => [a.id, a]));
    this.#devices = new Map(site.devices.map((d) => [d.id, d]));
    this.#tasks = new Map(site.tasks.map((t) => [t.id, t]));
  }

  tag(path: string | null | undefined): TagInfo | null {
    return path ? (this.#byPath.get(path) ?? null) : null;
  }

  tagById(id: number): TagInfo | null {
    return this.#byId.get(id) ?? null;
  }

  alarm(id: number): AlarmInfo | null {
    return this.#alarms.get(id) ?? null;
  }

  device(id: number): DeviceInfo | null {
    return this.#devices.get(id) ?? null;
  }

  task(id: number): TaskInfo | null {
    return this.#tasks.get(id) ?? null;
  }

  /** The controlled object that an output belongs to, with its number; or the one whose mode tag or feedback it is. */
  object(tag: TagInfo | null): { number: number; info: ObjectInfo } | null {
    if (!tag) return null;
    const objects = this.site.objects ?? [];
    const of = (own: (o: ObjectInfo) => boolean): number => objects.findIndex(own);
    let number = of((o) => o.mode_tag === tag.id || o.outputs.some((out) => out.tag === tag.id));
    if (number < 0) number = of((o) => o.outputs.some((out) => out.feedback === tag.id));
    const info = objects[number];
    return info ? { number, info } : null;
  }

  /** The loop a tag takes part in, if the pages declare one. */
  loop(path: string): Loop | null {
    return (
      this.loops.find((l) => l.pv === path) ?? this.loops.find((l) => l.sp === path || l.out === path) ?? null
    );
  }
}

type Phase = "starting" | "login" | "loading" | "ready" | "failed";

class App {
  phase = $state<Phase>("starting");
  user = $state.raw<User | null>(null);
  view = $state.raw<SiteView | null>(null);
  failure = $state.raw<{ zh: string; en: string } | null>(null);
  /** True when a session ended under the reader: said on the login page. */
  expired = $state(false);
  faceplate = $state<string | null>(null);
  search = $state(false);
  #feed: Feed | null = null;

  readonly alarmRows = $derived.by<AlarmRow[]>(() => {
    const view = this.view;
    if (!view) return [];
    const rows: AlarmRow[] = [];
    for (const item of live.alarms.values()) {
      const info = view.alarm(item.id);
      if (info && isStanding(item)) rows.push({ info, item });
    }
    return rows.sort(compareAlarms);
  });

  /** Outputs that their program does not drive now: by hand, in their declared fallback, off, locked, tripped. */
  readonly offAuto = $derived.by<OffAuto[]>(() => {
    if (!this.view || !live.connected) return [];
    return this.view.outputs.flatMap<OffAuto>((tag) => {
      const item = live.output(tag.id);
      if (!item) return [];
      const mode = offAutoMode(item);
      return mode ? [{ tag, item, mode }] : [];
    });
  });

  /** Acknowledge, enter, drive by hand. */
  get canOperate(): boolean {
    return this.user?.role === "operator" || this.user?.role === "engineer";
  }

  get isEngineer(): boolean {
    return this.user?.role === "engineer";
  }

  /** May this user write that tag? Without a live connection nobody writes: what one would change is not known. */
  mayWrite(tag: TagInfo): boolean {
    if (tag.writable === null || !live.connected) return false;
    return tag.role === "engineer" ? this.isEngineer : this.canOperate;
  }

  async start(): Promise<void> {
    whenUnauthorised(() => this.#sessionEnded());
    try {
      this.user = await api.me();
      await this.#load();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.phase = "login";
      else this.#fail(error);
    }
  }

  async login(name: string, password: string): Promise<void> {
    this.user = await api.login(name, password);
    this.expired = false;
    await this.#load();
  }

  async logout(): Promise<void> {
    try {
      await api.logout();
    } catch {
      // A session that is gone already is what was wanted.
    }
    this.#feed?.stop();
    live.clear();
    this.user = null;
    this.expired = false;
    this.faceplate = null;
    this.phase = "login";
  }

  retryNow(): void {
    this.#feed?.retryNow();
  }

  async #load(): Promise<void> {
    this.phase = "loading";
    try {
      const view = new SiteView(await api.site());
      live.prepare(view.site.tags);
      this.view = view;
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return;
      this.#fail(error);
      return;
    }
    this.phase = "ready";
    this.#feed ??= browserFeed(() => this.#mayReconnect());
    this.#feed.stop();
    this.#feed.start();
  }

  // Before each new try: is the session still good, and is it still the same site? Another configuration numbers its
  // tags anew, so this page must not go on with the old numbers.
  async #mayReconnect(): Promise<"go" | "wait" | "stop"> {
    try {
      const site = await api.site();
      const known = this.view?.site;
      if (known && (site.config_hash !== known.config_hash || site.version !== known.version)) {
        location.reload();
        return "stop";
      }
      return "go";
    } catch (error) {
      return error instanceof ApiError && error.status === 401 ? "stop" : "wait";
    }
  }

  #sessionEnded(): void {
    if (this.phase === "login" || this.phase === "starting") return;
    this.#feed?.stop();
    live.clear();
    this.expired = true;
    this.user = null;
    this.phase = "login";
  }

  #fail(error: unknown): void {
    this.failure = error instanceof ApiError ? error.words : { zh: String(error), en: String(error) };
    this.phase = "failed";
  }
}

export const app = new App();
