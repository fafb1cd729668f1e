// The controlled objects of the stand-in: modes, holds with an end, locks, and interlocks as a scenario wishes them. Refusals
// are worded as the runtime words them.

const RANK = { viewer: 0, operator: 1, engineer: 2 };
const MODES = ["off", "manual", "auto", "cascade", "remote", "local"];
const CHOICES = [900, 3_600, 28_800];

const seconds = (text) => {
  const m = /^([\d.]+)\s*(s|min|h)$/.exec(String(text ?? ""));
  return m ? Number(m[1]) * { s: 1, min: 60, h: 3_600 }[m[2]] : null;
};

export function holdJson(hold = {}) {
  const [usual, most] = [seconds(hold.default), seconds(hold.max)];
  const choices = [...CHOICES, usual, most].filter((s) => s !== null && (most === null || s <= most));
  return { default_s: usual ?? most, max_s: most, choices_s: [...new Set(choices)].sort((a, b) => a - b) };
}

export class Objects {
  constructor(model, rows) {
    this.model = model;
    this.acting = new Map();
    this.unmet = new Map();
    this.local = new Set();
    this.refuse = null;
    this.defs = rows.map((row) => this.#def(row));
    this.items = this.defs.map((def, object) => ({
      object,
      mode: "auto",
      selected: "auto",
      resume: "auto",
      by: "",
      since_ms: Date.now(),
      lock: null,
      until_ms: null,
      hold_s: null,
      reset: new Set(),
    }));
  }

  #def(row) {
    const id = (path) => this.model.tag(path)?.id ?? null;
    const condition = (c) => {
      const tags = (c.when.match(/[\w]+(?:\/[\w]+)+/g) ?? []).map(id).filter((t) => t !== null);
      return { when: c.when, text: c.text, bad: c.bad ?? "trip", tags, output: c.output ? row.outputs.findIndex((o) => o.tag === c.output) : null };
    };
    const modes = row.modes ?? { off: "operator", manual: "operator", auto: "operator" };
    return {
      name: row.object,
      title: row.title,
      mode_tag: id(`${row.object}/mode`),
      outputs: row.outputs.map((o) => ({ tag: id(o.tag), off: o.off, lock: o.lock ?? o.off, feedback: o.feedback ? id(o.feedback) : null })),
      programs: [],
      modes: MODES.filter((m) => m in modes).map((mode) => ({ mode, role: modes[mode] })),
      local: row.local ?? null,
      hold: holdJson(row.hold),
      interlocks: (row.interlocks ?? []).map((i) => ({ ...condition(i), value: i.value ?? row.outputs[0].off, latch: i.latch === true })),
      permissives: (row.permissives ?? []).map(condition),
    };
  }

  /** acting: {object: {n, state, cause?}}, unmet: {object: [n]}, local: [object], modes: {object: {mode: role}}, ends: {object: s} */
  scenario(wish) {
    if (wish.acting) this.acting = new Map(Object.entries(wish.acting));
    if (wish.unmet) this.unmet = new Map(Object.entries(wish.unmet));
    if (wish.local) this.local = new Set(wish.local);
    if ("refuse" in wish) this.refuse = wish.refuse;
    for (const [name, modes] of Object.entries(wish.modes ?? {})) {
      const def = this.defs.find((d) => d.name === name);
      if (def) def.modes = MODES.filter((m) => m in modes).map((mode) => ({ mode, role: modes[mode] }));
    }
    for (const [name, s] of Object.entries(wish.ends ?? {})) {
      const item = this.#item(name);
      if (item) item.until_ms = Date.now() + s * 1000;
    }
    for (const item of this.items) item.reset.clear();
  }

  #item(name) {
    const n = this.defs.findIndex((d) => d.name === name);
    return n < 0 ? null : this.items[n];
  }

  of(tagId) {
    const n = this.defs.findIndex((d) => d.outputs.some((o) => o.tag === tagId));
    return n < 0 ? null : { def: this.defs[n], item: this.items[n] };
  }

  #cause(def, n, kind, given) {
    const when = def[kind][n].when;
    const tag = this.model.tags[def[kind][n].tags[0]];
    const text = when.replace(/ for \w+$/, "");
    return { tag: tag?.id ?? 0, value: given?.value ?? null, quality: given?.quality ?? "g", reason: given?.reason ?? "", text };
  }

  #interlocks(def, item) {
    const acting = this.acting.get(def.name);
    return def.interlocks.map((_, n) => {
      if (!acting || acting.n !== n || item.reset.has(n)) return { state: "clear", cause: null, since_ms: null };
      return { state: acting.state, cause: this.#cause(def, n, "interlocks", acting), since_ms: acting.since ?? Date.now() - 65_000 };
    });
  }

  #permissives(def) {
    const unmet = this.unmet.get(def.name) ?? [];
    return def.permissives.map((_, n) => {
      const row = unmet.find((u) => u.n === n);
      return { met: row ? (row.met ?? false) : true, cause: row ? this.#cause(def, n, "permissives", row) : null };
    });
  }

  /** Ends holds whose time is over. */
  step(now) {
    for (const item of this.items) {
      if (item.until_ms !== null && now >= item.until_ms) this.#select(this.defs[item.object], item, item.resume, "lease", null);
      item.mode = this.local.has(this.defs[item.object].name) ? "local" : item.selected;
    }
  }

  feed(now) {
    this.step(now);
    return this.items.map((item) => {
      const def = this.defs[item.object];
      const { object, mode, selected, by, since_ms, lock, until_ms } = item;
      const ending = until_ms !== null && until_ms - now <= Math.min(300_000, (item.hold_s ?? 0) * 200);
      return { object, mode, selected, by, since_ms, lock, until_ms, ending, interlocks: this.#interlocks(def, item), permissives: this.#permissives(def) };
    });
  }

  /** What the object makes of one of its outputs: whose value it follows, and what stands in its way. */
  hold(tagId, now) {
    const found = this.of(tagId);
    if (!found) return {};
    const { def, item } = found;
    this.step(now);
    const hindrance = (kind, n, cause) => ({ text: def[kind][n].text, when: def[kind][n].when, cause });
    const interlocks = this.#interlocks(def, item);
    const n = interlocks.findIndex((i) => i.state === "acting" || i.state === "latched");
    const p = this.#permissives(def).findIndex((x) => x.met !== true);
    const imposed = item.lock ? `lock ${item.lock.who}` : item.mode === "local" ? `local ${def.name}` : n >= 0 ? `interlock ${def.name}` : item.selected === "off" ? `off ${def.name}` : null;
    const out = def.outputs.find((o) => o.tag === tagId);
    return {
      holder: imposed,
      granted: imposed && item.mode !== "local" ? (item.lock ? out.lock : n >= 0 ? def.interlocks[n].value : out.off) : undefined,
      interlock: n >= 0 ? hindrance("interlocks", n, interlocks[n].cause) : null,
      blocked: p >= 0 ? hindrance("permissives", p, this.#permissives(def)[p].cause) : null,
      until_ms: item.until_ms,
    };
  }

  #select(def, item, mode, by, leaseS) {
    if (mode === "manual" && item.selected !== "manual") item.resume = item.selected === "off" ? "auto" : item.selected;
    item.selected = mode;
    item.by = by;
    item.since_ms = Date.now();
    const s = mode !== "manual" ? null : leaseS === 0 ? null : (leaseS ?? def.hold.default_s);
    [item.hold_s, item.until_ms] = [s, s === null ? null : Date.now() + s * 1000];
    for (const { tag } of def.outputs) {
      const { path } = this.model.tags[tag];
      if (mode !== "manual") this.model.manual.delete(path);
    }
  }

  /** Why a hand or a mode is refused; null where it is not: status and words. */
  #refused(def, item, mode, user) {
    if (this.refuse) return this.refuse;
    const n = def.name;
    const role = def.modes.find((m) => m.mode === mode)?.role;
    if (!role) return { status: 422, zh: `${n} 不提供${mode}模式`, en: `\`${n}\` offers no mode ${mode}` };
    if (RANK[user.role] < RANK[role]) {
      const engineer = role === "engineer";
      return { status: 403, zh: engineer ? "需要工程师权限" : "需要操作员权限", en: `this needs the role of an ${role}` };
    }
    if (item.lock) return { status: 409, zh: `${n} 已由 ${item.lock.who} 检修锁定：${item.lock.reason}`, en: `\`${n}\` is locked by ${item.lock.who}: ${item.lock.reason}` };
    if (this.local.has(n)) return { status: 409, zh: `${n} 处于就地控制`, en: `\`${n}\` is on local control` };
    const unmet = (this.unmet.get(n) ?? [])[0];
    if (item.selected === "off" && mode !== "off" && unmet) {
      const p = def.permissives[unmet.n];
      return { status: 409, zh: `${n} 不允许启动：${p.text.zh}（${p.when}）`, en: `\`${n}\` may not be started: ${p.text.en} (${p.when})` };
    }
    return null;
  }

  /** A hand on an output; null where it belongs to no object. */
  hand(tagId, wish, user) {
    const found = this.of(tagId);
    if (!found) return this.refuse;
    const { def, item } = found;
    if (wish.release) {
      if (item.lock) return this.#refused(def, item, "manual", user);
      if (item.selected === "manual") this.#select(def, item, item.resume, user.name, null);
      return null;
    }
    const refused = this.#refused(def, item, "manual", user);
    if (!refused) this.#select(def, item, "manual", user.name, wish.lease_s ?? null);
    return refused;
  }

  /** One of the orders; the answer's status and body. */
  order(what, body, user) {
    const item = this.#item(body.object);
    const fail = (r) => ({ status: r.status, body: { error: { zh: r.zh, en: r.en } } });
    if (!item) return fail({ status: 404, zh: `没有 object ${body.object}`, en: `there is no object \`${body.object}\`` });
    if (user.role === "viewer") return fail({ status: 403, zh: "需要操作员权限", en: "this needs the role of an operator" });
    if (body.confirm !== true) return fail({ status: 422, zh: "操作须确认", en: "the change must be confirmed" });
    const def = this.defs[item.object];
    if (what === "mode") {
      const refused = this.#refused(def, item, body.mode, user);
      if (refused) return fail(refused);
      const old = item.selected;
      this.#select(def, item, body.mode, user.name, body.lease_s ?? null);
      if (body.mode === "manual") for (const o of def.outputs) this.model.takeHere(this.model.tags[o.tag], user);
      return { status: 200, body: { object: def.name, old, new: body.mode, until_ms: item.until_ms }, kind: "mode", fields: { object: def.name, old, new: body.mode } };
    }
    if (this.refuse) return fail(this.refuse);
    if (what === "lock") {
      if (!body.reason?.trim()) return fail({ status: 422, zh: "须填写检修原因，最多 200 字节", en: "a lock needs a reason of at most 200 bytes" });
      if (item.lock) return fail(this.#refused(def, item, "off", user));
      this.#select(def, item, "off", user.name, null);
      item.lock = { who: user.name, reason: body.reason.trim(), since_ms: Date.now() };
      return { status: 200, body: {}, kind: "lock", fields: { object: def.name, reason: body.reason } };
    }
    if (what === "unlock") {
      if (!item.lock) return fail({ status: 409, zh: `${def.name} 未锁定`, en: `\`${def.name}\` is not locked` });
      if (item.lock.who !== user.name && user.role !== "engineer") {
        return fail({ status: 403, zh: `只有锁定者 ${item.lock.who} 或工程师可以解锁`, en: `only ${item.lock.who}, who locked it, or an engineer may unlock it` });
      }
      item.lock = null;
      return { status: 200, body: {}, kind: "unlock", fields: { object: def.name } };
    }
    const acting = this.acting.get(def.name);
    if (acting?.state !== "latched") return fail({ status: 409, zh: `${def.name} 没有可复位的联锁，或其原因仍存在`, en: `\`${def.name}\` has no interlock to reset, or its cause is still there` });
    item.reset.add(acting.n);
    return { status: 200, body: {}, kind: "reset_interlocks", fields: { object: def.name } };
  }
}
