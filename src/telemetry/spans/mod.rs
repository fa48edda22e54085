//! Spans over OTLP/HTTP: a SERVER span for each exchange and a CLIENT span for its provider.
//!
//! The data path pushes a pointer into a bounded queue; spans are built, batched and sent on the
//! control runtime. What finds the queue full or cannot be delivered is given up and counted.
//! [`convention`] has every attribute name, [`convert`] makes spans from facts, [`collector`] is
//! the transport.

pub mod collector;
pub mod convention;
pub mod convert;

use super::meters::Meters;
use super::names;
use crate::exchange::facts::Facts;
use collector::Collector;
use convention::Convention;
use metrics::Counter;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanExporter as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How many exchanges wait to become spans at most.
const QUEUE_MAX: usize = 4_096;
/// How many exchanges are sent at once at most.
const BATCH_MAX: usize = 256;
/// How long the first exchange of a batch waits for others.
const LINGER: Duration = Duration::from_secs(2);
/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a batch is sent at most, and the pause before the second time; it doubles.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Where spans go and how they are written.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The whole URL; `None` leaves it to the `OTEL_EXPORTER_OTLP_*` variables.
    pub endpoint: Option<String>,
    /// Which names attributes get.
    pub convention: Convention,
}

impl Setting {
    /// What the routes file and the environment ask for; `None` if nobody asks for spans.
    ///
    /// `configured` is a base URL, to which `/v1/traces` is added as OTLP/HTTP says; it takes
    /// precedence over `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and `OTEL_EXPORTER_OTLP_ENDPOINT`.
    /// `OTEL_SDK_DISABLED=true` turns all of it off.
    pub fn from_environment(configured: Option<&str>) -> Option<Setting> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        if variable("OTEL_SDK_DISABLED").is_some_and(|off| off.eq_ignore_ascii_case("true")) {
            return None;
        }
        let convention =
            Convention::asked_for(variable("OTEL_SEMCONV_STABILITY_OPT_IN").as_deref());
        if let Some(base) = configured.filter(|base| !base.is_empty()) {
            return Some(Setting { endpoint: Some(traces_url(base)), convention });
        }
        let asked = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
        asked.map(|_| Setting { endpoint: None, convention })
    }
}

/// The URL for traces under a base URL; a URL that names it already stays.
fn traces_url(base: &str) -> String {
    let base = base.trim_end_matches('/');
    if base.ends_with("/v1/traces") { base.to_owned() } else { format!("{base}/v1/traces") }
}

enum Item {
    Facts(Arc<Facts>),
    Flush(oneshot::Sender<()>),
}

/// The data path's end of the queue.
pub(super) struct Spans {
    queue: mpsc::Sender<Item>,
    dropped: Counter,
}

impl Spans {
    /// Queues an exchange, or gives its spans up.
    pub(super) fn push(&self, facts: &Arc<Facts>) {
        if self.queue.try_send(Item::Facts(Arc::clone(facts))).is_err() {
            self.dropped.increment(convert::spans_of(facts));
        }
    }

    /// Waits until what was queued before is sent or given up.
    pub(super) async fn flush(&self, patience: Duration) {
        let (done, wait) = oneshot::channel();
        let whole = async {
            if self.queue.send(Item::Flush(done)).await.is_ok() {
                drop(wait.await);
            }
        };
        drop(timeout(patience, whole).await);
    }
}

/// The control runtime's end of the queue.
pub struct Exporter {
    queue: mpsc::Receiver<Item>,
    convention: Convention,
    collector: SpanExporter,
    exported: Counter,
    failed: Counter,
}

/// Sets up both ends.
pub(super) fn start(setting: Setting, meters: &Meters) -> Result<(Spans, Exporter), String> {
    let mut builder = SpanExporter::builder()
        .with_http()
        .with_http_client(Collector::new(PATIENCE))
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        // Its pauses would block the runtime's thread; the retry is in [`Exporter::send`].
        .with_retry_policy(RetryPolicy::disabled());
    if let Some(endpoint) = setting.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let mut exporter = builder.build().map_err(|error| error.to_string())?;
    exporter.set_resource(&resource());
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let spans =
        Spans { queue: sender, dropped: meters.counter(names::SPANS_DROPPED, &["queue_full"]) };
    let exporter = Exporter {
        queue: receiver,
        convention: setting.convention,
        collector: exporter,
        exported: meters.counter(names::SPANS_EXPORTED, &[]),
        failed: meters.counter(names::SPANS_DROPPED, &["export_failed"]),
    };
    Ok((spans, exporter))
}

/// Who sends. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` have the last word.
fn resource() -> Resource {
    let mut builder = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("process.pid", i64::from(std::process::id())));
    let named = std::env::var("OTEL_SERVICE_NAME").is_ok_and(|name| !name.is_empty())
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES")
            .is_ok_and(|list| list.contains("service.name="));
    if !named {
        builder = builder.with_service_name("firedoor");
    }
    builder.build()
}

impl Exporter {
    /// Sends until the data path's end is gone.
    pub(super) async fn run(mut self) {
        while let Some(first) = self.queue.recv().await {
            let mut batch = Vec::with_capacity(BATCH_MAX);
            let mut flushed = Vec::new();
            self.gather(first, &mut batch, &mut flushed).await;
            if !batch.is_empty() {
                self.send(&batch).await;
            }
            for done in flushed {
                // Who asked may have lost patience.
                let _ = done.send(());
            }
        }
    }

    /// Waits for more until the batch is full, time is up, or somebody waits for it.
    async fn gather(
        &mut self,
        first: Item,
        batch: &mut Vec<Arc<Facts>>,
        flushed: &mut Vec<oneshot::Sender<()>>,
    ) {
        let until = Instant::now() + LINGER;
        let mut next = Some(first);
        while let Some(item) = next.take() {
            match item {
                Item::Facts(facts) => batch.push(facts),
                Item::Flush(done) => flushed.push(done),
            }
            if batch.len() < BATCH_MAX && flushed.is_empty() {
                next = timeout_at(until, self.queue.recv()).await.ok().flatten();
            }
        }
    }

    async fn send(&self, batch: &[Arc<Facts>]) {
        let spans: Vec<_> =
            batch.iter().flat_map(|facts| convert::spans(facts, self.convention)).collect();
        let count = spans.len() as u64;
        let mut pause = PAUSE;
        for tried in 1..=TRIES {
            match self.collector.export(spans.clone()).await {
                Ok(()) => return self.exported.increment(count),
                Err(error) if tried == TRIES => {
                    self.failed.increment(count);
                    tracing::warn!(spans = count, %error, "spans given up");
                }
                Err(error) => {
                    tracing::debug!(spans = count, %error, "spans not taken; trying again");
                    sleep(pause).await;
                    pause *= 2;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Telemetry, facts_for_tests as sample};
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    #[test]
    fn the_path_for_traces_is_added_once() {
        assert_eq!(traces_url("http://c:4318"), "http://c:4318/v1/traces");
        assert_eq!(traces_url("http://c:4318/"), "http://c:4318/v1/traces");
        assert_eq!(traces_url("http://c/x/v1/traces"), "http://c/x/v1/traces");
    }

    /// Answers one request with `status` and returns the request.
    async fn collect(listener: &TcpListener, status: &str) -> Vec<u8> {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let read = stream.read(&mut piece).await.unwrap();
            request.extend_from_slice(&piece[..read]);
            let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else {
                continue;
            };
            let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            if request.len() >= end + 4 + length {
                break;
            }
        }
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        request
    }

    fn telemetry_to(listener: &TcpListener) -> Telemetry {
        let setting = Setting {
            endpoint: Some(format!("http://{}/v1/traces", listener.local_addr().unwrap())),
            convention: Convention::Latest,
        };
        let (telemetry, upkeep) = Telemetry::exporting(setting).unwrap();
        tokio::spawn(upkeep.run());
        telemetry
    }

    #[tokio::test]
    async fn spans_reach_a_collector() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let telemetry = telemetry_to(&listener);
        telemetry.record(sample(1));
        let (request, ()) =
            tokio::join!(collect(&listener, "200 OK"), telemetry.flush(Duration::from_mins(1)));
        let text = String::from_utf8_lossy(&request);
        assert!(text.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{text}");
        assert!(text.to_lowercase().contains("content-type: application/x-protobuf"), "{text}");
        for piece in ["firedoor", "gen_ai.provider.name", "gpt-4o-2024-08-06", "support"] {
            assert!(text.contains(piece), "{piece} not in {text:?}");
        }
        let metrics = telemetry.meters().render();
        assert!(metrics.contains("firedoor_spans_exported_total 2\n"), "{metrics}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_collector_is_tried_again_and_then_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let telemetry = telemetry_to(&listener);
        telemetry.record(sample(1));
        let three = async {
            for _ in 0..TRIES {
                collect(&listener, "503 Service Unavailable").await;
            }
        };
        tokio::join!(three, telemetry.flush(Duration::from_hours(1)));
        let metrics = telemetry.meters().render();
        let line = "firedoor_spans_dropped_total{reason=\"export_failed\"} 2\n";
        assert!(metrics.contains(line), "{metrics}");
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts_and_never_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let setting = Setting {
            endpoint: Some(format!("http://{}/", listener.local_addr().unwrap())),
            convention: Convention::Classic,
        };
        // Nobody empties the queue.
        let (telemetry, _upkeep) = Telemetry::exporting(setting).unwrap();
        for number in 0..QUEUE_MAX + 3 {
            telemetry.record(sample(number as u128));
        }
        let metrics = telemetry.meters().render();
        let line = "firedoor_spans_dropped_total{reason=\"queue_full\"} 6\n";
        assert!(metrics.contains(line), "{metrics}");
    }
}
