import "uplot/dist/uPlot.min.css";
import "./app.css";
import { mount } from "svelte";
import App from "./App.svelte";
import { prefs } from "./lib/prefs.svelte";

prefs.apply();
const target = document.getElementById("app");
if (!target) throw new Error("the page has no place for the application");
mount(App, { target });
