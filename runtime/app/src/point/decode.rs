//! `penstock point decode`: what registers can mean, and the point to paste.

use super::place::LinkArgs;
use penstock_modbus::{
    Address, Area, AskError, AskFault, ByteOrder, Meaning, Raw, Visit, WireType, meaning, meanings, parse_place,
};
use penstock_model::{BadReason, Value};
use std::fmt::Write;

/// Smaller than any measurement in its own unit.
const NEXT_TO_NOTHING: f64 = 1e-20;

/// What to decode.
#[derive(Debug, clap::Args)]
pub struct DecodeArgs {
    /// One to four registers in the order of their addresses: 0x42C8 0x0000, or decimal.
    #[arg(value_parser = word, required_unless_present = "address", conflicts_with = "address", num_args = 1..=4)]
    words: Vec<u16>,
    #[command(flatten)]
    link: LinkArgs,
    /// Unit, with --address.
    #[arg(long, default_value_t = 1)]
    unit: u8,
    /// Place of the first register, in any notation; read where --address says.
    #[arg(long)]
    at: Option<String>,
    /// What the value should be about, as 0..100: what lies within is marked.
    #[arg(long, value_parser = range, allow_hyphen_values = true)]
    range: Option<(f64, f64)>,
    /// Print the point for this type, whatever fits.
    #[arg(long = "as", value_name = "TYPE")]
    wire: Option<String>,
    /// And in this byte order.
    #[arg(long)]
    byte_order: Option<String>,
    /// Path of the tag in the point to paste.
    #[arg(long, default_value = "new/point")]
    tag: String,
}

/// Registers from one place on.
struct Column {
    /// Where the first one is.
    at: Option<Address>,
    /// What a person reads above it.
    title: String,
    words: Vec<u16>,
}

/// Decodes and prints.
///
/// # Errors
/// In words for a person.
pub async fn run(args: DecodeArgs) -> Result<(), String> {
    let place = args.at.as_deref().map(|at| parse_place(at, args.link.zero_based)).transpose();
    let place = place.map_err(|e| e.to_string())?;
    if let Some(place) = place.filter(|p| !p.address.area.is_register()) {
        return Err(format!("{} is a single bit: there is nothing to decode", place.address));
    }
    let columns = if args.link.address.is_some() {
        let place = place.ok_or("say which registers are meant: --at 40001")?;
        live(&args, place.address, place.unit.unwrap_or(args.unit)).await?
    } else {
        let at = place.map(|p| Address { bit: None, ..p.address });
        let title = at.map_or_else(|| "value".to_owned(), |at| format!("PDU {} ({})", at.pdu, at.modicon()));
        vec![Column { at, title, words: args.words.clone() }]
    };
    say_part!("{}", table(&columns, args.range));
    say_part!("{}", paste(&args, &columns)?);
    Ok(())
}

/// Reads the registers as counted from the base that is meant, and as counted from the other one.
async fn live(args: &DecodeArgs, address: Address, unit: u8) -> Result<Vec<Column>, String> {
    let mut config = args.link.config(unit)?;
    config.quirks.retries = Some(0);
    let mut visit = Visit::open(config).await.map_err(|e| e.to_string())?;
    let other = if args.link.zero_based { address.pdu.checked_sub(1) } else { address.pdu.checked_add(1) };
    let (own_base, other_base) = if args.link.zero_based { ("from 0", "from 1") } else { ("from 1", "from 0") };
    let mut columns = Vec::new();
    for (pdu, base) in [(Some(address.pdu), own_base), (other, other_base)] {
        let Some(at) = pdu.map(|pdu| Address { area: address.area, pdu, bit: None }) else { continue };
        match most(&mut visit, at.area, at.pdu).await {
            Ok(words) => {
                let title = format!("counted {base}: PDU {} ({})", at.pdu, at.modicon());
                columns.push(Column { at: Some(at), title, words });
            }
            Err(e) if columns.is_empty() && base != own_base => return Err(e.to_string()),
            Err(e) => say!("counted {base}: {e}"),
        }
    }
    if columns.is_empty() { Err(format!("nothing can be read at {address}")) } else { Ok(columns) }
}

/// Four registers, or as many of them as the device gives.
async fn most(visit: &mut Visit, area: Area, pdu: u16) -> Result<Vec<u16>, AskError> {
    let mut last = None;
    for count in [4, 2, 1] {
        match visit.places(area, pdu, count).await {
            Ok((Raw::Words(words), _)) => return Ok(words),
            Ok((Raw::Bits(_), _)) => break,
            Err(e) if matches!(e.fault, AskFault::Refused(2 | 3)) => last = Some(e),
            Err(e) => return Err(e),
        }
    }
    match last {
        Some(error) => Err(error),
        // The other arms have left already.
        None => visit.places(area, pdu, 1).await.map(|_| Vec::new()),
    }
}

/// Every meaning in a row, the places side by side.
fn table(columns: &[Column], range: Option<(f64, f64)>) -> String {
    let mut out = String::new();
    for column in columns {
        let _ = writeln!(out, "{:<34} {}", column.title, Raw::Words(column.words.clone()));
    }
    let all: Vec<Vec<Meaning>> = columns.iter().map(|c| meanings(&c.words)).collect();
    let mut rows: Vec<(WireType, ByteOrder)> = Vec::new();
    for meaning in all.iter().flatten() {
        if !rows.contains(&(meaning.wire, meaning.order)) {
            rows.push((meaning.wire, meaning.order));
        }
    }
    let _ = write!(out, "\n{:<9} {:<9}", "type", "order");
    for column in columns {
        let head = column.at.map_or("value".to_owned(), |at| format!("PDU {}", at.pdu));
        let _ = write!(out, " {head:>26}");
    }
    out.push('\n');
    for (wire, order) in rows {
        let _ = write!(out, "{:<9} {:<9}", wire.to_string(), order_name(wire, order));
        for meanings in &all {
            let found = meanings.iter().find(|m| m.wire == wire && m.order == order);
            let text = found.map_or(String::new(), |m| cell(&m.value, range));
            let _ = write!(out, " {text:>26}");
        }
        out.push('\n');
    }
    if let Some((low, high)) = range {
        let _ = writeln!(out, "* within {low} to {high}");
    }
    out
}

/// One register has no words to swap: its orders are AB and BA.
fn order_name(wire: WireType, order: ByteOrder) -> String {
    match (wire, order) {
        (WireType::Int8High | WireType::Int8Low, _) => String::new(),
        (_, ByteOrder::Abcd) if wire.registers() == 1 => "AB".to_owned(),
        (_, ByteOrder::Badc) if wire.registers() == 1 => "BA".to_owned(),
        _ => order.to_string(),
    }
}

fn cell(value: &Result<Value, BadReason>, range: Option<(f64, f64)>) -> String {
    let mark = if fits(value, range) { "* " } else { "" };
    match value {
        Ok(Value::Float(x)) if *x != 0.0 && (x.abs() >= 1e9 || x.abs() < 1e-4) => format!("{mark}{x:.6e}"),
        Ok(Value::Float(x)) => format!("{mark}{}", shortest(*x)),
        Ok(value) => format!("{mark}{value}"),
        Err(BadReason::NotFinite) => "not finite".to_owned(),
        Err(_) => "–".to_owned(),
    }
}

/// Seven figures: what a single can hold.
fn shortest(x: f64) -> String {
    let text = format!("{x:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-" { "0".to_owned() } else { text.to_owned() }
}

fn fits(value: &Result<Value, BadReason>, range: Option<(f64, f64)>) -> bool {
    let number = value.as_ref().ok().and_then(Value::as_f64);
    match (number, range) {
        // Next to nothing is what other types look like as floating point, and no measurement.
        (Some(x), Some((low, high))) => (low..=high).contains(&x) && (x == 0.0 || x.abs() > NEXT_TO_NOTHING),
        _ => false,
    }
}

/// The point in the form of a device's file: the type that was asked for, else the likeliest within the range.
fn paste(args: &DecodeArgs, columns: &[Column]) -> Result<String, String> {
    let wire = args.wire.as_deref().map(WireType::parse).transpose().map_err(|e| e.to_string())?;
    let order = args.byte_order.as_deref().map(ByteOrder::parse).transpose().map_err(|e| e.to_string())?;
    let mut found: Vec<(&Column, WireType, ByteOrder)> = Vec::new();
    for column in columns {
        if let Some(wire) = wire {
            let own = column.words.get(..usize::from(wire.registers()));
            let order = order.unwrap_or_default();
            let own = own.ok_or_else(|| {
                format!("{wire} takes {} registers; there are {}", wire.registers(), column.words.len())
            })?;
            meaning(own, wire, order).map_err(|why| format!("the registers as {wire} {order} are bad ({why})"))?;
            found.push((column, wire, order));
            break;
        }
        let mut likely: Vec<Meaning> = meanings(&column.words)
            .into_iter()
            .filter(|m| fits(&m.value, args.range) && order.is_none_or(|o| o == m.order))
            .collect();
        likely.sort_by_key(unlikely);
        found.extend(likely.into_iter().map(|m| (column, m.wire, m.order)));
    }
    let Some((column, wire, order)) = found.first().copied() else {
        let how = if args.range.is_some() { "nothing lies within the range" } else { "no range is given" };
        return Ok(format!(
            "\n# {how}: say --range 0..100, or --as float32 --byte-order CDAB, to have the point printed\n"
        ));
    };
    let mut out = String::from("\n");
    if found.len() > 1 {
        let others: Vec<String> = found[1..]
            .iter()
            .take(4)
            .map(|(c, w, o)| {
                let at = c.at.map_or(String::new(), |at| format!(" at PDU {}", at.pdu));
                format!("{}{at}", format!("{w} {}", order_name(*w, *o)).trim())
            })
            .collect();
        let _ = writeln!(out, "# within the range as well: {}; a second value tells which it is", others.join(", "));
    }
    out.push_str(&point(args, column, wire, order));
    Ok(out)
}

/// What a device is least likely to mean comes last: a whole number that is 0 in most of its bits fits every range, odd
/// orders are rare, single bytes and decimals are rarer.
fn unlikely(meaning: &Meaning) -> u32 {
    let by_order = match meaning.order {
        ByteOrder::Abcd => 0,
        ByteOrder::Cdab => 1,
        ByteOrder::Badc | ByteOrder::Dcba => 2,
        ByteOrder::Cdabghef | ByteOrder::Efghabcd => 3,
    };
    let by_type = match meaning.wire {
        WireType::Float32 => 0,
        WireType::Float64 => 1,
        WireType::Uint16 | WireType::Int16 => 2,
        WireType::Uint32 | WireType::Int32 | WireType::Uint64 | WireType::Int64 => 3,
        _ => 5,
    };
    let tiny = meaning.value.as_ref().ok().and_then(Value::as_f64).is_some_and(|x| x == 0.0 || x.abs() < 1e-6);
    by_type * 4 + by_order + if tiny { 100 } else { 0 }
}

fn point(args: &DecodeArgs, column: &Column, wire: WireType, order: ByteOrder) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut out = String::from("points:\n");
    let _ = writeln!(out, "  - tag: {}", quoted(&args.tag));
    match column.at {
        Some(at) if args.link.zero_based => {
            // Counted from 0 whatever the device's file says of its manual.
            let letter = if at.area == Area::Input { 'i' } else { 'h' };
            let _ = writeln!(out, "    at: {letter}{}                # {at}", at.pdu);
        }
        Some(at) => {
            let _ = writeln!(out, "    at: {}             # {at}", at.modicon());
        }
        None => out.push_str("    at: 40001             # the place of the first register: say --at to have it here\n"),
    }
    let _ = writeln!(out, "    as: {wire}");
    if wire.registers() > 1 || order != ByteOrder::Abcd {
        let _ = writeln!(out, "    byte_order: {order}");
    }
    if let Some((low, high)) = args.range {
        let _ = writeln!(out, "    range: [{low}, {high}]");
    }
    out
}

/// `0x42C8`, `42C8h` or a decimal number from 0 to 65535.
fn word(text: &str) -> Result<u16, String> {
    let lower = text.trim().to_ascii_lowercase();
    let hex = lower.strip_prefix("0x").or_else(|| lower.strip_suffix('h'));
    let number = match hex {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => lower.parse().ok(),
    };
    number.ok_or_else(|| format!("`{text}` is no register; write 0x42C8, or 0 to 65535"))
}

/// `0..100`.
fn range(text: &str) -> Result<(f64, f64), String> {
    let parsed = text.split_once("..").and_then(|(low, high)| {
        let (low, high) = (low.trim().parse::<f64>().ok()?, high.trim().trim_start_matches('=').parse::<f64>().ok()?);
        (low.is_finite() && high.is_finite() && low < high).then_some((low, high))
    });
    parsed.ok_or_else(|| format!("`{text}` is no range; write 0..100, the smaller number first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[u16], range: Option<(f64, f64)>) -> DecodeArgs {
        use clap::Parser;
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: DecodeArgs,
        }
        let mut args = Line::try_parse_from(["x", "0"]).map(|l| l.args).unwrap();
        (args.words, args.range) = (words.to_vec(), range);
        args
    }

    fn column(words: &[u16]) -> Vec<Column> {
        let at = parse_place("40101", false).unwrap().address;
        vec![Column { at: Some(at), title: "x".into(), words: words.to_vec() }]
    }

    #[test]
    fn what_lies_within_the_range_is_marked_and_printed_as_a_point() {
        let words = [0x0000, 0x42C8];
        let range = Some((10.0, 200.0));
        let text = table(&column(&words), range);
        let row = |start: &str| text.lines().find(|l| l.starts_with(start)).unwrap().to_owned();
        assert!(row("float32   CDAB").ends_with("* 100"), "{text}");
        assert!(!row("float32   ABCD").contains('*'), "{text}");
        let yaml = paste(&args(&words, range), &column(&words)).unwrap();
        for part in ["at: 40101", "holding register PDU 100", "as: float32", "byte_order: CDAB", "range: [10, 200]"] {
            assert!(yaml.contains(part), "missing {part}: {yaml}");
        }
    }

    #[test]
    fn a_type_that_is_asked_for_is_printed_whatever_fits() {
        let words = [0x42C8, 0];
        let asked = DecodeArgs { wire: Some("dint".into()), byte_order: Some("#LB".into()), ..args(&words, None) };
        let yaml = paste(&asked, &column(&words)).unwrap();
        assert!(yaml.contains("as: int32") && yaml.contains("byte_order: CDAB"), "{yaml}");
        let wide = DecodeArgs { wire: Some("float64".into()), ..args(&words, None) };
        assert!(paste(&wide, &column(&words)).unwrap_err().contains("takes 4 registers"));
        assert!(paste(&args(&words, None), &column(&words)).unwrap().contains("--range"));
    }

    #[test]
    fn registers_and_ranges_are_read_as_people_write_them() {
        assert_eq!((word("0x42C8"), word("42C8h"), word("17096")), (Ok(0x42C8), Ok(0x42C8), Ok(17_096)));
        assert!(word("65536").is_err() && word("42C8").is_err());
        assert_eq!(range("-20..60"), Ok((-20.0, 60.0)));
        assert!(range("100..0").is_err() && range("5").is_err() && range("0..nan").is_err());
    }
}
