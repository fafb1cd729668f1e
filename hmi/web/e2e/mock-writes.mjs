// What became of writes, and why a tag stands as it stands, in the stand-in.

const KEPT = 16;
const WAY = [
  ["queued", 1],
  ["sent", 120],
  ["acknowledged", 400],
  ["read-back", 900],
  ["settled", 1_600],
];

/** The lives of the writes of each output. */
export class Writes {
  constructor() {
    this.lives = new Map();
    this.failing = new Set();
    /** Devices that leave a write unanswered. */
    this.slow = new Set();
    this.next = 1;
  }

  /** A write is granted; its stages follow by time, or it fails where a scenario says so. */
  grant(path, value, origin) {
    const now = Date.now();
    const list = this.lives.get(path) ?? [];
    const before = list[0];
    if (before && before.ended_ms === null) this.#end(before, "superseded", null);
    const life = {
      id: this.next++, stage: "requested", origin, value, wished: value, bound_by: null, requested_ms: now, granted_ms: now,
      queued_ms: null, sent_ms: null, acknowledged_ms: null, read_back_ms: null, ended_ms: null, repeats: 0, text: null,
    };
    list.unshift(life);
    this.lives.set(path, list.slice(0, KEPT));
    const held = this.slow.has(path);
    for (const [stage, ms] of WAY) {
      setTimeout(() => {
        if (life.ended_ms !== null || (life.stage === "sent" && held)) return;
        if (this.failing.has(path) && stage === "acknowledged") return this.#end(life, "failed", "exception 2: illegal data address 40021");
        life.stage = stage;
        life[stage === "settled" ? "ended_ms" : `${stage.replace("-", "_")}_ms`] = Date.now();
      }, ms).unref();
    }
  }

  #end(life, stage, text) {
    life.stage = stage;
    life.ended_ms = Date.now();
    life.text = text;
  }

  json(path) {
    const writes = this.lives.get(path) ?? [];
    const count = (stage) => writes.filter((w) => w.stage === stage).length;
    const counts = { granted: writes.length, acknowledged: count("settled"), settled: count("settled"), failed: count("failed"), superseded: count("superseded"), kept_back: 0 };
    return { tag: path, counts, latency_ms: { p50: 210, p99: 480, max: 900 }, writes };
  }

  last(path) {
    return this.lives.get(path)?.[0] ?? null;
  }
}

/** The answer to "why", worded as the runtime words it. */
export function why(model, path) {
  const tag = model.tag(path);
  const now = Date.now();
  const [value, quality, reason] = model.sample(tag, now);
  const output = tag.writable === null ? null : model.output(tag, now);
  const program = (model.source.programs ?? []).find((p) => Object.values(p.out ?? {}).includes(path)) ?? null;
  const shown = (x, lang) => {
    const state = tag.states.find((s) => s.value === Number(x));
    return state ? state[lang] : typeof x === "number" ? `${x.toFixed(tag.decimals)} ${tag.unit}`.trim() : String(x);
  };
  const both = (zh, en) => ({ zh: zh("zh"), en: en("en") });
  const device = model.devices.find((d) => d.name === (tag.to ?? tag.device)) ?? null;
  const down = device !== null && model.down.has(device.name);
  const link = (lang) => `${device.title[lang]} ${lang === "zh" ? "中断：500 ms 内无应答" : "down: no answer within 500 ms"}`;
  const name = (t, lang) => `${t.title[lang]} ${t.path}`;
  const inputs = Object.entries(program?.in ?? {}).map(([port, source]) => {
    const t = model.tag(source);
    if (!t) return { name: port, tag: null, value: null, quality: "b", reason: "configuration", age_ms: 0, ended: false };
    const [v, q, r, age] = model.sample(t, now);
    return { name: port, tag: t.id, value: v, quality: q, reason: r, age_ms: age, ended: false };
  });
  const bad = inputs.find((i) => i.quality === "b" && i.tag !== null);
  if (bad) bad.ended = true;
  let sentence;
  const steps = [];
  if (output) {
    const holder = output.holder ?? "";
    const wished = (lang) => shown(output.granted, lang);
    if (output.interlock) {
      const i = output.interlock;
      sentence = both((l) => `联锁使其保持在 ${wished(l)}：${i.text.zh}（${i.cause.text}，当时 ${i.cause.value ?? "–"}）`, (l) => `an interlock holds it at ${wished(l)}: ${i.text.en} (${i.cause.text}, it was ${i.cause.value ?? "–"})`);
    } else if (holder.startsWith("lock ")) sentence = both((l) => `由 ${holder.slice(5)} 的检修锁定保持在 ${wished(l)}`, (l) => `the maintenance lock of ${holder.slice(5)} holds it at ${wished(l)}`);
    else if (holder.startsWith("local ")) sentence = both(() => `由对象 ${holder.slice(6)} 的现场操作盘控制，不发送命令`, () => `the panel in the field of ${holder.slice(6)} has it: nothing is sent`);
    else if (holder.startsWith("off ")) sentence = both((l) => `由对象 ${holder.slice(4)} 的停用模式保持在 ${wished(l)}`, (l) => `mode off of ${holder.slice(4)} holds it at ${wished(l)}`);
    else if (output.fallback) sentence = both((l) => `处于安全值 ${wished(l)}：通信中断：${link(l)}`, (l) => `it is in its fallback at ${wished(l)}: the link is down: ${link(l)}`);
    else if (tag.writable === "entry") sentence = both(() => "由 operator 输入", () => "it was entered by operator");
    else if (output.manual) sentence = both((l) => `由 ${holder.slice(5)} 手动保持在 ${wished(l)}`, (l) => `it is held by hand by ${holder.slice(5)} at ${wished(l)}`);
    else if (bad) {
      const t = model.tags[bad.tag];
      steps.push({ tag: t.id, text: both((l) => `${name(t, l)}：通信中断`, (l) => `${name(t, l)}: the link is down`) });
      sentence = both((l) => `处于安全值 ${wished(l)}：程序输入不可用：${bad.name}（${name(t, l)}：通信中断）`, (l) => `it is in its fallback at ${wished(l)}: the program's input ${bad.name} (${name(t, l)}: the link is down) is bad`);
    } else sentence = both((l) => `跟随程序 ${program?.program ?? path}，其期望 ${wished(l)}`, (l) => `it follows program ${program?.program ?? path}, which wishes ${wished(l)}`);
  } else if (quality !== "g") {
    const because = (lang) => (down ? `${lang === "zh" ? "通信中断，" : "the link is down, "}${link(lang)}` : lang === "zh" ? `质量 ${reason}` : `quality ${reason}`);
    sentence = both((l) => `${name(tag, l)}：${because(l)}`, (l) => `${name(tag, l)}: ${because(l)}`);
  } else if (device) sentence = both((l) => `由 ${device.title[l]} 测得，0.4 s 前`, (l) => `it is measured by ${device.title[l]}, 0.4 s ago`);
  else sentence = tag.source === "program" ? both(() => `由程序 ${program?.program ?? "?"} 计算得出`, () => `it is computed by program ${program?.program ?? "?"}`) : both(() => "由运行系统自身发布", () => "the runtime publishes it about itself");
  const claims = output?.manual && tag.writable === "output" ? [{ origin: output.holder, priority: "manual", value: output.granted, band: null, until_ms: output.until_ms, decides: true }] : [];
  return {
    tag: path, utc_ms: now, note: model.silent ? { zh: "任务 normal 已 12.0 s 未扫描：以下是它最后留下的状态，现在没有程序在控制", en: "task `normal` has not scanned for 12.0 s: this is what it left, and nothing controls now" } : null,
    sentence, bound: null,
    blocked: output?.blocked ? { zh: `${output.blocked.text.zh}（${output.blocked.cause.text}）`, en: `${output.blocked.text.en} (${output.blocked.cause.text})` } : null,
    steps, since_ms: output ? now - 65_000 : null, claims,
    entered: tag.writable === "entry" ? { value, origin: "user operator", at_ms: now - 7_200_000 } : null,
    program: program ? { name: program.program, script: program.script, wished: output?.fallback || bad ? null : (output?.granted ?? value), quality: "g", fault: null } : null,
    inputs,
    limits: tag.writable === "output" ? { range: tag.limits, rate_per_s: tag.rate_per_s, min_on_s: 0, min_off_s: 0 } : null,
    fallback: tag.writable === "output" ? { zh: "输入不可用、程序故障、任务超时：保持 300 s 后 40 %；通信中断、停机：交还设备", en: "bad input, program fault, overrun: hold 300 s, then 40 %; link down, shutdown: device" } : null,
    link: device ? { device: device.id, state: down ? "down" : "up", reason: down ? "no answer within 500 ms" : "", last_answer_ms: down ? 12_000 : 240 } : null,
    write: model.writes.last(path),
  };
}
