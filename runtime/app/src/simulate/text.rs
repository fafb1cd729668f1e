//! A report as a person reads it.

use super::report::Report;
use serde_json::Value as Json;
use std::fmt::{self, Formatter};

fn number(x: &Json) -> String {
    match x.as_f64() {
        None => "-".to_owned(),
        Some(x) if x.abs() >= 100_000.0 => format!("{x:.0}"),
        Some(x) => format!("{x:.3}"),
    }
}

fn percent(x: &Json) -> String {
    x.as_f64().map_or_else(|| "-".to_owned(), |x| format!("{:.1} %", x * 100.0))
}

fn text(x: &Json) -> &str {
    x.as_str().unwrap_or_default()
}

fn pairs(x: &Json) -> impl Iterator<Item = (&String, &Json)> {
    x.as_object().into_iter().flatten()
}

fn list(x: &Json) -> impl Iterator<Item = &Json> {
    x.as_array().into_iter().flatten()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let r = self.to_json();
        head(f, r)?;
        loops(f, &r["loops"])?;
        outputs(f, &r["outputs"])?;
        quantities(f, &r["values"])?;
        chemicals(f, &r["chemicals"])?;
        energy(f, &r["energy"])?;
        indices(f, r)?;
        limits(f, &r["limits"])?;
        alarms(f, &r["alarms"])?;
        let w = &r["writes"];
        writeln!(
            f,
            "\nwrites: {} granted, {} failed or refused, {} superseded",
            w["granted"], w["failed"], w["superseded"]
        )?;
        for fault in list(&r["faults"]) {
            writeln!(f, "fault: {}", text(fault))?;
        }
        Ok(())
    }
}

fn head(f: &mut Formatter<'_>, r: &Json) -> fmt::Result {
    if let Some(title) = r["scenario"].as_str() {
        writeln!(f, "{title}{}", r["scenario_zh"].as_str().map(|zh| format!(" · {zh}")).unwrap_or_default())?;
    }
    writeln!(
        f,
        "{} (configuration {}), {} days after {} h, weather {}, seed {}, start {}",
        text(&r["site"]),
        text(&r["configuration"]),
        r["days"].as_f64().map_or_else(String::new, |d| format!("{d:.3}")),
        r["settle_hours"].as_f64().map_or_else(String::new, |h| format!("{h:.2}")),
        text(&r["weather"]),
        r["seed"],
        r["start"]
    )
}

fn loops(f: &mut Formatter<'_>, loops: &Json) -> fmt::Result {
    writeln!(
        f,
        "\n{:<28}{:>12}{:>12}{:>12}{:>10}{:>11}{:>12}",
        "loop", "mean |e|", "IAE/h", "max |e|", "known", "saturated", "oscillation"
    )?;
    for l in list(loops) {
        writeln!(
            f,
            "{:<28}{:>12}{:>12}{:>12}{:>10}{:>11}{:>12}  {}",
            text(&l["measured"]),
            number(&l["mean_abs_error"]),
            number(&l["iae_unit_h"]),
            number(&l["max_abs_error"]),
            percent(&l["good_share"]),
            percent(&l["saturated_share"]),
            number(&l["oscillation"]),
            text(&l["unit"]),
        )?;
        // Crossings more regular than chance: the loop swings.
        if l["oscillation"].as_f64().is_some_and(|regularity| regularity > 1.0) {
            writeln!(f, "    swings with a period of {} s", number(&l["oscillation_period_s"]))?;
        }
        for (output, travel) in pairs(&l["output_travel_per_day"]) {
            writeln!(f, "    by {output}, travel {} a day", number(travel))?;
        }
    }
    Ok(())
}

fn outputs(f: &mut Formatter<'_>, outputs: &Json) -> fmt::Result {
    writeln!(f, "\n{:<28}{:>14}{:>14}{:>14}", "output", "travel/day", "moves/day", "starts/day")?;
    for (path, o) in pairs(outputs) {
        let (travel, moves) = (number(&o["travel_per_day"]), number(&o["moves_per_day"]));
        writeln!(f, "{path:<28}{travel:>14}{moves:>14}{:>14}  {}", number(&o["starts_per_day"]), text(&o["unit"]))?;
    }
    Ok(())
}

fn quantities(f: &mut Formatter<'_>, values: &Json) -> fmt::Result {
    writeln!(f, "\n{:<28}{:>14}{:>14}{:>14}{:>10}", "quantity", "mean", "min", "max", "known")?;
    for (path, v) in pairs(values).filter(|(_, v)| !v["mean"].is_null()) {
        let (mean, min, max) = (number(&v["mean"]), number(&v["min"]), number(&v["max"]));
        writeln!(f, "{path:<28}{mean:>14}{min:>14}{max:>14}{:>10}  {}", percent(&v["good_share"]), text(&v["unit"]))?;
    }
    Ok(())
}

fn chemicals(f: &mut Formatter<'_>, chemicals: &Json) -> fmt::Result {
    writeln!(f, "\n{:<28}{:>14}{:>14}{:>14}", "chemical", "litres", "litres/day", "kg")?;
    for (name, c) in pairs(chemicals) {
        let (litres, daily) = (number(&c["litres"]), number(&c["litres_per_day"]));
        writeln!(f, "{name:<28}{litres:>14}{daily:>14}{:>14}  {}", number(&c["kg"]), text(&c["tag"]))?;
    }
    Ok(())
}

fn energy(f: &mut Formatter<'_>, e: &Json) -> fmt::Result {
    if !e.is_object() {
        return Ok(());
    }
    writeln!(
        f,
        "\nenergy: load {} kWh, import {}, export {}, PV {}; self-use {}, self-sufficiency {}; {} kWh/m3; demand {} kW",
        number(&e["load_kwh"]),
        number(&e["import_kwh"]),
        number(&e["export_kwh"]),
        number(&e["pv_kwh"]),
        percent(&e["scr"]),
        percent(&e["ssr"]),
        number(&e["kwh_per_m3"]),
        number(&e["demand_max_kw"]),
    )?;
    for meter in list(&e["meters"]) {
        writeln!(f, "  {:<26}{:>14} kWh", text(&meter["name"]), number(&meter["import_kwh"]))?;
    }
    let cost = &e["cost"];
    let money = text(&cost["currency"]);
    writeln!(
        f,
        "cost: import {} {money}, export {} {money}",
        number(&cost["import_cost"]),
        number(&cost["export_revenue"])
    )?;
    for tier in list(&cost["tiers"]) {
        writeln!(
            f,
            "  {:<26}{:>14} kWh{:>12} {money}/kWh{:>14} {money}",
            text(&tier["name"]),
            number(&tier["kwh"]),
            number(&tier["price_per_kwh"]),
            number(&tier["cost"])
        )?;
    }
    let carbon = &e["carbon"];
    writeln!(
        f,
        "carbon: {} kg CO2e and {} kg that stand apart; {} kg/m3, {} with those",
        number(&carbon["total_kg"]),
        number(&carbon["separate_kg"]),
        number(&carbon["kg_per_m3"]),
        number(&carbon["kg_per_m3_with_separate"])
    )?;
    for line in list(&carbon["lines"]) {
        writeln!(
            f,
            "  {:<26}{:>14} {:<6}{:>14} kg CO2e, scope {}, {} {}",
            text(&line["activity"]),
            number(&line["quantity"]),
            text(&line["unit"]),
            number(&line["kg"]),
            line["scope"],
            text(&line["factor"]["id"]),
            text(&line["factor"]["edition"])
        )?;
    }
    Ok(())
}

fn indices(f: &mut Formatter<'_>, report: &Json) -> fmt::Result {
    writeln!(f, "\nthe plant by the truth:")?;
    for (name, figure) in pairs(&report["indices"]) {
        let (value, unit, title) = (number(&figure["value"]), text(&figure["unit"]), text(&figure["title"]));
        writeln!(f, "  {name:<24}{value:>14}  {unit:<13} {title}")?;
    }
    writeln!(f, "\neffluent against its limits:   over, %   times    95 %     max  worst day  days over")?;
    for (name, l) in pairs(&report["effluent"]) {
        let [over, p95, max, day] = ["over_pct", "p95", "max", "worst_day"].map(|key| number(&l[key]));
        let (crossings, days) = (l["crossings"].to_string(), l["days_over"].to_string());
        let limit = format!("{name} {} {}", l["limit"], text(&l["unit"]));
        writeln!(f, "  {limit:<26}{over:>10}{crossings:>8}{p95:>8}{max:>8}{day:>11}{days:>11}")?;
    }
    Ok(())
}

fn limits(f: &mut Formatter<'_>, limits: &Json) -> fmt::Result {
    writeln!(f, "\nlimits violated (share of time, number of crossings):")?;
    let mut none = true;
    for (alarm, l) in pairs(limits).filter(|(_, l)| l["crossings"].as_u64() != Some(0)) {
        none = false;
        let (share, crossings) = (percent(&l["share"]), l["crossings"].to_string());
        let (tag, side, limit, unit) = (text(&l["tag"]), text(&l["side"]), &l["limit"], text(&l["unit"]));
        writeln!(f, "  {alarm:<26}{share:>10}{crossings:>8} ×  {tag} {side} {limit} {unit}")?;
    }
    if none { writeln!(f, "  none") } else { Ok(()) }
}

fn alarms(f: &mut Formatter<'_>, alarms: &Json) -> fmt::Result {
    writeln!(f, "\nalarms:")?;
    let mut none = true;
    for (name, a) in
        pairs(alarms).filter(|(_, a)| a["raised"].as_u64() != Some(0) || a["active_s"].as_f64() > Some(0.0))
    {
        none = false;
        let standing = if a["standing"] == true { ", standing at the end" } else { "" };
        let (priority, raised, per_day) = (text(&a["priority"]), a["raised"].to_string(), number(&a["per_day"]));
        let active = number(&a["active_s"]);
        writeln!(f, "  {name:<26}{priority:<10}{raised:>5} × ({per_day} a day), active {active} s{standing}")?;
    }
    if none { writeln!(f, "  none") } else { Ok(()) }
}
