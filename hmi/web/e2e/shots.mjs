// Pictures of every page against the stand-in, for judging by eye: node e2e/shots.mjs [out folder] [only this name]

import { mkdirSync } from "node:fs";
import { launch } from "./browser.mjs";
import { startMock } from "./mock.mjs";

const out = process.argv[2] ?? "test-results/shots";
const only = process.argv[3];
mkdirSync(out, { recursive: true });

const BIG = { width: 1920, height: 1080 };
const SMALL = { width: 1366, height: 768 };
const mock = await startMock(process.env.DIST ? { dist: process.env.DIST } : {});
const browser = await launch();

async function page(size, lang, theme, user = "operator") {
  const context = await browser.newContext({ viewport: size });
  await context.addInitScript(([l, t]) => {
    localStorage.setItem("penstock.lang", l);
    localStorage.setItem("penstock.theme", t);
  }, [lang, theme]);
  const p = await context.newPage();
  p.on("console", (m) => ["error", "warning"].includes(m.type()) && console.log(`[${m.type()}] ${m.text()}`));
  p.on("pageerror", (e) => console.log(`[pageerror] ${e.message}`));
  await p.goto(mock.url);
  if (user) {
    await p.fill("input[name=user]", user);
    await p.fill("input[name=password]", `${user}-demo`);
    await p.click("button[type=submit]");
    await p.waitForSelector("[data-test=alarm-line]");
    await p.waitForTimeout(1200);
  }
  return p;
}

async function shot(p, name, wait = 900) {
  await p.waitForTimeout(wait);
  await p.screenshot({ path: `${out}/${name}.png` });
  console.log(name);
}

const plans = {
  login: async () => shot(await page(SMALL, "zh", "light", null), "login"),
  overview: async () => {
    await shot(await page(BIG, "zh", "light"), "overview-zh-light-big");
    await shot(await page(SMALL, "en", "dark"), "overview-en-dark-small");
  },
  alarms: async () => {
    const names = [];
    const p = await page(BIG, "zh", "light");
    const site = await p.evaluate(() => fetch("/api/site").then((r) => r.json()));
    names.push(...site.alarms.map((a) => a.name));
    const by = (w) => site.alarms.filter((a) => a.priority === w).map((a) => a.name);
    await mock.scenario({ raise: [...by("critical").slice(0, 1), ...by("high").slice(0, 3), ...by("medium").slice(0, 4), ...by("low").slice(0, 9)] });
    await shot(p, "overview-alarms", 1800);
    await p.goto(`${mock.url}/#/alarms`);
    await shot(p, "alarms-zh-light", 1500);
    await p.click("tbody tr >> nth=1");
    await shot(p, "alarms-drawer");
    await p.click("[data-test=tab-history]");
    await shot(p, "alarms-history");
    const q = await page(SMALL, "en", "dark");
    await q.goto(`${mock.url}/#/alarms`);
    await q.waitForTimeout(1500);
    await mock.scenario({ raise: names });
    await shot(q, "alarms-en-dark-small", 1500);
    await mock.scenario({ raise: [] });
  },
  config: async () => {
    await mock.scenario({ config: { went_back: true } });
    await shot(await page(BIG, "zh", "light"), "config-went-back");
    await mock.scenario({ config: { went_back: false, folder_unused: true } });
    await shot(await page(SMALL, "en", "dark"), "config-folder-unused-dark");
    await mock.scenario({ config: { folder_unused: false, probation_s: 431 } });
    await shot(await page(SMALL, "en", "light"), "config-probation");
    await mock.scenario({ config: { probation_s: 0 } });
  },
  quality: async () => {
    await mock.scenario({ down: ["dosing_skid", "meter_pumps"], uncertain: ["aer/z4/do", "inf/nh4", "eff/tn"], stale: ["aer/z5/do", "aer/z5/nh4", "eff/cod"] });
    const p = await page(BIG, "zh", "light");
    await shot(p, "quality-overview", 2500);
    await p.goto(`${mock.url}/#/page/dosing`);
    await shot(p, "quality-dosing", 1500);
    const q = await page(SMALL, "en", "dark");
    await shot(q, "quality-overview-dark", 2500);
    await mock.scenario({ down: [], uncertain: [], stale: [] });
  },
  groups: async () => {
    const p = await page(BIG, "zh", "light");
    for (const name of ["aeration", "dosing", "heat", "pv"]) {
      await p.goto(`${mock.url}/#/page/${name}`);
      await shot(p, `group-${name}-zh`, 1800);
    }
    const q = await page(SMALL, "en", "dark");
    await q.goto(`${mock.url}/#/page/aeration`);
    await shot(q, "group-aeration-en-dark-small", 1800);
  },
  trends: async () => {
    const p = await page(BIG, "zh", "light");
    await p.goto(`${mock.url}/#/trends?tags=aer/z3/do,aer/z4/do,aer/z5/nh4,inf/flow&range=21600`);
    await p.waitForTimeout(1500);
    await p.mouse.move(900, 400);
    await shot(p, "trends-zh-light");
    const box = await p.locator("[data-test=trend-canvas]").boundingBox();
    await p.mouse.move(box.x + box.width * 0.6, box.y + 200);
    await p.mouse.down();
    await p.mouse.move(box.x + box.width * 0.8, box.y + 220, { steps: 5 });
    await p.mouse.up();
    await shot(p, "trends-zoomed", 1500);
    const q = await page(SMALL, "en", "dark");
    await q.goto(`${mock.url}/#/trends?tags=met/grid/power,met/pv/power&range=604800`);
    await q.waitForTimeout(1200);
    await q.fill("[data-test=pen-search]", "do");
    await shot(q, "trends-en-dark-small");
  },
  energy: async () => {
    const p = await page(BIG, "zh", "light");
    await p.goto(`${mock.url}/#/energy`);
    await shot(p, "energy-zh-light", 1500);
    const q = await page(SMALL, "en", "dark");
    await q.goto(`${mock.url}/#/energy`);
    await shot(q, "energy-en-dark-small", 1500);
  },
  system: async () => {
    await mock.scenario({ down: ["dosing_skid"], fault: "normal" });
    const p = await page(BIG, "zh", "light", "engineer");
    await p.goto(`${mock.url}/#/system`);
    await shot(p, "system-zh-light", 1500);
    const q = await page(SMALL, "en", "dark", "engineer");
    await q.goto(`${mock.url}/#/system`);
    await shot(q, "system-en-dark-small", 1500);
    await mock.scenario({ down: [], fault: null });
  },
  faceplate: async () => {
    const p = await page(SMALL, "zh", "light");
    await p.goto(`${mock.url}/#/page/aeration`);
    await p.waitForTimeout(1200);
    await p.click("[data-entry='aer/nh4_sp']");
    await shot(p, "faceplate-entry", 1500);
    await p.fill("[data-write='aer/nh4_sp'] [data-test=entry]", "2.5");
    await p.click("[data-write='aer/nh4_sp'] [data-test=set]");
    await shot(p, "faceplate-confirm", 500);
    await p.click("[data-test=confirm]");
    await shot(p, "faceplate-done", 2200);
    const q = await page(BIG, "en", "dark");
    await q.goto(`${mock.url}/#/page/aeration`);
    await q.waitForTimeout(1000);
    await q.locator("section.loop button.open").nth(1).click();
    await shot(q, "faceplate-loop-en-dark", 1800);
    await q.click("[data-test=close]");
    await q.keyboard.press("Control+k");
    await q.fill("[data-test=search-input]", "blower");
    await shot(q, "search-en-dark", 500);
  },
  lost: async () => {
    const p = await page(BIG, "zh", "light");
    const q = await page(SMALL, "en", "dark");
    await mock.scenario({ drop: true });
    await shot(p, "lost-zh-light", 4500);
    await shot(q, "lost-en-dark-small", 200);
    await mock.scenario({ drop: false });
    await p.waitForSelector("[data-test=lost]", { state: "detached", timeout: 15000 });
    console.log("reconnected");
  },
  long: async () => {
    await mock.scenario({ long: true });
    const p = await page(SMALL, "zh", "light");
    await shot(p, "long-overview-zh-small", 1500);
    await p.goto(`${mock.url}/#/page/aeration`);
    await shot(p, "long-aeration-zh-small", 1500);
    const q = await page(SMALL, "en", "light");
    await shot(q, "long-overview-en-small", 1500);
    await q.click(".mimic [data-value] >> nth=5");
    await shot(q, "long-faceplate-en-small", 1500);
    await mock.scenario({ long: false });
  },
  objects: async () => {
    const find = async (p, path) => {
      await p.keyboard.press("Control+k");
      await p.fill("[data-test=search-input]", path);
      await p.keyboard.press("Enter");
      await p.waitForSelector("[data-test=why-sentence]");
    };
    const close = (p) => p.click("[data-test=close]");
    const acting = { "aer/b1": { n: 1, state: "latched", value: 82.4 } };
    await mock.scenario({ acting, unmet: { "aer/b1": [{ n: 1, value: 77.2 }], "dos/pac": [{ n: 0, value: 3.1 }] } });
    for (const [size, lang, theme] of [[SMALL, "zh", "light"], [SMALL, "en", "dark"], [BIG, "en", "light"], [BIG, "zh", "dark"]]) {
      const as = `${lang}-${theme}-${size.width}`;
      const p = await page(size, lang, theme);
      await find(p, "aer/b1/run/cmd");
      await shot(p, `object-interlock-${as}`);
      await close(p);
      await find(p, "aer/z3/valve/cmd");
      await p.click("[data-test=why-more]");
      await shot(p, `object-why-${as}`);
      await close(p);
      await find(p, "aer/b1/speed/cmd");
      await p.selectOption("[data-test=hold]", "900");
      await p.click("[data-write='aer/b1/speed/cmd'] .segments button >> nth=1");
      await p.click("[data-test=confirm]");
      await p.fill("[data-write='aer/b1/speed/cmd'] [data-test=entry]", "61");
      await p.click("[data-write='aer/b1/speed/cmd'] [data-test=set]");
      await p.click("[data-test=confirm]");
      await p.locator("[data-write='aer/b1/speed/cmd']").scrollIntoViewIfNeeded();
      await shot(p, `object-hold-${as}`, 2_500);
      await p.click("[data-write='aer/b1/speed/cmd'] .segments button >> nth=0");
      await p.click("[data-test=confirm]");
      await close(p);
      await find(p, "dos/pac/cmd");
      await p.click("[data-test=lock-open]");
      await p.fill("[data-test=lock-reason]", "换膜片，工作票 4711，夜班 22 点前不得启动");
      await p.click("[data-object='dos/pac'] form button[type=submit]");
      await p.click("[data-test=confirm]");
      await shot(p, `object-locked-${as}`, 1_500);
      await p.click("[data-test=unlock]");
      await p.click("[data-test=confirm]");
      await p.waitForTimeout(500);
      await p.context().close();
    }
    await mock.scenario({ acting: {}, unmet: {} });
  },
  // Every page in every language, theme and size, on a bad day: alarms, lost devices, doubtful and old values.
  sweep: async () => {
    await mock.scenario({ down: ["dosing_skid"], uncertain: ["aer/z4/do", "inf/nh4", "eff/tn"], stale: ["aer/z5/do", "eff/cod"] });
    for (const [size, lang, theme] of [[SMALL, "zh", "light"], [SMALL, "en", "dark"], [BIG, "en", "light"], [BIG, "zh", "dark"]]) {
      const p = await page(size, lang, theme, "engineer");
      for (const hash of await p.$$eval("nav a", (all) => all.map((a) => a.getAttribute("href")))) {
        await p.goto(`${mock.url}/${hash}`);
        await shot(p, `sweep-${hash.split("/").pop()}-${lang}-${theme}-${size.width}`, 1_500);
      }
      await p.context().close();
    }
    await mock.scenario({ down: [], uncertain: [], stale: [] });
  },
};

try {
  for (const [name, plan] of Object.entries(plans)) if (!only || only.split(",").includes(name)) await plan();
} finally {
  await browser.close();
  mock.stop();
}
