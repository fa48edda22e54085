//! The transport to an OTLP collector.

use crate::telemetry::connect;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Sends one request over a new connection, on whatever runtime polls it.
#[derive(Debug)]
pub(super) struct Collector {
    patience: Duration,
}

impl Collector {
    pub(super) fn new(patience: Duration) -> Collector {
        Collector { patience }
    }
}

impl HttpClient for Collector {
    // The trait is declared through `async_trait`; this is what that expands to.
    fn send_bytes<'client, 'future>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'future>>
    where
        'client: 'future,
        Self: 'future,
    {
        Box::pin(async move { Ok(connect::request(request, self.patience).await?) })
    }
}
