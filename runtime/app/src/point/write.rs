//! `penstock point write`: a look first, a confirmation, the write, and a look afterwards.

use super::place::{ModbusPlace, Place, PlaceArgs};
use super::read::{ms, shown, text};
use penstock_modbus::{Visit, Written};
use penstock_model::{TagDef, Value, ValueType};
use std::io::IsTerminal;

/// What to write.
#[derive(Debug, clap::Args)]
pub struct WriteArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The value, in the tag's unit; true, false, on or off for a switch.
    #[arg(long, allow_hyphen_values = true)]
    value: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Write what no output of the site declares, or a value beyond an output's limits. Needed with --address.
    #[arg(long)]
    raw: bool,
    /// Write although a running Penstock may own the output.
    #[arg(long)]
    force: bool,
}

/// Looks, asks, writes, looks again.
///
/// # Errors
/// In words for a person; also where the device holds something else afterwards.
pub async fn run(args: WriteArgs) -> Result<(), String> {
    let place = args.place.find()?;
    super::owner::permit(&args.place.state, args.force)?;
    match place {
        Place::Modbus(place) => modbus(&args, *place).await,
        Place::OpcUa(place) => {
            allowed(Some(&place.tag), args.raw, "--raw")?;
            let value = parse(&args.value, place.tag.value_type)?;
            within_limits(&place.tag, &value, args.raw)?;
            super::opcua::write(&place, value, || confirm(args.yes)).await
        }
    }
}

async fn modbus(args: &WriteArgs, place: ModbusPlace) -> Result<(), String> {
    let point = place.config.points[place.index].clone();
    if !point.address.area.is_writable() {
        return Err(format!(
            "{} can only be read: commands go to coils (0xxxx) or holding registers (4xxxx)",
            point.address
        ));
    }
    allowed(place.tag.as_ref(), args.raw, "--raw")?;
    let value = parse(&args.value, point.value_type)?;
    if let Some(tag) = &place.tag {
        within_limits(tag, &value, args.raw)?;
    }
    let mut visit = Visit::open(place.config.clone()).await.map_err(|e| e.to_string())?;
    match visit.point(place.index).await {
        Ok(reading) => say!("{}", text(&place, &reading, visit.connected_in())),
        Err(e) => say!("{} cannot be read before it is written: {e}", point.path),
    }
    say!("  to write    {value}{}", unit(place.tag.as_ref()));
    confirm(args.yes)?;
    let done = visit.write(place.index, &value).await.map_err(|e| e.to_string())?;
    told(&place, &done, &value)
}

fn told(place: &ModbusPlace, done: &Written, value: &Value) -> Result<(), String> {
    say!("  sent        {} in {}", done.sent, ms(done.took));
    say!("  read back   {}: {}", done.back.raw, shown(place, &done.back.value));
    if done.equal {
        say!("equal: the device holds what was written (read back {} times)", done.read_backs);
        return Ok(());
    }
    Err(format!(
        "NOT equal: {value}{} was written and confirmed, and {} reads back {} ({} read-backs). The device limits or ignores \
         it, is in local control, or shows it at another place",
        unit(place.tag.as_ref()),
        place.config.points[place.index].address,
        shown(place, &done.back.value),
        done.read_backs
    ))
}

fn unit(tag: Option<&TagDef>) -> String {
    tag.map(|t| t.unit.to_string()).filter(|u| !u.is_empty()).map_or(String::new(), |u| format!(" {u}"))
}

/// Only what an output of the site declares is written, unless the person insists.
fn allowed(tag: Option<&TagDef>, raw: bool, option: &str) -> Result<(), String> {
    match tag {
        _ if raw => Ok(()),
        Some(tag) if tag.output.is_some() => Ok(()),
        Some(tag) => Err(format!(
            "no output of the site is declared for `{}`: it has no limits and no fallback. Declare `write` and `fallback` in \
             the device's file, or say {option}",
            tag.path
        )),
        None => Err(format!("no site declares what may be written there: say {option} if it is meant")),
    }
}

/// An output's own limits hold for persons too.
fn within_limits(tag: &TagDef, value: &Value, raw: bool) -> Result<(), String> {
    let Some(output) = &tag.output else { return Ok(()) };
    if let (Some((low, high)), Some(x)) = (output.limits, value.as_f64())
        && tag.value_type != ValueType::Bool
        && !(low..=high).contains(&x)
    {
        let what = format!("{x} is outside the limits of `{}`, {low} to {high}{}", tag.path, unit(Some(tag)));
        if !raw {
            return Err(format!("{what}: nothing was written; --raw writes it all the same"));
        }
        complain!("WARNING: {what}");
    }
    if let Some(rate) = output.rate_per_s.filter(|_| tag.value_type != ValueType::Bool) {
        complain!(
            "note: a site moves it by at most {rate}{} per second; this write goes there at once",
            unit(Some(tag))
        );
    }
    Ok(())
}

/// A value as a person writes it.
fn parse(text: &str, wanted: ValueType) -> Result<Value, String> {
    let text = text.trim();
    let no = |what: &str| format!("`{text}` is no {what}");
    match wanted {
        ValueType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "on" | "1" => Ok(Value::Bool(true)),
            "false" | "off" | "0" => Ok(Value::Bool(false)),
            _ => Err(no("switch: write true or false")),
        },
        ValueType::Int => text.parse().map(Value::Int).map_err(|_| no("whole number, and the tag holds no other")),
        ValueType::Float => match text.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(Value::Float(x)),
            _ => Err(no("finite number")),
        },
        ValueType::Text => Ok(Value::from(text)),
    }
}

fn confirm(yes: bool) -> Result<(), String> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err("nobody can be asked here: add --yes; nothing was written".to_owned());
    }
    say!("Write it to the device? Type yes:");
    let mut line = String::new();
    stdin.read_line(&mut line).map_err(|e| e.to_string())?;
    if line.trim() == "yes" { Ok(()) } else { Err("not confirmed; nothing was written".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_tag_wants_them() {
        for (text, wanted, value) in [
            ("45.5", ValueType::Float, Some(Value::Float(45.5))),
            ("-3", ValueType::Float, Some(Value::Float(-3.0))),
            ("nan", ValueType::Float, None),
            ("inf", ValueType::Float, None),
            ("-3", ValueType::Int, Some(Value::Int(-3))),
            ("3.5", ValueType::Int, None),
            ("on", ValueType::Bool, Some(Value::Bool(true))),
            ("OFF", ValueType::Bool, Some(Value::Bool(false))),
            ("2", ValueType::Bool, None),
            ("AUTO", ValueType::Text, Some(Value::from("AUTO"))),
        ] {
            assert_eq!(parse(text, wanted).ok(), value, "{text} as {wanted}");
        }
    }

    #[test]
    fn what_no_output_declares_needs_the_word_for_it() {
        assert!(allowed(None, false, "--raw").unwrap_err().contains("--raw"));
        assert!(allowed(None, true, "--raw").is_ok());
    }
}
