//! Answers: JSON errors in both languages, and request bodies that are refused in the same way.

use crate::limits::BODY_BYTES_MAX;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::time::Duration;

/// What went wrong, for a person, in Chinese and English.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) zh: String,
    pub(crate) en: String,
    pub(crate) retry_after: Option<Duration>,
    /// The record of actions could not be written.
    pub(crate) unrecorded: bool,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, zh: impl Into<String>, en: impl Into<String>) -> ApiError {
        ApiError { status, zh: zh.into(), en: en.into(), retry_after: None, unrecorded: false }
    }

    pub(crate) fn bad_request(zh: impl Into<String>, en: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, zh, en)
    }

    pub(crate) fn unprocessable(zh: impl Into<String>, en: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, zh, en)
    }

    pub(crate) fn not_found(what: &str) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, format!("没有 {what}"), format!("there is no {what}"))
    }

    pub(crate) fn unauthorised() -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "请先登录", "please log in")
    }

    pub(crate) fn busy() -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "系统忙，请稍后再试", "busy; try again in a moment")
    }

    /// The record of actions does not take it, so it was not done.
    pub(crate) fn unrecorded() -> ApiError {
        let error = ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "操作日志无法写入，操作未执行",
            "the action log cannot be written; nothing was done",
        );
        ApiError { unrecorded: true, ..error }
    }

    /// Something of ours failed. The person is told what was not done; the reason goes to the log.
    pub(crate) fn internal(zh: &str, en: &str, error: &dyn std::fmt::Display) -> ApiError {
        tracing::error!(%error, "{en}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, zh, en)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": { "zh": self.zh, "en": self.en } }))).into_response();
        if let Some(wait) = self.retry_after {
            // Rounded up: a client that comes back when told to is not refused again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// A JSON body of at most [`BODY_BYTES_MAX`]. Other content types are refused, so that a foreign page's form never
/// gets as far as a handler.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
        if content_type.split(';').next().is_none_or(|t| !t.trim().eq_ignore_ascii_case("application/json")) {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(ApiError::new(status, "请求须为 application/json", "the request must be application/json"));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let zh = format!("请求超过 {BODY_BYTES_MAX} 字节");
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, zh, format!("the request exceeds {BODY_BYTES_MAX} bytes"))
            } else {
                ApiError::bad_request("请求中断", "the request broke off")
            }
        })?;
        serde_json::from_slice(&bytes)
            .map(Body)
            .map_err(|e| ApiError::bad_request(format!("请求格式错误：{e}"), format!("malformed request: {e}")))
    }
}

/// The query string as `T`.
pub(crate) struct Ask<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Ask<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(ask)) => Ok(Ask(ask)),
            Err(e) => Err(ApiError::bad_request(format!("查询参数错误：{e}"), format!("malformed query: {e}"))),
        }
    }
}
