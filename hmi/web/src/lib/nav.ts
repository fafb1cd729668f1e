// The pages of the rail: the fixed ones and the site's own, in one order.

import type { Key } from "./i18n";
import type { Pages } from "./pages";
import type { Text } from "./protocol";

export interface NavPage {
  name: string;
  sub: string;
  icon: string;
  key?: Key;
  text?: Text;
}

export function navPages(pages: Pages): NavPage[] {
  return [
    { name: "overview", sub: "", icon: "overview", key: "nav.overview" },
    ...pages.groups.map((g) => ({ name: "page", sub: g.page, icon: g.icon, text: g.title })),
    { name: "energy", sub: "", icon: "energy", key: "nav.energy" },
    { name: "trends", sub: "", icon: "trends", key: "nav.trends" },
    { name: "alarms", sub: "", icon: "alarms", key: "nav.alarms" },
    { name: "system", sub: "", icon: "system", key: "nav.system" },
  ];
}

/** Outlines in a 20 × 20 field; an icon a site names that is not here is drawn as `group`. */
export const ICONS: Record<string, string> = {
  overview: "M2 5h16v10h-16z M2 10h16 M8 5v10",
  energy: "M11 2l-6 9h4l-1 7l7 -10h-5z",
  trends: "M2 2v16h16 M4 13l4 -5l3 3l6 -7",
  alarms: "M10 2l8 15h-16z M10 8v4 M10 14v1",
  system: "M3 3h14v9h-14z M7 17h6 M10 12v5",
  group: "M3 3h6v6h-6z M11 3h6v6h-6z M3 11h6v6h-6z M11 11h6v6h-6z",
  air: "M2 7h10a3 3 0 1 0 -3 -3 M2 11h13a3 3 0 1 1 -3 3 M2 15h6",
  water: "M10 2c4 5 5 7 5 10a5 5 0 0 1 -10 0c0 -3 1 -5 5 -10z",
  dosing: "M4 3h8v5h-8z M8 8v4 M6 12h4v4h-4z M12 14h5",
  disinfection: "M7 2h6 M8 2v5l-4 8a2 2 0 0 0 2 3h8a2 2 0 0 0 2 -3l-4 -8v-5 M6 12h8",
  sludge: "M2 6h16 M4 6l4 9h4l4 -9 M8 11h4",
  pv: "M2 14l3 -9h10l3 9z M3.5 10h13 M8 5l-1 9 M12 5l1 9 M10 14v4",
  heat: "M7 12v-8a2 2 0 0 1 4 0v8a4 4 0 1 1 -4 0z M14 5h3 M14 9h3",
};
