import { describe, expect, it } from "vitest";
import { fillSpan, Mimic, type MimicAlarm, type MimicSource, type MimicValue, sanitiseSvg, share } from "../src/lib/svg";

const NS = 'xmlns="http://www.w3.org/2000/svg"';

describe("a drawing made harmless", () => {
  it("loses everything that could run, load or style", () => {
    const { svg, removed } = sanitiseSvg(`<svg ${NS} xmlns:xlink="http://www.w3.org/1999/xlink" onload="x()" viewBox="0 0 9 9">
      <script>alert(1)</script>
      <style>* { background: url(http://h/x) }</style>
      <foreignObject><b xmlns="http://www.w3.org/1999/xhtml">x</b></foreignObject>
      <image href="http://h/x.png"/>
      <a href="javascript:x()"><rect width="1"/></a>
      <animate attributeName="x"/>
      <rect id="ok" width="3" style="fill:url(http://h)" ONCLICK="x()" onclick="x()" fill="url(http://h/x)" stroke="url(#local)" data-value="a/b"/>
      <use href="http://h/x.svg#a"/><use href="#ok"/><use xlink:href="data:text/html,x"/>
      <html:div xmlns:html="http://www.w3.org/1999/xhtml">x</html:div>
    </svg>`);
    const text = new XMLSerializer().serializeToString(svg);
    for (const bad of ["script", "style", "foreignObject", "image", "<a", "animate", "onclick", "ONCLICK", "onload", "http://h", "javascript", "data:text", "div"]) {
      expect(text).not.toContain(bad);
    }
    expect(svg.querySelector("#ok")?.getAttribute("stroke")).toBe("url(#local)");
    expect(svg.querySelector("#ok")?.getAttribute("data-value")).toBe("a/b");
    expect([...svg.querySelectorAll("use")].map((u) => u.getAttribute("href"))).toEqual([null, "#ok", null]);
    expect(removed).toContain("script");
    expect(removed).toContain("svg@onload");
  });

  it("is refused when it is no drawing", () => {
    expect(() => sanitiseSvg("<html></html>")).toThrow(/well-formed SVG/);
    expect(() => sanitiseSvg(`<svg ${NS}><g></svg>`)).toThrow(/well-formed SVG/);
  });
});

function value(more: Partial<MimicValue> = {}): MimicValue {
  return { text: "2.00", unit: "mg/L", worth: "good", note: "", reason: "", number: 2, range: [0, 10], title: "t", ...more };
}

function source(values: Record<string, MimicValue>, alarm: MimicAlarm | null = null, lang: "zh" | "en" = "zh", byHand: string[] = []): MimicSource {
  return { value: (tag) => values[tag] ?? value({ worth: "absent", number: null, text: "—" }), alarm: () => alarm, mode: (tags) => (tags.some((t) => byHand.includes(t)) ? { letter: "M", text: "Manual" } : null), lang: () => lang };
}

describe("a drawing bound to tags", () => {
  const opened: string[] = [];
  const bind = (inner: string): { mimic: Mimic; svg: SVGSVGElement } => {
    const { svg } = sanitiseSvg(`<svg ${NS}>${inner}</svg>`);
    document.body.replaceChildren(svg);
    return { svg, mimic: new Mimic(svg, { openTag: (t) => opened.push(t), openPage: (p) => opened.push(`page ${p}`) }) };
  };

  it("shows figure, unit and quality", () => {
    const { mimic, svg } = bind('<text x="5" y="9" data-value="a" data-unit="yes" data-reason="yes">0</text><text data-value="b">0</text>');
    mimic.update(source({ a: value() }));
    const text = svg.querySelector("[data-value]") as SVGTextElement;
    expect(text.querySelector("tspan")?.textContent).toBe("2.00");
    expect(text.textContent).toContain("mg/L");
    mimic.update(source({ a: value({ worth: "uncertain" }) }));
    expect(text.querySelector("tspan")?.textContent).toBe("2.00?");
    mimic.update(source({ a: value({ worth: "bad", reason: "link down", number: null }) }));
    expect(text.classList.contains("q-bad")).toBe(true);
    expect(text.classList.contains("q-uncertain")).toBe(false);
    expect([...svg.querySelectorAll(".m-reason")].map((e) => e.textContent)).toEqual(["link down"]);
    expect(svg.querySelector(".m-frame")?.getAttribute("visibility")).toBe("visible");
    mimic.update(source({ a: value() }));
    expect(svg.querySelector(".m-reason")?.textContent).toBe("");
    expect(svg.querySelector(".m-frame")?.getAttribute("visibility")).toBe("hidden");
  });

  it("draws no bar from a value that may not be used", () => {
    const { mimic, svg } = bind('<rect x="0" y="0" width="10" height="100" data-bar="a" data-sp="s"/>');
    mimic.update(source({ a: value(), s: value({ number: 5 }) }));
    const fill = svg.querySelector(".m-bar-fill");
    expect(fill?.getAttribute("height")).toBe("20.0");
    expect(svg.querySelector(".m-sp")?.getAttribute("d")).toContain("50.0");
    mimic.update(source({ a: value({ worth: "lost", number: null }), s: value({ number: null }) }));
    expect(fill?.getAttribute("height")).toBe("0.0");
    expect(svg.querySelector(".m-sp")?.getAttribute("visibility")).toBe("hidden");
    expect(mimic.tags.sort()).toEqual(["a", "s"]);
  });

  it("fills a bar over a range on both sides of zero from zero", () => {
    const { mimic, svg } = bind('<rect x="0" y="0" width="10" height="100" data-bar="a"/>');
    const box = (number: number): string[] => {
      mimic.update(source({ a: value({ number, range: [-100, 100] }) }));
      const fill = svg.querySelector(".m-bar-fill");
      return [fill?.getAttribute("y") ?? "", fill?.getAttribute("height") ?? ""];
    };
    expect(box(0)).toEqual(["50.0", "0.0"]);
    expect(box(50)).toEqual(["25.0", "25.0"]);
    expect(box(-50)).toEqual(["50.0", "25.0"]);
    expect(fillSpan(4, [0, 10])).toEqual([0, 0.4]);
    expect(fillSpan(-10, [-40, 60])).toEqual([0.3, 0.4]);
    expect(fillSpan(null, [-1, 1])).toBeNull();
  });

  it("badges an output that its program does not drive", () => {
    const { mimic, svg } = bind('<g data-mode="a b"/>');
    mimic.update(source({}, null, "en", ["b"]));
    expect(svg.querySelector(".m-badge")?.getAttribute("visibility")).toBe("visible");
    expect(svg.querySelector(".m-badge text")?.textContent).toBe("M");
    mimic.update(source({}));
    expect(svg.querySelector(".m-badge")?.getAttribute("visibility")).toBe("hidden");
    expect(mimic.tags.sort()).toEqual(["a", "b"]);
  });

  it("tells running, standing and unknown apart", () => {
    const { mimic, svg } = bind('<g data-running="a" data-on="2 5"/>');
    const group = svg.querySelector("g") as SVGGElement;
    for (const [number, name] of [[2, "m-on"], [5, "m-on"], [1, "m-off"], [0, "m-off"], [null, "m-unknown"]] as const) {
      mimic.update(source({ a: value({ number }) }));
      expect(["m-on", "m-off", "m-unknown"].filter((c) => group.classList.contains(c))).toEqual([name]);
    }
  });

  it("marks alarms, switches languages, opens faceplates by mouse and key", () => {
    const { mimic, svg } = bind('<g data-alarm="a b/"/><text data-zh="进水" data-en="Inlet">x</text><text data-value="a">0</text><g data-open-page="p"/>');
    mimic.update(source({ a: value() }, { priority: 2, unacknowledged: true }, "en"));
    expect(svg.querySelector(".m-alarm")?.classList.contains("p2")).toBe(true);
    expect(svg.querySelector(".m-alarm text")?.textContent).toBe("2");
    expect(svg.querySelector("[data-zh]")?.textContent).toBe("Inlet");
    mimic.update(source({ a: value() }, null));
    expect(svg.querySelector(".m-alarm")?.getAttribute("visibility")).toBe("hidden");
    expect(svg.querySelector("[data-zh]")?.textContent).toBe("进水");
    svg.querySelector("[data-value]")?.dispatchEvent(new MouseEvent("click", { bubbles: true }));
    svg.querySelector("[data-value]")?.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
    svg.querySelector("[data-open-page]")?.dispatchEvent(new MouseEvent("click"));
    expect(opened).toEqual(["a", "a", "page p"]);
    expect(svg.querySelector("[data-value]")?.getAttribute("tabindex")).toBe("0");
  });

  it("clamps shares and knows when there is none", () => {
    expect(share(5, [0, 10])).toBe(0.5);
    expect(share(-5, [0, 10])).toBe(0);
    expect(share(50, [0, 10])).toBe(1);
    expect(share(null, [0, 10])).toBeNull();
    expect(share(1, null)).toBeNull();
    expect(share(1, [3, 3])).toBeNull();
  });
});
