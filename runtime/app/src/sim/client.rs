//! A client of the simulators' HTTP interface: faults and weather of a plant that runs.

use penstock_simulators::Weather;
use penstock_simulators::faults::Injection;
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use std::time::Duration;

/// Address where the interface is looked for.
pub const API: &str = "127.0.0.1:5090";
/// How long an answer may take: the simulators answer within one of their steps.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is done with faults.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum FaultVerb {
    /// List the active faults.
    List,
    /// List everything that can go wrong.
    Menu,
    /// Begin a fault, as `stuck aer/z5/nh4 0.5 for 30min`.
    Add {
        /// The fault, in quotes.
        fault: Injection,
    },
    /// End the fault of this number.
    Clear {
        /// Its number, as `list` shows it.
        id: u64,
    },
    /// End all faults.
    ClearAll,
}

enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// One request; an answer that refuses is an error in the words of the simulators.
fn ask(api: SocketAddr, method: Method, path: &str, body: &Json) -> Result<Json, String> {
    let config = ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
    let agent = ureq::Agent::new_with_config(config);
    let url = format!("http://{api}{path}");
    let answer = match method {
        Method::Get => agent.get(&url).call(),
        Method::Delete => agent.delete(&url).call(),
        Method::Post => agent.post(&url).send_json(body),
        Method::Put => agent.put(&url).send_json(body),
    };
    let mut answer = answer.map_err(|error| match &error {
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed => format!(
            "no simulators answer at {api} ({error}); start them with `penstock sim --api {api}` or \
             `penstock demo --api {api}`, or name their address with --api"
        ),
        _ => format!("{url}: {error}"),
    })?;
    let status = answer.status();
    let text = answer.body_mut().read_to_string().map_err(|error| format!("{url}: {error}"))?;
    let json: Json = serde_json::from_str(&text).unwrap_or(Json::Null);
    if status.is_success() {
        return Ok(json);
    }
    let reason = json["error"].as_str().map_or_else(|| text.trim().to_owned(), str::to_owned);
    Err(format!("the simulators refuse ({}): {reason}", status.as_u16()))
}

/// Lists, begins and ends faults.
///
/// # Errors
/// In words for a person: nobody listens, or the simulators refuse.
pub fn fault(api: SocketAddr, verb: &FaultVerb) -> Result<(), String> {
    match verb {
        FaultVerb::List => say_part!("{}", listed(&ask(api, Method::Get, "/faults", &Json::Null)?)),
        FaultVerb::Menu => say_part!("{}", menu(&ask(api, Method::Get, "/menu", &Json::Null)?)),
        FaultVerb::Add { fault } => {
            let told = ask(api, Method::Post, "/faults", &json!({"fault": fault.to_string()}))?;
            say_part!("{}", listed(&json!([told])));
        }
        FaultVerb::Clear { id } => {
            ask(api, Method::Delete, &format!("/faults/{id}"), &Json::Null)?;
            say!("fault {id} has ended");
        }
        FaultVerb::ClearAll => {
            ask(api, Method::Delete, "/faults", &Json::Null)?;
            say!("no fault is active");
        }
    }
    Ok(())
}

/// Changes the weather.
///
/// # Errors
/// In words for a person: nobody listens, or the simulators refuse.
pub fn weather(api: SocketAddr, weather: Weather) -> Result<(), String> {
    let word = format!("{weather:?}").to_lowercase();
    ask(api, Method::Put, "/weather", &json!({"weather": word}))?;
    say!("weather from now on: {word}");
    Ok(())
}

fn listed(faults: &Json) -> String {
    let line = |fault: &Json| {
        let left = fault["left_s"].as_f64().map_or_else(|| "until cleared".to_owned(), |s| format!("{s:.0} s left"));
        format!("{:>4}  {:<48} {left}\n", fault["id"].to_string(), fault["fault"].as_str().unwrap_or_default())
    };
    let lines: String = faults.as_array().into_iter().flatten().map(line).collect();
    if lines.is_empty() { "no fault is active\n".to_owned() } else { lines }
}

fn menu(entries: &Json) -> String {
    let text = |entry: &Json, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let line = |entry: &Json| format!("{:<44} {}\n", text(entry, "usage"), text(entry, "example"));
    entries.as_array().into_iter().flatten().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_told_line_by_line() {
        let faults = json!([{"id": 3, "fault": "power-cut", "left_s": 12.4}, {"id": 4, "fault": "mute heat_pump", "left_s": null}]);
        let text = listed(&faults);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("3  power-cut") && lines[0].ends_with("12 s left"), "{text}");
        assert!(lines[1].ends_with("until cleared"), "{text}");
        assert_eq!(listed(&json!([])), "no fault is active\n");
    }

    #[test]
    fn nobody_at_the_address_is_told_with_what_to_do() {
        // A port that was free a moment ago and belongs to nobody.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = fault(free, &FaultVerb::List).unwrap_err();
        assert!(error.contains(&free.to_string()) && error.contains("penstock sim --api"), "{error}");
    }
}
