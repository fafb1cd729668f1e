//! `penstock registers`: the register map of the Modbus server, for whoever programs the other side.

use crate::config::{Overrides, Site, load};
use penstock_modbus_server::{Bad, Form, WordOrder};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Options of `penstock registers`.
#[derive(Debug, clap::Args)]
pub struct RegistersArgs {
    /// Site folder.
    site: PathBuf,
    /// Comma-separated values in place of a Markdown table.
    #[arg(long)]
    csv: bool,
}

const HEAD: [&str; 12] =
    ["address", "PDU", "registers", "type", "order", "scale", "unit", "tag", "title", "标题", "if bad", "quality at"];

/// Prints the map.
///
/// # Errors
/// When the site has mistakes, or no Modbus server.
pub fn run(args: &RegistersArgs) -> Result<(), String> {
    let loaded = load(&args.site, &Overrides::default()).map_err(|e| e.to_string())?;
    let rows = rows(&loaded.site).ok_or_else(|| {
        format!("{} has no modbus-server.yaml: no tag of it is served in registers", args.site.display())
    })?;
    say!("{}", if args.csv { csv(&rows) } else { markdown(&rows) });
    Ok(())
}

type Row = [String; 12];

/// The address as Modicon counts, from 1.
fn modicon(digit: char, pdu: u16) -> String {
    let number = u32::from(pdu) + 1;
    if number <= 9_999 { format!("{digit}{number:04}") } else { format!("{digit}{number:05}") }
}

/// The rows of the table, by address; `None` for a site without a server.
fn rows(site: &Site) -> Option<Vec<Row>> {
    let config = site.modbus_server.as_ref()?;
    let mut all: Vec<(bool, u16, Row)> = Vec::new();
    if let Some(at) = config.heartbeat_at {
        let row = [
            "uint16",
            "",
            "1",
            "s",
            "",
            "counts up once a second while control is alive",
            "控制正常时每秒加一",
            "",
            "",
        ];
        let mut cells = vec![modicon('4', at), at.to_string(), "1".to_owned()];
        cells.extend(row.map(str::to_owned));
        all.push((false, at, cells.try_into().ok()?));
    }
    for p in &config.points {
        let bit = p.form == Form::Bit;
        let order = match (p.form.words(), p.order) {
            (1, _) => "",
            (_, WordOrder::HighFirst) => "ABCD",
            (_, WordOrder::LowFirst) => "CDAB",
        };
        let bad = match p.bad {
            Bad::Mark => mark(p.form).to_owned(),
            Bad::Last => "last value".to_owned(),
            Bad::Value(v) => v.to_string(),
            Bad::Exception => "exception 4".to_owned(),
        };
        let row = [
            modicon(if bit { '1' } else { '4' }, p.at),
            p.at.to_string(),
            if bit { "bit".to_owned() } else { p.form.words().to_string() },
            p.form.as_str().to_owned(),
            order.to_owned(),
            p.scale.to_string(),
            p.unit.clone(),
            p.path.to_string(),
            p.title.en.to_string(),
            p.title.zh.to_string(),
            bad,
            p.quality_at.map_or(String::new(), |at| modicon('4', at)),
        ];
        all.push((bit, p.at, row));
    }
    all.sort_by_key(|(bit, at, _)| (*bit, *at));
    Some(all.into_iter().map(|(_, _, row)| row).collect())
}

fn mark(form: Form) -> &'static str {
    match form {
        Form::Bit => "0",
        Form::U16 => "0xFFFF",
        Form::I16 => "0x8000",
        Form::U32 => "0xFFFFFFFF",
        Form::I32 => "0x80000000",
        Form::I64 => "0x8000000000000000",
        Form::F32 | Form::F64 => "NaN",
    }
}

fn markdown(rows: &[Row]) -> String {
    let mut out = format!("| {} |\n|{}\n", HEAD.join(" | "), " --- |".repeat(HEAD.len()));
    for row in rows {
        let cells: Vec<String> = row.iter().map(|c| c.replace('|', "\\|")).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
    out.push_str(
        "\nRegisters are answered to functions 3 and 4 alike, bits to 1 and 2; nothing can be written (exception 1). \
         Addresses count from 1, PDU from 0. Quality: 192 good, 64 uncertain, 0 bad. A value is its raw number times the scale.",
    );
    out
}

fn csv(rows: &[Row]) -> String {
    let line = |cells: &[String]| {
        let quoted = cells
            .iter()
            .map(|c| if c.contains([',', '"', '\n']) { format!("\"{}\"", c.replace('"', "\"\"")) } else { c.clone() });
        quoted.collect::<Vec<_>>().join(",")
    };
    let head = HEAD.map(str::to_owned);
    std::iter::once(line(&head)).chain(rows.iter().map(|r| line(r))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_count_from_one_and_cells_are_quoted() {
        assert_eq!(
            (modicon('4', 0), modicon('1', 9_998), modicon('4', 9_999)),
            ("40001".into(), "19999".into(), "410000".into())
        );
        let mut row: Row = Default::default();
        row[8] = "flow, \"raw\"".into();
        assert!(csv(&[row.clone()]).ends_with(",\"flow, \"\"raw\"\"\",,,"));
        row[8] = "a|b".into();
        assert!(markdown(&[row]).contains("a\\|b"));
    }
}
