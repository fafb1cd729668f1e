// Requests to the runtime. Every refusal arrives as an ApiError with words in both languages.

import type { Summary } from "./energy";
import type { ActionRow, EventRow, HistorySeries, Site, SystemView, User, Value, Why, Writes } from "./protocol";

export class ApiError extends Error {
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  readonly words: { zh: string; en: string };

  constructor(status: number, words: { zh: string; en: string }) {
    super(words.en);
    this.status = status;
    this.words = words;
  }
}

/** Longest time an answer may take: a year of sixteen pens is read in well under that. */
const ANSWER_MS_MAX = 20_000;

let onUnauthorised: () => void = () => undefined;

/** Called with every 401 outside the login itself. */
export function whenUnauthorised(handler: () => void): void {
  onUnauthorised = handler;
}

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      credentials: "same-origin",
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
      ...init,
    });
  } catch {
    throw new ApiError(0, { zh: "运行系统没有应答", en: "the runtime does not answer" });
  }
  if (response.ok) return response;
  const words = await readError(response);
  if (response.status === 401 && path !== "/api/login") onUnauthorised();
  throw new ApiError(response.status, words);
}

async function readError(response: Response): Promise<{ zh: string; en: string }> {
  const fallback = { zh: `请求失败（${response.status}）`, en: `the request failed (${response.status})` };
  try {
    const body = (await response.json()) as { error?: { zh?: string; en?: string } };
    return { zh: body.error?.zh ?? fallback.zh, en: body.error?.en ?? fallback.en };
  } catch {
    return fallback;
  }
}

async function get<T>(path: string): Promise<T> {
  return (await (await request(path)).json()) as T;
}

async function post<T>(path: string, body: unknown = {}): Promise<T> {
  const response = await request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return (text === "" ? {} : JSON.parse(text)) as T;
}

export interface ClaimAnswer {
  tag: string;
  old: Value | null;
  new: Value | null;
}

export const api = {
  login: (user: string, password: string) => post<User>("/api/login", { user, password }),
  logout: () => post<unknown>("/api/logout"),
  me: () => get<User>("/api/me"),
  site: () => get<Site>("/api/site"),
  mimic: async (name: string): Promise<string> => (await request(`/api/mimic/${encodeURIComponent(name)}`)).text(),
  history: async (tags: readonly string[], from: number, to: number, points: number): Promise<HistorySeries[]> => {
    if (tags.length === 0) return [];
    const list = tags.map(encodeURIComponent).join(",");
    const span = `from=${Math.floor(from)}&to=${Math.ceil(to)}&points=${Math.max(2, Math.round(points))}`;
    return (await get<{ series: HistorySeries[] }>(`/api/history?tags=${list}&${span}`)).series;
  },
  /** `leaseS`: how long an output is held by hand; null for the site's own time, 0 for no end. */
  setValue: (tag: string, value: Value, leaseS: number | null = null) =>
    post<ClaimAnswer>("/api/claim", { tag, value, confirm: true, ...(leaseS === null ? {} : { lease_s: leaseS }) }),
  setMode: (object: string, mode: string, leaseS: number | null) =>
    post<unknown>("/api/objects/mode", { object, mode, confirm: true, ...(leaseS === null ? {} : { lease_s: leaseS }) }),
  lock: (object: string, reason: string) => post<unknown>("/api/objects/lock", { object, reason, confirm: true }),
  unlock: (object: string) => post<unknown>("/api/objects/unlock", { object, confirm: true }),
  resetInterlocks: (object: string) => post<unknown>("/api/objects/reset", { object, confirm: true }),
  release: (tag: string) => post<ClaimAnswer>("/api/claim", { tag, release: true }),
  acknowledge: (ids: readonly number[]) => post<{ acknowledged: number[] }>("/api/alarms/ack", { ids }),
  events: (from: number, to: number, limit: number, kind = "") =>
    get<EventRow[]>(
      `/api/events?from=${Math.floor(from)}&to=${Math.ceil(to)}&limit=${limit}${kind === "" ? "" : `&kind=${kind}`}`,
    ),
  writes: (tag: string) => get<Writes>(`/api/writes?tag=${encodeURIComponent(tag)}`),
  why: (tag: string) => get<Why>(`/api/why/${tag.split("/").map(encodeURIComponent).join("/")}`),
  actions: (limit: number) => get<ActionRow[]>(`/api/actions?limit=${limit}`),
  energy: (from: number, to: number) => get<Summary>(`/api/energy?from=${Math.floor(from)}&to=${Math.ceil(to)}`),
  system: () => get<SystemView>("/api/system"),
  resetTask: (id: number) => post<unknown>(`/api/tasks/${id}/reset`),
};
