//! The fault interface: HTTP on a loopback address, off unless asked for. No passwords, so nothing but loopback.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /faults` | `[{"id":1,"fault":"stuck aer/z5/nh4 0.5","left_s":1800.0}]` |
//! | `POST /faults {"fault":"<text>"}` | 201 and the fault; 400 for a text that is none; 409 when the list is full |
//! | `DELETE /faults/<id>`, `DELETE /faults` | 204; 404 for an unknown number |
//! | `GET /menu` | `[{"name":"stuck","usage":"stuck <tag> [<value>]","example":"stuck aer/z5/nh4 0.5 for 30min"}]` |
//! | `PUT /weather {"weather":"rain"}` | 200 and the weather; 400 for a word that is none |
//! | `GET /state` | plant time, true and shown values by tag, faults |

use std::collections::BTreeMap;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::faults::{ActiveFault, Injection, MENU, NoSerialLine};
use crate::field::{Field, InjectError};
use crate::models::wet::Weather;

/// What a request asks of the running simulation.
pub(crate) enum Ask {
    Inject(Injection, oneshot::Sender<Result<(u64, Option<ActiveFault>), NotInjected>>),
    Clear(u64, oneshot::Sender<bool>),
    ClearAll(oneshot::Sender<()>),
    Weather(Weather, oneshot::Sender<Result<(), InjectError>>),
    Look(oneshot::Sender<Snapshot>),
}

/// Why a fault was not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotInjected {
    #[error(transparent)]
    Refused(#[from] InjectError),
    #[error(transparent)]
    NoSerialLine(#[from] NoSerialLine),
}

impl From<NotInjected> for Refused {
    fn from(why: NotInjected) -> Refused {
        let status = match why {
            NotInjected::Refused(InjectError::Full(_)) => StatusCode::CONFLICT,
            NotInjected::Refused(_) | NotInjected::NoSerialLine(_) => StatusCode::BAD_REQUEST,
        };
        Refused(status, why.to_string())
    }
}

/// An active fault as it is told.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ToldFault {
    id: u64,
    fault: String,
    left_s: Option<f64>,
}

impl ToldFault {
    fn of(active: &ActiveFault) -> ToldFault {
        ToldFault { id: active.id, fault: active.fault.to_string(), left_s: active.left_s }
    }
}

/// The simulation at one moment.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Snapshot {
    unix_s: f64,
    elapsed_s: f64,
    #[serde(rename = "true")]
    truth: BTreeMap<String, f64>,
    shown: BTreeMap<String, f64>,
    faults: Vec<ToldFault>,
}

impl Snapshot {
    pub(crate) fn of(simulation: &dyn Field) -> Snapshot {
        let (mut truth, mut shown) = (BTreeMap::new(), BTreeMap::new());
        for quantity in simulation.quantities() {
            if let Some(value) = quantity.shown {
                shown.insert(quantity.tag.clone(), value);
            }
            truth.insert(quantity.tag, quantity.truth);
        }
        let faults = simulation.faults().iter().map(ToldFault::of).collect();
        Snapshot { unix_s: simulation.unix_s(), elapsed_s: simulation.elapsed_s(), truth, shown, faults }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    fault: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WantedWeather {
    weather: String,
}

/// Why a request failed.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}

type Asks = mpsc::Sender<Ask>;

/// Puts a question to the simulation and waits for its answer.
async fn ask<T>(asks: &Asks, question: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Refused> {
    let over = || Refused(StatusCode::SERVICE_UNAVAILABLE, "the simulation has ended".to_owned());
    let (reply, answer) = oneshot::channel();
    asks.send(question(reply)).await.map_err(|_| over())?;
    answer.await.map_err(|_| over())
}

async fn list(State(asks): State<Asks>) -> Result<Json<Vec<ToldFault>>, Refused> {
    Ok(Json(ask(&asks, Ask::Look).await?.faults))
}

async fn inject(
    State(asks): State<Asks>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<(StatusCode, Json<ToldFault>), Refused> {
    let Json(wanted) = body.map_err(|rejection| Refused(rejection.status(), rejection.body_text()))?;
    let injection: Injection = wanted.fault.parse().map_err(|e| Refused(StatusCode::BAD_REQUEST, format!("{e}")))?;
    let text = injection.fault.to_string();
    let entered = ask(&asks, |reply| Ask::Inject(injection, reply)).await?;
    let (id, active) = entered?;
    let told = active.map_or(ToldFault { id, fault: text, left_s: None }, |active| ToldFault::of(&active));
    Ok((StatusCode::CREATED, Json(told)))
}

async fn clear(State(asks): State<Asks>, Path(id): Path<u64>) -> Result<StatusCode, Refused> {
    if ask(&asks, |reply| Ask::Clear(id, reply)).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refused(StatusCode::NOT_FOUND, format!("no active fault has the number {id}")))
    }
}

async fn clear_all(State(asks): State<Asks>) -> Result<StatusCode, Refused> {
    ask(&asks, Ask::ClearAll).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn menu() -> Json<Vec<serde_json::Value>> {
    let entry =
        |e: &crate::faults::MenuEntry| serde_json::json!({"name": e.name, "usage": e.usage, "example": e.example});
    Json(MENU.iter().map(entry).collect())
}

async fn weather(
    State(asks): State<Asks>,
    body: Result<Json<WantedWeather>, JsonRejection>,
) -> Result<Json<WantedWeather>, Refused> {
    let Json(wanted) = body.map_err(|rejection| Refused(rejection.status(), rejection.body_text()))?;
    let weather: Weather = wanted.weather.parse().map_err(|e| Refused(StatusCode::BAD_REQUEST, format!("{e}")))?;
    let changed = ask(&asks, |reply| Ask::Weather(weather, reply)).await?;
    changed.map_err(|why| Refused(StatusCode::BAD_REQUEST, why.to_string()))?;
    Ok(Json(wanted))
}

async fn state(State(asks): State<Asks>) -> Result<Json<Snapshot>, Refused> {
    Ok(Json(ask(&asks, Ask::Look).await?))
}

/// Serves until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, asks: Asks) {
    let routes = Router::new()
        .route("/faults", get(list).post(inject).delete(clear_all))
        .route("/faults/{id}", delete(clear))
        .route("/menu", get(menu))
        .route("/weather", put(weather))
        .route("/state", get(state))
        .with_state(asks);
    if let Err(error) = axum::serve(listener, routes).await {
        warn!(%error, "the fault interface has ended");
    }
}
