//! One push: a request to the collector, and what its answer means.
use crate::config::Otlp;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::{Client as Http, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message as _;
use std::time::Duration;

/// How long one try may take, connection included; the default timeout of OTLP exporters.
const TRY_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 64 * 1024;

/// A push was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// There is no connection, or it broke.
    #[error("cannot reach the collector: {0}")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No whole answer came in time.
    #[error("the collector has not answered within {TRY_PATIENCE:?}")]
    Late,
    /// The collector said no.
    #[error("the collector answered {status}")]
    Refused {
        /// Its answer.
        status: StatusCode,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It accepted, but not in the words of OTLP.
    #[error("the collector's answer is not one of OTLP: {0}")]
    Garbage(#[source] prost::DecodeError),
}

impl PushError {
    /// The label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Late => "late",
            Self::Refused { .. } => "refused",
            Self::Garbage(_) => "garbage",
        }
    }

    /// Whether the same push may be tried again (OTLP 1.9, "Retryable Response Codes").
    pub const fn retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Late => true,
            Self::Refused { status, .. } => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            Self::Garbage(_) => false,
        }
    }

    /// How long the collector wants to be left alone.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What a collector accepted only in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partial {
    /// How many points it did not take.
    pub rejected: i64,
    /// Why, in its words.
    pub message: String,
}

/// A client of one collector.
#[derive(Debug)]
pub struct Client {
    http: Http<HttpConnector, Full<Bytes>>,
    address: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Client {
    /// A client of the collector that the configuration names; `None` where it names none.
    pub fn new(config: &Otlp) -> Option<Self> {
        let base = config.endpoint.as_ref()?;
        // A checked base with a fixed path behind it is an address.
        let address = format!("{}/v1/metrics", base.to_string().trim_end_matches('/')).parse().ok()?;
        let http = Http::builder(TokioExecutor::new()).build_http();
        Some(Self { http, address, headers: config.headers.clone() })
    }

    /// Sends one push; what the collector did not take of it is returned.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn send(&self, body: Bytes) -> Result<Option<Partial>, PushError> {
        tokio::time::timeout(TRY_PATIENCE, self.attempt(body)).await.map_err(|_| PushError::Late)?
    }

    async fn attempt(&self, body: Bytes) -> Result<Option<Partial>, PushError> {
        let unreachable = |error: hyper_util::client::legacy::Error| PushError::Unreachable(error.into());
        let answer = self.http.request(self.request(body)).await.map_err(unreachable)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(PushError::Refused { status, retry_after: retry_after(&answer) });
        }
        let body =
            Limited::new(answer.into_body(), ANSWER_MAX).collect().await.map_err(PushError::Unreachable)?;
        let answer = ExportMetricsServiceResponse::decode(body.to_bytes()).map_err(PushError::Garbage)?;
        let told =
            answer.partial_success.filter(|p| p.rejected_data_points > 0 || !p.error_message.is_empty());
        Ok(told.map(|p| Partial { rejected: p.rejected_data_points, message: p.error_message }))
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.address.clone();
        let headers = request.headers_mut();
        headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("wattkeeper/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        request
    }
}

/// The seconds of a `Retry-After`; a date, its other form, is taken as nothing said.
fn retry_after<B>(answer: &Response<B>) -> Option<Duration> {
    answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
