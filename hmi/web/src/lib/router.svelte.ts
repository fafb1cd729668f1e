// The page lives in the fragment: `#/trends?tags=a,b`. A reload, a login or a second screen lands on the same page.

export interface Route {
  /** First part of the path: overview, page, trends, alarms, energy, system. */
  name: string;
  /** Second part, for the site's own pages. */
  sub: string;
  query: Record<string, string>;
}

/** Reads a fragment; anything unreadable is the overview. */
export function parseRoute(hash: string): Route {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [name = "", sub = ""] = path.split("/").map(decode);
  const query: Record<string, string> = {};
  for (const [key, value] of new URLSearchParams(search)) query[key] = value;
  return { name: name === "" ? "overview" : name, sub, query };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Writes a fragment. */
export function routeHash(name: string, sub = "", query: Record<string, string> = {}): string {
  const search = Object.entries(query)
    .filter(([, v]) => v !== "")
    .map(([k, v]) => `${k}=${encodeURIComponent(v).replace(/%2F/g, "/").replace(/%2C/g, ",")}`)
    .join("&");
  return `#/${name}${sub === "" ? "" : `/${encodeURIComponent(sub)}`}${search === "" ? "" : `?${search}`}`;
}

class Router {
  route = $state.raw<Route>(parseRoute(typeof location === "undefined" ? "" : location.hash));

  start(): () => void {
    const read = (): void => {
      this.route = parseRoute(location.hash);
    };
    addEventListener("hashchange", read);
    return () => removeEventListener("hashchange", read);
  }

  go(name: string, sub = "", query: Record<string, string> = {}): void {
    location.hash = routeHash(name, sub, query);
  }

  /** Changes the query without a new entry in the browser's history. */
  replaceQuery(query: Record<string, string>): void {
    const hash = routeHash(this.route.name, this.route.sub, query);
    if (hash === location.hash) return;
    history.replaceState(null, "", hash);
    this.route = parseRoute(hash);
  }
}

export const router = new Router();
