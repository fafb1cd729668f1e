//! `penstock point scan`.

use super::place::LinkArgs;
use super::read::ms;
use penstock_modbus::{Address, Area, AreaMap, ScanLimits, Sign, UnitSeen, Visit, scan_areas, scan_units};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Silence between two questions where nobody says.
const PAUSE: Duration = Duration::from_millis(50);

/// What to scan.
#[derive(Debug, clap::Args)]
pub struct ScanArgs {
    #[command(flatten)]
    link: LinkArgs,
    /// One unit: what can be read of it. A range, as 1..20: which of them answer.
    #[arg(long, default_value = "1", value_parser = units)]
    unit: RangeInclusive<u8>,
    /// Tables to look at: coil, discrete, input, holding. Default all.
    #[arg(long, value_parser = area)]
    area: Vec<Area>,
    /// Places to look at, as the protocol counts, from 0.
    #[arg(long, default_value = "0..999", value_parser = places)]
    places: RangeInclusive<u16>,
    /// The scan ends after this time, and says what it did not settle.
    #[arg(long, default_value = "2min", value_parser = crate::cli::duration)]
    time: Duration,
}

/// Scans and prints.
///
/// # Errors
/// In words for a person; also where nobody answers.
pub async fn run(args: ScanArgs) -> Result<(), String> {
    let limits = ScanLimits { pause: args.link.pause.unwrap_or(PAUSE), time: args.time };
    let (first, last) = (*args.unit.start(), *args.unit.end());
    let mut config = args.link.config(first)?;
    // One question is one question: what is lost is asked again by the person.
    config.quirks.retries = Some(0);
    let mut visit = Visit::open(config).await.map_err(|e| e.to_string())?;
    let units = args.unit.clone();
    if first != last {
        let seen = scan_units(&mut visit, units, limits, |unit| say!("{}", unit_line(unit))).await;
        return summary(&seen.map_err(|e| e.to_string())?, first, last);
    }
    // Whether it is there is asked however short the time.
    let look = ScanLimits { time: limits.time.max(Duration::from_secs(1)), ..limits };
    let seen = scan_units(&mut visit, units, look, |unit| say!("{}", unit_line(unit))).await;
    let seen = seen.map_err(|e| e.to_string())?;
    if !seen.iter().any(|unit| unit.sign.is_there()) {
        return Err(format!("unit {first} does not answer; `--unit 1..20` looks for others"));
    }
    let all = [Area::Coil, Area::Discrete, Area::Input, Area::Holding];
    let areas = if args.area.is_empty() { all.to_vec() } else { args.area };
    let maps = scan_areas(&mut visit, &areas, args.places.clone(), limits).await.map_err(|e| e.to_string())?;
    for map in &maps {
        say_part!("{}", area_text(map, &args.places));
    }
    Ok(())
}

fn summary(seen: &[UnitSeen], first: u8, last: u8) -> Result<(), String> {
    let there: Vec<String> = seen.iter().filter(|u| u.sign.is_there()).map(|u| u.unit.to_string()).collect();
    let not_asked = usize::from(last - first) + 1 - seen.len();
    if not_asked > 0 {
        say!("{not_asked} units were not asked: the time was over (--time)");
    }
    if there.is_empty() {
        return Err(format!("none of the units {first} to {last} answers"));
    }
    say!("units that answer: {}", there.join(", "));
    Ok(())
}

fn unit_line(seen: &UnitSeen) -> String {
    let what = match &seen.sign {
        Sign::Answers => "answers".to_owned(),
        Sign::Refuses(1) => "answers (it has no holding registers: exception 1)".to_owned(),
        Sign::Refuses(code) => format!("answers (its first holding register is refused: exception {code})"),
        Sign::Damaged(why) => format!("something comes that is no answer: {why}"),
        Sign::Absent(why) => why.clone(),
    };
    let identity = if seen.identity.is_empty() { String::new() } else { format!("; {}", seen.identity.join(", ")) };
    format!("unit {:>3}  {:>9}  {what}{identity}", seen.unit, ms(seen.took))
}

/// What is known of an area, in both ways of counting.
fn area_text(map: &AreaMap, looked: &RangeInclusive<u16>) -> String {
    let span = |(first, last): &(u16, u16)| {
        let at = |pdu: u16| Address { area: map.area, pdu, bit: None }.modicon();
        let count = u32::from(*last) - u32::from(*first) + 1;
        format!("PDU {first}..{last} ({}..{}), {count}", at(*first), at(*last))
    };
    let mut out = format!("{}s, {} questions\n", map.area, map.questions);
    if map.unknown {
        out.push_str("  the device does not know this table (exception 1)\n");
        return out;
    }
    for readable in &map.readable {
        out.push_str(&format!("  readable  {}\n", span(readable)));
    }
    for open in &map.open {
        out.push_str(&format!("  not settled: {}\n", span(open)));
    }
    if map.readable.is_empty() && map.open.is_empty() {
        out.push_str(&format!("  nothing from PDU {} to {}\n", looked.start(), looked.end()));
    }
    if let Some(ended) = &map.ended {
        out.push_str(&format!("  given up: {ended}\n"));
    }
    out
}

/// `3` or `1..20`.
fn units(text: &str) -> Result<RangeInclusive<u8>, String> {
    span(text).ok_or_else(|| format!("`{text}` names no units; write 3 or 1..20, each 0 to 255"))
}

/// `0..999`.
fn places(text: &str) -> Result<RangeInclusive<u16>, String> {
    span(text).ok_or_else(|| format!("`{text}` names no places; write 0..999, each 0 to 65535"))
}

fn span<N: std::str::FromStr + PartialOrd + Copy>(text: &str) -> Option<RangeInclusive<N>> {
    let (first, last) = text.split_once("..").or_else(|| text.split_once('-')).unwrap_or((text, text));
    let (first, last) = (first.trim().parse().ok()?, last.trim().trim_start_matches('=').parse().ok()?);
    (first <= last).then_some(first..=last)
}

fn area(text: &str) -> Result<Area, String> {
    match text.to_ascii_lowercase().as_str() {
        "coil" | "coils" => Ok(Area::Coil),
        "discrete" | "discrete-input" => Ok(Area::Discrete),
        "input" | "input-register" => Ok(Area::Input),
        "holding" | "holding-register" => Ok(Area::Holding),
        _ => Err(format!("`{text}` is no table; there are coil, discrete, input, holding")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_in_the_ways_people_do() {
        assert_eq!(units("3"), Ok(3..=3));
        assert_eq!(units("1..20"), Ok(1..=20));
        assert_eq!(units("1-20"), Ok(1..=20));
        assert_eq!(places("0..=99"), Ok(0..=99));
        for wrong in ["", "20..1", "1..256", "a"] {
            assert!(units(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_settled_is_said_in_both_ways_of_counting() {
        let map = AreaMap {
            area: Area::Holding,
            readable: vec![(0, 47)],
            open: vec![(64, 127)],
            unknown: false,
            ended: None,
            questions: 9,
        };
        let text = area_text(&map, &(0..=127));
        assert!(text.contains("readable  PDU 0..47 (40001..40048), 48"), "{text}");
        assert!(text.contains("not settled: PDU 64..127 (40065..40128), 64"), "{text}");
        let none = AreaMap { readable: Vec::new(), open: Vec::new(), ..map };
        assert!(area_text(&none, &(0..=127)).contains("nothing from PDU 0 to 127"));
    }
}
