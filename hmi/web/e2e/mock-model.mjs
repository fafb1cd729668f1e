// The animated data behind the stand-in server: every value is a function of tag and time, so that history and present
// agree. Names of the first site appear here and only here, to make its pictures plausible.

import { Objects, holdJson } from "./mock-objects.mjs";
import { Writes } from "./mock-writes.mjs";

const DAY = 86_400_000;
const clamp = (x, lo, hi) => Math.min(hi, Math.max(lo, x));

function hash(text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; i += 1) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return (h >>> 0) / 4294967296;
}

// Smooth noise: between hashed knots every `step` ms.
function noise(path, t, step) {
  const k = Math.floor(t / step);
  const f = (t - k * step) / step;
  const a = hash(`${path}:${k}`) - 0.5;
  const b = hash(`${path}:${k + 1}`) - 0.5;
  return a + (b - a) * f * f * (3 - 2 * f);
}

const daily = (t, hour, width) => {
  const h = (((t / 3_600_000 + 8) % 24) + 24) % 24;
  const d = Math.min(Math.abs(h - hour), 24 - Math.abs(h - hour));
  return Math.exp(-(d * d) / (2 * width * width));
};

// centre, swing by day, noise; the first pattern that fits decides.
const SHAPES = [
  [/\/do$/, (t, p) => 2 + 0.35 * noise(p, t, 240_000) + 0.1 * noise(p, t, 20_000)],
  [/do_sp$/, (t) => 1.9 + 0.3 * daily(t, 13, 4)],
  [/nh4_sp$/, () => 2],
  [/^eff\/nh4$/, (t, p) => 1.8 + 0.9 * daily(t, 14, 3) + 0.4 * noise(p, t, 1_800_000)],
  [/z5\/nh4$/, (t, p) => 2.1 + 1.2 * daily(t, 12, 3) + 0.5 * noise(p, t, 900_000)],
  [/^inf\/nh4$/, (t, p) => 28 + 9 * daily(t, 11, 4) + 2 * noise(p, t, 600_000)],
  [/^inf\/cod$/, (t, p) => 340 + 90 * daily(t, 11, 4) + 30 * noise(p, t, 600_000)],
  [/^(inf|eff)\/flow$/, (t, p) => 640 + 260 * daily(t, p.startsWith("inf") ? 11 : 12.5, 4) + 30 * noise(p, t, 300_000)],
  [/^eff\/cod$/, (t, p) => 31 + 5 * noise(p, t, 3_600_000)],
  [/^eff\/tn$/, (t, p) => 10.4 + 2.2 * noise(p, t, 3_600_000)],
  [/^eff\/tss$/, (t, p) => 6 + 2 * noise(p, t, 3_600_000)],
  [/^eff\/ph$/, (t, p) => 7.1 + 0.2 * noise(p, t, 3_600_000)],
  [/tp\/out$/, (t, p) => 0.24 + 0.1 * noise(p, t, 3_600_000)],
  [/po4\/in$/, (t, p) => 2.4 + 0.8 * noise(p, t, 3_600_000)],
  [/po4\/out$/, (t, p) => 0.22 + 0.1 * noise(p, t, 1_200_000)],
  [/cl2\/residual$/, (t, p) => 0.5 + 0.15 * noise(p, t, 1_200_000)],
  [/no3$/, (t, p) => 1.1 + 0.5 * noise(p, t, 900_000)],
  [/header\/pressure$/, (t, p) => 55 + 1.2 * noise(p, t, 30_000)],
  [/z\d\/air$/, (t, p) => 1150 + 350 * daily(t, 13, 4) + 220 * noise(p, t, 240_000)],
  [/valve\/(pos|cmd)$/, (t, p) => 48 + 14 * daily(t, 13, 4) + 10 * noise(p.slice(0, 6), t, 240_000)],
  [/b3\/(speed|power)$/, () => 0],
  [/b\d\/speed/, (t, p) => 72 + 10 * daily(t, 13, 4) + 3 * noise(p, t, 60_000)],
  [/b\d\/power$/, (t, p) => 44 + 14 * daily(t, 13, 4) + 2 * noise(p, t, 60_000)],
  [/^(met\/pv\/power|pv\/power)$/, (t) => Math.max(0, 510 * daily(t, 12.6, 2.6) - 8) * (0.86 + 0.28 * noise("cloud", t, 420_000))],
  [/^pv\/irradiance$/, (t) => Math.max(0, 860 * daily(t, 12.6, 2.6) - 12)],
  [/^met\/blowers\/power$/, (t, p) => 92 + 26 * daily(t, 13, 4) + 3 * noise(p, t, 60_000)],
  [/^met\/pumps\/power$/, (t, p) => 74 + 20 * daily(t, 11, 4) + 2 * noise(p, t, 60_000)],
  [/^(met\/heat_pump\/power|hp\/power)$/, (t) => (daily(t, 12.5, 1.6) > 0.35 ? 118 + 6 * noise("hp", t, 60_000) : 3.1)],
  [/^met\/aux\/power$/, (t, p) => 31 + 4 * noise(p, t, 600_000)],
  [/^hp\/tank\/temp$/, (t, p) => 47 + 3 * noise(p, t, 5_400_000)],
  [/^hp\/tank_sp$/, () => 48],
  [/level$/, (t, p) => 62 + 20 * noise(p, t, 20 * 3_600_000)],
  [/ras\/flow$/, (t, p) => 760 + 20 * noise(p, t, 300_000)],
  [/recycle\/(flow|cmd)$/, (t, p) => 1540 + 60 * noise(p, t, 300_000)],
  [/blanket$/, (t, p) => 0.9 + 0.3 * noise(p, t, 3_600_000)],
  [/\/freq$/, (t, p) => 50 + 0.06 * noise(p, t, 5_000)],
  [/\/voltage$/, (t, p) => 398 + 5 * noise(p, t, 60_000)],
  [/\/pf$/, () => 0.94],
  [/^energy\/self_use$/, () => 94.6],
  [/^energy\/demand/, (t, p) => 240 + 60 * noise(p, t, 900_000)],
  [/^energy\/kwh_per_m3/, (t, p) => 0.286 + 0.02 * noise(p, t, 3_600_000)],
  [/^carbon\/kg_per_m3/, (t, p) => 0.163 + 0.01 * noise(p, t, 3_600_000)],
  [/^energy\/tariff\/price/, () => 0.66],
  [/^sys\/.*\/jitter_us$/, (t, p) => 60 + 30 * noise(p, t, 3_000)],
  [/^sys\/.*\/poll_age_ms$/, (t, p) => 420 + 300 * noise(p, t, 3_000)],
];

const LEDGER = [
  ["energy/self_use", "今日光伏自用率", "Self-consumption rate today", "%", 1, [0, 100]],
  ["energy/kwh_per_m3", "今日吨水电耗", "Consumption per treated water today", "kWh/m3", 3, null],
  ["energy/demand_kw", "15分钟滑差需量", "Sliding quarter-hour demand", "kW", 1, [0, 2000]],
  ["energy/demand/projected_kw", "本刻钟预计需量", "Demand expected of this quarter-hour", "kW", 1, [0, 2000]],
  ["energy/tariff/price", "当前电价", "Price now", "CNY/kWh", 4, null],
  ["carbon/kg_per_m3", "今日吨水碳排放", "Emission per treated water today", "kg CO2e/m3", 3, null],
];

const isText = (x) => typeof x === "object" && x !== null && "zh" in x;
const title = (x, other) => (isText(x) ? { zh: x.zh, en: x.en } : { zh: String(x ?? other), en: String(x ?? other) });

export class Model {
  constructor(source) {
    this.source = source;
    this.down = new Set();
    this.uncertain = new Set();
    this.stale = new Map();
    this.raised = new Set();
    this.entries = new Map();
    this.manual = new Map();
    this.writes = new Writes();
    /** Who holds an output by hand, and until when where it belongs to no object. */
    this.hands = new Map();
    this.silent = false;
    this.long = false;
    this.dropped = false;
    this.faulted = null;
    this.config = { number: 12, probation_s: 0, went_back: false, folder_unused: false };
    this.started = Date.now();
    this.onEvent = () => undefined;
    this.devices = source.devices.map((d, id) => ({
      id,
      name: d.device,
      title: title(d.title, d.device),
      driver: d.driver ?? "modbus-tcp",
      address: String(d.address ?? d.endpoint ?? ""),
    }));
    this.tasks = Object.entries(source.site.tasks ?? {}).map(([name, period], id) => ({ id, name, period_ms: parseMs(period) }));
    this.tags = [];
    this.#readTags();
    this.byPath = new Map(this.tags.map((t) => [t.path, t]));
    this.objects = new Objects(this, source.objects ?? []);
    this.alarms = (source.alarms ?? []).map((a, id) => ({
      id,
      name: a.alarm,
      tag: this.byPath.get(a.tag)?.id ?? 0,
      priority: a.priority ?? "low",
      title: title(a.title, a.alarm),
      cause: title(a.cause, ""),
      consequence: title(a.consequence, ""),
      response: title(a.response, ""),
      kind: ["above", "below", "equals"].find((k) => k in a) ?? "bad",
      limit: a.above ?? a.below ?? (a.equals === undefined ? null : Number(a.equals)),
      deadband: a.deadband ?? null,
    }));
    this.states = new Map(this.alarms.map((a) => [a.id, { id: a.id, state: "normal", raised_ms: null, returned_ms: null, ack_ms: null, ack_by: null, value: null }]));
  }

  #add(path, raw, more) {
    const type = raw.type ?? (["bit", "bool"].includes(raw.as) ? "bool" : /int/.test(raw.as ?? "") && !raw.scale && raw.states ? "int" : "float");
    const states = Object.entries(raw.states ?? {}).map(([value, s]) => ({ value: value === "true" ? 1 : value === "false" ? 0 : Number(value), ...title(s, value) }));
    const range = raw.range ?? null;
    const span = range ? range[1] - range[0] : 0;
    const decimals = raw.decimals ?? (span > 500 ? 0 : span > 50 ? 1 : 2);
    const writable = raw.entry || raw.initial !== undefined ? "entry" : raw.write ? "output" : null;
    const rate = /^([\d.]+)\/(s|min)$/.exec(raw.write?.rate ?? "");
    this.tags.push({
      id: this.tags.length,
      path,
      title: title(raw.title, path),
      unit: raw.unit ?? "",
      type,
      range,
      decimals,
      category: raw.category ?? "process",
      source: "device",
      device: null,
      to: null,
      writable,
      limits: raw.entry?.limits ?? raw.limits ?? raw.write?.limits ?? (writable ? range : null),
      rate_per_s: rate ? Number(rate[1]) / (rate[2] === "min" ? 60 : 1) : null,
      role: writable ? (raw.entry?.role ?? raw.role ?? "operator") : null,
      states,
      ...more,
    });
    const initial = raw.initial ?? raw.entry?.initial;
    if (initial !== undefined) this.entries.set(path, initial);
  }

  #readTags() {
    const { source } = this;
    for (const device of source.devices) {
      for (const point of device.points ?? []) {
        const path = device.prefix ? `${device.prefix}/${point.tag}` : point.tag;
        const joined = device.prefix ? { zh: `${device.title.zh}${point.title.zh}`, en: `${device.title.en} ${point.title.en}` } : point.title;
        const bit = /^[01]\d{4}$/.test(String(point.at)) && Number(point.at) < 20000 && !point.as;
        this.#add(path, { ...point, title: joined, category: point.category ?? device.category, ...(bit || point.at?.toString().startsWith("1000") || point.as === "bool" || point.as === "boolean" ? { type: "bool" } : {}) }, point.write ? { source: "program", to: device.device } : { source: "device", device: device.device });
      }
    }
    for (const entry of source.tags.entries ?? []) this.#add(entry.tag, entry, { source: "operator" });
    for (const tag of source.tags.computed ?? []) this.#add(tag.tag, tag, { source: "program" });
    const tiers = (source.energy.tariff?.tiers ?? []).map((x, value) => [value, x.title]);
    this.#add("energy/tariff/tier", { title: { zh: "当前电价时段", en: "Tariff tier now" }, type: "int", states: Object.fromEntries(tiers), category: "energy" }, { source: "system" });
    for (const [path, zh, en, unit, decimals, range] of LEDGER) {
      this.#add(path, { title: { zh, en }, unit, decimals, range, category: path.startsWith("carbon") ? "carbon" : "energy" }, { source: "system" });
    }
    const modes = { 0: ["停用", "off"], 1: ["手动", "manual"], 2: ["自动", "auto"], 3: ["串级", "cascade"], 4: ["远程", "remote"], 5: ["就地", "local"] };
    const states = Object.fromEntries(Object.entries(modes).map(([value, [zh, en]]) => [value, { zh, en }]));
    for (const { object, title: name } of source.objects ?? []) {
      this.#add(`${object}/mode`, { title: { zh: `${name.zh}：模式`, en: `${name.en}: mode` }, type: "int", states, category: "system" }, { source: "system" });
    }
    for (const device of this.devices) {
      this.#add(`sys/link/${device.name}/up`, { title: { zh: `${device.title.zh} 链路`, en: `${device.title.en}: link` }, type: "bool", category: "system" }, { source: "system" });
      this.#add(`sys/link/${device.name}/poll_age_ms`, { title: { zh: `${device.title.zh} 轮询时龄`, en: `${device.title.en}: poll age` }, unit: "ms", category: "system" }, { source: "system" });
    }
    for (const [part, zh, en, more] of [
      ["number", "配置号", "Configuration number", { type: "int" }],
      ["probation_s", "试运行剩余", "Probation left", { unit: "s", decimals: 0 }],
      ["went_back", "已自动回退", "Went back by itself", { type: "bool" }],
      ["folder_unused", "站点文件夹未采用", "Site folder not used", { type: "bool" }],
    ]) {
      this.#add(`sys/config/${part}`, { title: { zh, en }, category: "system", ...more }, { source: "system" });
    }
    for (const task of this.tasks) {
      this.#add(`sys/task/${task.name}/jitter_us`, { title: { zh: `任务 ${task.name} 抖动`, en: `Task ${task.name}: jitter` }, unit: "us", decimals: 0, category: "system" }, { source: "system" });
      this.#add(`sys/task/${task.name}/faulted`, { title: { zh: `任务 ${task.name} 故障`, en: `Task ${task.name}: faulted` }, type: "bool", category: "system" }, { source: "system" });
    }
  }

  tag(path) {
    return this.byPath.get(path);
  }

  scenario(wish) {
    if (wish.down) this.down = new Set(wish.down);
    if (wish.uncertain) this.uncertain = new Set(wish.uncertain);
    if (wish.stale) this.stale = new Map(wish.stale.map((p) => [p, Date.now() - 190_000]));
    if (wish.raise) this.raised = new Set(wish.raise);
    if ("drop" in wish) this.dropped = wish.drop;
    if ("long" in wish) this.long = wish.long;
    if ("fault" in wish) this.faulted = wish.fault;
    if ("config" in wish) Object.assign(this.config, wish.config);
    if ("silent" in wish) this.silent = wish.silent;
    if (wish.slow) this.writes.slow = new Set(wish.slow);
    if (wish.failing) this.writes.failing = new Set(wish.failing);
    this.objects.scenario(wish);
  }

  siteJson() {
    const stretch = (x) => (this.long ? { zh: `${x.zh}（北区二期扩建工程远程自动采集与控制）`, en: `${x.en} of the northern second extension works` } : x);
    return {
      name: stretch(title(this.source.site.name, "site")),
      time_zone: this.source.site.time_zone ?? "UTC",
      config_hash: this.long ? "mock-long" : "8c1f0a52d7be43a1",
      version: "0.1.0-mock",
      tags: this.tags.map((t) => ({ ...t, title: stretch(t.title) })),
      alarms: this.alarms.map((a) => ({ ...a, title: stretch(a.title) })),
      tasks: this.tasks,
      devices: this.devices,
      objects: this.objects.defs.map((o) => ({ ...o, title: stretch(o.title) })),
      hold: holdJson(this.source.site.hold),
      pages: this.source.pages,
    };
  }

  raw(tag, t) {
    const { path } = tag;
    const held = this.manual.get(path) ?? this.entries.get(path);
    if (held !== undefined) return held;
    const mode = /^(.*)\/mode$/.exec(path);
    const object = mode ? this.objects.items.find((o) => this.objects.defs[o.object].name === mode[1]) : null;
    if (object) return ["off", "manual", "auto", "cascade", "remote", "local"].indexOf(object.mode);
    const link = /^sys\/link\/(\w+)\/up$/.exec(path);
    if (link) return !this.down.has(link[1]);
    const config = /^sys\/config\/(\w+)$/.exec(path);
    if (config) return this.config[config[1]];
    const fault = /^sys\/task\/(\w+)\/faulted$/.exec(path);
    if (fault) return this.faulted === fault[1];
    if (tag.type === "bool") return !/fault|maintenance|enable/.test(path) && !/b3/.test(path);
    if (path === "met/grid/power") {
      const of = (p) => this.raw(this.byPath.get(p), t);
      return of("met/blowers/power") + of("met/pumps/power") + of("met/heat_pump/power") + of("met/aux/power") - of("met/pv/power");
    }
    if (path === "energy/load") return this.raw(this.byPath.get("met/grid/power"), t) + this.raw(this.byPath.get("met/pv/power"), t);
    if (/state$/.test(path)) return path.startsWith("pv") ? 4 : 2;
    if (path === "energy/tariff/tier") return 2;
    const shape = SHAPES.find(([pattern]) => pattern.test(path));
    let value;
    if (shape) value = shape[1](t, path);
    else {
      const [lo, hi] = tag.range ?? [0, 100];
      value = lo + (hi - lo) * (0.35 + 0.3 * hash(path)) + (hi - lo) * 0.06 * noise(path, t, 120_000);
    }
    return tag.type === "int" ? Math.round(value) : value;
  }

  /** value, class, reason, age. */
  sample(tag, now) {
    const imposed = tag.writable === "output" ? this.objects.hold(tag.id, now).granted : undefined;
    const value = imposed ?? this.raw(tag, now);
    const device = tag.device;
    if (device && this.down.has(device)) return [value, "b", "link", 12_000];
    if (this.stale.has(tag.path)) return [this.raw(tag, this.stale.get(tag.path)), "b", "stale", now - this.stale.get(tag.path)];
    if (this.uncertain.has(tag.path)) return [value, "u", "frozen", 800];
    if (tag.range && typeof value === "number" && (value < tag.range[0] || value > tag.range[1])) return [value, "u", "range", 200];
    return [value, "g", "", Math.round(150 + 600 * hash(tag.path))];
  }

  history(path, from, to, points) {
    const tag = this.tag(path);
    const now = Date.now();
    const end = Math.min(to, now);
    const step = (to - from) / points;
    const rawStep = 5_000;
    const raw = step <= rawStep;
    const out = [];
    // Nothing was recorded in this stretch, and in that one the analyser was in maintenance.
    const gap = [now - 3.2 * 3_600_000, now - 2.7 * 3_600_000];
    const bad = [now - 95 * 60_000, now - 80 * 60_000];
    const doubtful = [now - 9 * 3_600_000, now - 8.2 * 3_600_000];
    const oldest = now - 40 * DAY;
    for (let t = Math.max(raw ? Math.ceil(from / rawStep) * rawStep : from, oldest); t < end; t += raw ? rawStep : step) {
      if (t > gap[0] && t < gap[1]) continue;
      const one = (at) => Number(this.raw(tag, at));
      const q = t > bad[0] && t < bad[1] && hash(path) < 0.5 ? "b" : t > doubtful[0] && t < doubtful[1] && hash(path) > 0.6 ? "u" : "g";
      if (raw) {
        const v = q === "b" ? null : one(t);
        out.push([Math.round(t), v, v, v, q]);
      } else if (q === "b") out.push([Math.round(t), null, null, null, q]);
      else {
        const all = [0.1, 0.3, 0.5, 0.7, 0.95].map((f) => one(t + f * step));
        out.push([Math.round(t), Math.min(...all), Math.max(...all), all[4], q]);
      }
    }
    return { tag: path, raw, points: out };
  }

  pastEvents() {
    const now = Date.now();
    const rows = [];
    this.alarms.slice(0, 8).forEach((a, i) => {
      const at = now - (0.4 + i * 0.9) * 3_600_000;
      const tag = this.tags[a.tag];
      const value = String(this.raw(tag, at));
      rows.push({ utc_ms: at + 400_000, kind: "alarm", alarm: a.name, state: "normal", value, by: null });
      rows.push({ utc_ms: at + 120_000, kind: "alarm", alarm: a.name, state: "acknowledged", value, by: "operator" });
      rows.push({ utc_ms: at, kind: "alarm", alarm: a.name, state: "active", value, by: null });
    });
    rows.push({ utc_ms: now - 5_000_000, kind: "fault", part: "task normal", message: "program aer/z3: division by zero (line 14)", active: true });
    return rows.sort((a, b) => b.utc_ms - a.utc_ms);
  }

  #evaluate(now) {
    let changed = false;
    for (const alarm of this.alarms) {
      const view = this.states.get(alarm.id);
      const tag = this.tags[alarm.tag];
      const [value, quality] = this.sample(tag, now);
      const x = Number(value);
      const on =
        this.raised.has(alarm.name) ||
        (quality === "b"
          ? alarm.kind === "bad" || view.state === "active" || view.state === "acknowledged"
          : (alarm.kind === "above" && x > alarm.limit) || (alarm.kind === "below" && x < alarm.limit) || (alarm.kind === "equals" && x === alarm.limit));
      const active = view.state === "active" || view.state === "acknowledged";
      if (on && !active) {
        this.states.set(alarm.id, { ...view, state: "active", raised_ms: now, returned_ms: null, ack_ms: null, ack_by: null, value });
        this.onEvent({ utc_ms: now, kind: "alarm", alarm: alarm.name, state: "active", value, by: null });
        changed = true;
      } else if (!on && active) {
        const state = view.state === "active" ? "returned" : "normal";
        this.states.set(alarm.id, { ...view, state, returned_ms: now });
        this.onEvent({ utc_ms: now, kind: "alarm", alarm: alarm.name, state, value, by: null });
        changed = true;
      }
    }
    if (changed) this.version = (this.version ?? 0) + 1;
  }

  acknowledge(id, by) {
    const view = this.states.get(id);
    if (!view || (view.state !== "active" && view.state !== "returned")) return false;
    this.states.set(id, { ...view, state: view.state === "active" ? "acknowledged" : "normal", ack_ms: Date.now(), ack_by: by });
    this.onEvent({ utc_ms: Date.now(), kind: "alarm", alarm: this.alarms[id].name, state: "acknowledged", value: view.value, by });
    this.version = (this.version ?? 0) + 1;
    return true;
  }

  alarmName(id) {
    return this.alarms[id].name;
  }

  claim(wish, user) {
    const tag = this.tag(wish.tag);
    if (!tag?.writable) return { error: { zh: `${wish.tag} 只读`, en: `\`${wish.tag}\` is read only` } };
    const old = this.raw(tag, Date.now());
    if (!wish.release && wish.confirm !== true) return { error: { zh: "操作须确认", en: "the change must be confirmed" } };
    if (tag.limits && typeof wish.value === "number" && (wish.value < tag.limits[0] || wish.value > tag.limits[1])) {
      return { error: { zh: `${wish.tag}：${wish.value} 超出 ${tag.limits.join("..")}`, en: `\`${wish.tag}\`: ${wish.value} is outside ${tag.limits.join("..")}` } };
    }
    const entry = tag.writable === "entry";
    const refused = entry ? this.objects.refuse : this.objects.hand(tag.id, wish, user);
    if (refused) return { error: refused };
    if (wish.release) {
      this.manual.delete(wish.tag);
      this.hands.delete(wish.tag);
      this.#written(tag, this.raw(tag, Date.now()), `program ${wish.tag}`);
      return { old, new: null, kind: "release" };
    }
    if (entry) this.entries.set(wish.tag, wish.value);
    else {
      this.manual.set(wish.tag, wish.value);
      const s = wish.lease_s ?? holdJson(this.source.site.hold).default_s;
      this.hands.set(wish.tag, { who: user.name, hold_s: s, until_ms: s ? Date.now() + s * 1000 : null });
    }
    this.#written(tag, wish.value, `user ${user.name}`);
    return { old, new: wish.value, unit: tag.unit, kind: entry ? "set_point" : "manual" };
  }

  /** An output is taken where it stands. */
  takeHere(tag, user) {
    if (!this.manual.has(tag.path)) this.manual.set(tag.path, this.raw(tag, Date.now()));
    this.hands.set(tag.path, { who: user.name, hold_s: null, until_ms: null });
  }

  #written(tag, value, origin) {
    if (tag.to) this.writes.grant(tag.path, value, origin);
  }

  #endHands(now) {
    for (const [path, hand] of this.hands) {
      if (hand.until_ms === null || now < hand.until_ms || this.objects.of(this.tag(path).id)) continue;
      this.hands.delete(path);
      this.manual.delete(path);
    }
  }

  resetTask(id) {
    if (this.tasks[id]?.name === this.faulted) this.faulted = null;
  }

  client() {
    const told = new Map();
    let version = -1;
    let outputsTold = "";
    const objectsTold = new Map();
    return {
      step: (eachSecond) => {
        const now = Date.now();
        this.#evaluate(now);
        this.#endHands(now);
        const messages = [];
        const values = [];
        for (const tag of this.tags) {
          const [value, quality, reason, age] = this.sample(tag, now);
          const slot = Math.floor((now + 1000 * hash(tag.path)) / 1000);
          const key = `${slot}:${quality}:${typeof value === "number" ? "" : value}`;
          const held = this.entries.has(tag.path) || this.manual.has(tag.path) ? `:${value}` : "";
          if (told.get(tag.path) === key + held) continue;
          told.set(tag.path, key + held);
          values.push([tag.id, value, quality, reason, now - age, age]);
        }
        messages.push({ type: "values", utc_ms: now, values });
        if (version !== (this.version ?? 0)) {
          version = this.version ?? 0;
          messages.push({ type: "alarms", items: [...this.states.values()].filter((s) => s.state !== "normal") });
        }
        const outputs = this.tags.filter((t) => t.writable !== null).map((t) => this.output(t, now));
        const text = JSON.stringify(outputs.map((o) => [o.manual, o.outcome, o.until_ms, o.holder, o.ending, o.blocked?.when, o.manual ? o.granted : 0]));
        if (text !== outputsTold || eachSecond) {
          outputsTold = text;
          messages.push({ type: "outputs", items: outputs });
        }
        const objects = this.objects.feed(now).filter((o) => {
          const text = JSON.stringify(o);
          const same = objectsTold.get(o.object) === text;
          objectsTold.set(o.object, text);
          return !same;
        });
        if (objects.length > 0) messages.push({ type: "objects", items: objects });
        if (eachSecond) messages.push({ type: "links", items: this.links() }, { type: "tasks", items: this.taskItems() });
        return messages;
      },
    };
  }

  output(tag, now) {
    const manual = this.manual.has(tag.path);
    const hand = this.hands.get(tag.path);
    const life = this.writes.last(tag.path);
    const down = tag.to && this.down.has(tag.to);
    const object = this.objects.hold(tag.id, now);
    const value = object.granted ?? this.raw(tag, now);
    const until = object.until_ms === undefined ? (hand?.until_ms ?? null) : object.until_ms;
    const holder = manual ? `user ${hand?.who ?? "operator"}` : tag.writable === "entry" ? "user operator" : down ? "fallback on link" : `program ${tag.path.split("/").slice(0, 2).join("/")}`;
    return {
      tag: tag.id,
      manual: manual && !object.holder,
      holder: object.holder ?? holder,
      priority: manual ? "manual" : "program",
      granted: value,
      wished: value,
      bound_by: null,
      interlock: object.interlock ?? null,
      blocked: object.blocked ?? null,
      until_ms: until,
      ending: hand?.hold_s ? until !== null && until - now <= Math.min(300_000, hand.hold_s * 200) : false,
      fallback: down && !manual && tag.writable === "output" ? "link" : null,
      outcome: life?.stage ?? null,
      outcome_text: life?.text ?? null,
      outcome_ms: life?.ended_ms ?? life?.granted_ms ?? null,
    };
  }

  links() {
    const up = (Date.now() - this.started) / 1000;
    return this.devices.map((d) => {
      const down = this.down.has(d.name);
      return {
        device: d.id,
        state: down ? "down" : "up",
        reason: down ? "no answer within 500 ms" : "",
        answered: Math.round(184_000 + up * 4),
        failed: down ? 37 : 2,
        refused: 0,
        reconnects: down ? 3 : 1,
        round_trip_ms: 1.2 + 4 * hash(d.name),
        retries: 0,
        demoted: false,
        quarantined: 0,
        note: "",
        last_answer_age_ms: down ? 12_000 : Math.round(100 + 300 * hash(d.name)),
      };
    });
  }

  taskItems() {
    return this.tasks.map((t) => ({
      id: t.id,
      name: t.name,
      scans: Math.round((Date.now() - this.started + 9_000_000) / t.period_ms),
      missed: t.id === 0 ? 3 : 0,
      jitter_us: { p50: 62, p99: 148 + 40 * t.id, max: 1850 },
      run_us: { p50: 180 + 240 * t.id, p99: 420 + 380 * t.id, max: 2900 },
      fault: this.faulted === t.name ? "program aer/z3: operations limit exceeded (line 31)" : null,
    }));
  }

  system() {
    const programs = (this.source.programs ?? []).map((p) => ({
      name: p.program,
      script: p.script,
      task: this.tasks.find((t) => t.name === p.task)?.id ?? 0,
      fault: null,
      last_error: null,
      bad_inputs: Object.entries(p.in ?? {}).filter(([, tag]) => this.down.has(this.tag(tag)?.device)).map(([port]) => port),
    }));
    const historian = { series: this.tags.length, samples: 18_403_112, dropped: 0, bytes_live: 14_220_000, bytes_disk: 33_554_432, bytes_per_sample: 0.77, chunks: 41_205, events: 214, pending: 122, damaged: 0, last_commit_ms: 5, last_error: null };
    return { utc_ms: Date.now(), uptime_s: 93_600, version: "0.1.0-mock", config_hash: "8c1f0a52d7be43a1", programs, historian, ledger: { tags: 31 }, drops: [{ name: "hmi slow clients", count: 0 }, { name: "mqtt queue", count: 0 }], live_clients: 1 };
  }

  energy(from, to) {
    const hours = Math.max(0.25, (Math.min(to, Date.now()) - from) / 3_600_000);
    const quarters = Math.round(hours * 4);
    const mean = { blowers: 103, pumps: 82, heat_pump: 34, aux: 31, pv: 88 };
    const coverage = (missing = 0) => ({ measured: quarters - missing, back_filled: 0, estimated: missing, missing: 0 });
    const meters = (this.source.energy.meters ?? []).map((m) => {
      const kw = m.meter === "grid" ? 165 : (mean[m.meter] ?? 10);
      return { name: m.meter, title: title(m.title, m.meter), kind: m.kind, parent: m.parent ?? null, import_kwh: kw * hours, export_kwh: m.export ? 4.1 * hours : null, coverage: coverage(m.meter === "pumps" ? 2 : 0) };
    });
    const pv = mean.pv * hours;
    const exported = 4.1 * hours;
    const imported = 165 * hours;
    const load = imported + pv - exported;
    const tiers = (this.source.energy.tariff?.tiers ?? []).map((x, i) => {
      const kwh = imported * ([0.1, 0.12, 0.46, 0.2, 0.12][i] ?? 0);
      return { name: x.tier, title: title(x.title, x.tier), price_per_kwh: x.price, kwh, cost: kwh * x.price };
    });
    const flow = 769 * hours;
    const factor = (id, edition, value, unit) => ({ id, edition, value, unit, source: "example" });
    const lines = [
      { activity: "electricity", title: { zh: "购入电力", en: "Purchased electricity" }, scope: 2, quantity: imported, unit: "kWh", factor: factor("grid/CN-SD", "2023", 0.6191, "kg CO2e/kWh"), gwp: null, kg: imported * 0.6191, lower_kg: null, upper_kg: null, separate: false, coverage: coverage() },
      { activity: "pac", title: { zh: "聚合氯化铝", en: "Polyaluminium chloride" }, scope: 3, quantity: 32 * hours, unit: "kg", factor: factor("pac", "2022", 0.54, "kg CO2e/kg"), gwp: null, kg: 17 * hours, lower_kg: 12 * hours, upper_kg: 24 * hours, separate: false, coverage: coverage() },
      { activity: "n2o", title: { zh: "生化池 N₂O", en: "N2O of the reactors" }, scope: 1, quantity: 21 * hours, unit: "kg N", factor: factor("n2o/wwtp", "IPCC 2019", 0.016, "kg/kg"), gwp: factor("gwp100/n2o", "AR6", 273, "kg CO2e/kg"), kg: 144 * hours, lower_kg: 1.4 * hours, upper_kg: 405 * hours, separate: true, coverage: coverage() },
    ];
    const total = lines.filter((l) => !l.separate).reduce((a, l) => a + l.kg, 0);
    const separate = lines.filter((l) => l.separate).reduce((a, l) => a + l.kg, 0);
    const taken = meters.filter((m) => m.parent === "grid" && m.kind === "load").reduce((a, m) => a + m.import_kwh, 0);
    return {
      from_ms: from, to_ms: to, quarters, meters,
      import_kwh: imported, export_kwh: exported, pv_kwh: pv, load_kwh: load, self_kwh: pv - exported,
      scr: (pv - exported) / pv, ssr: (pv - exported) / load,
      demand_max_kw: 412, demand_max_ms: from + 9 * 3_600_000,
      cost: { currency: this.source.energy.tariff?.currency ?? "CNY", tiers, import_cost: tiers.reduce((a, x) => a + x.cost, 0), export_revenue: exported * 0.3949 },
      flow_m3: flow, flow_coverage: coverage(), kwh_per_m3: load / flow,
      carbon: { lines, total_kg: total, separate_kg: separate, scopes: [], kg_per_m3: total / flow, kg_per_m3_with_separate: (total + separate) / flow, avoided_kg: exported * 0.6191 },
      residuals: [{ parent: "grid", supplied_kwh: imported + pv - exported, taken_kwh: taken, residual_kwh: imported + pv - exported - taken, share: (imported + pv - exported - taken) / (imported + pv - exported) }],
      issues: [{ at_ms: from + 3_600_000, until_ms: from + 4_500_000, stream: "meter:pumps:import", kind: "gap", before: 10412.2, after: 10433.9, text: "no usable reading for 15 min; the register shows 21.7 kWh" }],
    };
  }
}

function parseMs(text) {
  const m = /^([\d.]+)\s*(ms|s|min|h)$/.exec(String(text));
  return m ? Number(m[1]) * { ms: 1, s: 1000, min: 60_000, h: 3_600_000 }[m[2]] : 1000;
}
