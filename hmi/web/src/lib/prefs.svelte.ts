// What this screen remembers by itself: language and theme. Chinese unless a person chose otherwise.

import type { Lang } from "./format";

export type Theme = "light" | "dark";

function stored(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // A locked-down browser forgets at reload; nothing else depends on it.
  }
}

function firstTheme(): Theme {
  const kept = stored("penstock.theme");
  if (kept === "light" || kept === "dark") return kept;
  return typeof matchMedia === "function" && matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

class Prefs {
  lang = $state<Lang>(stored("penstock.lang") === "en" ? "en" : "zh");
  theme = $state<Theme>(firstTheme());

  setLang(lang: Lang): void {
    this.lang = lang;
    store("penstock.lang", lang);
    this.apply();
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    store("penstock.theme", theme);
    this.apply();
  }

  apply(): void {
    document.documentElement.lang = this.lang === "zh" ? "zh-CN" : "en";
    document.documentElement.dataset.theme = this.theme;
  }
}

export const prefs = new Prefs();
